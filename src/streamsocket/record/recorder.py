"""The server's own recording: which streams are recorded, and how their recordings are doing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import count

from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Publication, Stream
from streamsocket.record.link import (
    Event,
    Follow,
    KeyframeWanted,
    Lost,
    Over,
    RecordingState,
    Report,
    encode_event,
)
from streamsocket.record.process import RecorderProcess
from streamsocket.record.rules import Rule, rule_for
from streamsocket.record.tap import Tap
from streamsocket.status import RecordingStatus
from streamsocket.taps.feed import Feed

_log = logging.getLogger("streamsocket.record")

_TOO_SLOW = "The disk is too slow: {} packets were not recorded."


def _nothing_yet(recording: int) -> RecordingState:
    return RecordingState(recording, None, 0.0, 0, None)


class _Followed:
    """A stream that is recorded."""

    def __init__(self, number: int, rule: int, stream: Stream) -> None:
        self.number = number
        self.rule = rule
        self.stream = stream
        self.publication: Publication | None = None
        self.tap: Tap | None = None
        self.skipped_packets = 0
        self.state = _nothing_yet(number)


class Recorder:
    """Records the streams that the rules name, in one child process for all of them.

    Belongs to the hub's event loop. A recording is no viewer: it keeps no stream alive.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hub: Hub, rules: Sequence[Rule]) -> None:
        self._hub = hub
        self._rules = tuple(rules)
        self._numbers = count(1)
        self._followed: dict[str, _Followed] = {}
        self._process = RecorderProcess(self._rules, loop, self._follow_all, self._handle)

    def start(self) -> None:
        """Start the recorder's process, and record what is there and what will come."""
        self._hub.subscribe(self.stream_changed)
        for stream in self._hub:
            self.stream_changed(stream)
        self._process.start()

    async def stop(self) -> None:
        """Finish all files, and end the process."""
        for followed in self._followed.values():
            self._untap(followed)
        await self._process.stop()
        self._followed.clear()

    def status(self) -> list[RecordingStatus]:
        """The recordings in progress."""
        return [self._status(followed) for followed in self._followed.values()]

    @property
    def message(self) -> str | None:
        """Why nothing is recorded at the moment, a sentence; None while all is well."""
        return self._process.message

    @property
    def pid(self) -> int | None:
        """The recorder's process; None while there is none."""
        return self._process.pid

    def stream_changed(self, stream: Stream) -> None:
        """A stream of the hub has got a publisher, lost its publisher, or ended."""
        followed = self._followed.get(stream.name)
        if followed and followed.stream is not stream:
            self._forget(followed)
            followed = None
        if self._hub.find(stream.name) is not stream:
            if followed:
                self._forget(followed)
            return
        if followed is None:
            rule = rule_for(self._rules, stream.name)
            if rule is None:
                return
            followed = _Followed(next(self._numbers), rule, stream)
            self._followed[stream.name] = followed
        if followed.publication is stream.publication:
            return
        followed.publication = stream.publication
        if feed := self._process.feed:
            if stream.publication:
                self._follow(followed, feed)
            else:
                feed.gather(encode_event(Lost(followed.number)))

    def _follow_all(self) -> None:
        """The process has begun: nothing of what was said to another before is known to it."""
        assert self._process.feed
        for followed in self._followed.values():
            self._untap(followed)
            followed.state = _nothing_yet(followed.number)
            if followed.publication:
                self._follow(followed, self._process.feed)

    def _follow(self, followed: _Followed, feed: Feed) -> None:
        stream = followed.stream
        follow = Follow(
            followed.number,
            stream.name,
            followed.rule,
            tuple(track.track for track in stream.tracks),
            tuple(track.place(0.0) for track in stream.tracks),
        )
        feed.gather(encode_event(follow))
        if followed.tap is None:
            followed.tap = Tap(feed, followed.number, stream.tracks)
            stream.taps.append(followed.tap)
        if any(track.is_video and not track.cache.bytes for track in stream.tracks):
            stream.request_keyframe()

    def _forget(self, followed: _Followed) -> None:
        self._untap(followed)
        del self._followed[followed.stream.name]
        if feed := self._process.feed:
            feed.gather(encode_event(Over(followed.number)))

    def _untap(self, followed: _Followed) -> None:
        if followed.tap:
            followed.stream.taps.remove(followed.tap)
            followed.skipped_packets += followed.tap.skipped_packets
            followed.tap = None

    def _handle(self, event: Event) -> None:
        by_number = {followed.number: followed for followed in self._followed.values()}
        match event:
            case Report(states):
                for state in states:
                    if followed := by_number.get(state.recording):
                        if state.message and state.message != followed.state.message:
                            _log.warning(state.message)
                        followed.state = state
            case KeyframeWanted(number) if number in by_number:
                by_number[number].stream.request_keyframe()

    def _status(self, followed: _Followed) -> RecordingStatus:
        state = followed.state if self._process.feed else _nothing_yet(followed.number)
        skipped = followed.skipped_packets + (followed.tap.skipped_packets if followed.tap else 0)
        message = self._process.message or state.message
        if message is None and skipped:
            message = _TOO_SLOW.format(skipped)
        return RecordingStatus(
            followed.stream.name, state.path, state.seconds, state.bytes, skipped, message
        )
