"""A reader: one viewer of a stream, with an output for each track it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from streamsocket.hub.output import Output, Sender
from streamsocket.hub.reports import goodbye

if TYPE_CHECKING:
    from streamsocket.hub.stream import Stream


class Beginning(NamedTuple):
    """Where a track begins for a viewer: what RTP-Info says (RFC 2326, 12.33)."""

    track: int
    sequence: int
    timestamp: int
    """The same moment for all tracks that begin together."""


class Reader:
    """One viewer of a stream. Protocol sessions make one and hold it."""

    def __init__(
        self, stream: Stream, on_end: Callable[[], None], *, is_viewer: bool = True
    ) -> None:
        self.stream = stream
        self.is_viewer = is_viewer
        """Whether it counts as one of those who watch."""
        self.estimated_bps: int | None = None
        """Bits a second that it believes to get through to it; None where it doesn't tell."""
        self._on_end = on_end
        self._outputs: dict[int, Output] = {}

    def add(
        self, track: int, sender: Sender, target: object, leader: Output | None = None
    ) -> Output:
        """Take the track with that index over that sender; a second call changes the way.

        With a `leader`, another reader's output of the track, the viewer gets what that one sends.
        """
        if previous := self._outputs.pop(track, None):
            previous.stop()
        output = Output(self.stream.track(track), sender, target, leader)
        self._outputs[track] = output
        return output

    def remove(self, track: int) -> None:
        """Give up the track with that index."""
        self.pause([track])
        del self._outputs[track]

    def prepare(
        self, tracks: Iterable[int] | None = None, *, keep_timestamps: bool = False
    ) -> list[Beginning]:
        """Choose where these tracks (all, if None) begin. Nothing is sent before `start`.

        Tracks that play already go on; their beginning is where they are. With `keep_timestamps`
        the current group of pictures is sent as it was, with its sound: for those who keep what
        they get, and don't show it at once.
        """
        now = time.monotonic()
        chosen = self._chosen(tracks)
        since = _keyframe_arrived(chosen) if keep_timestamps else None
        firsts = [
            output.prepare(now, since) if output.state == "idle" else output.position
            for output in chosen
        ]
        # Every track's first packet was captured at another moment. Players take the timestamps
        # given here as one moment, so they are all put to the earliest.
        captured = [
            output.track.captured(timestamp)
            for output, (_, timestamp) in zip(chosen, firsts, strict=True)
        ]
        moment = min((time for time in captured if time is not None), default=0.0)
        return [
            Beginning(
                output.track.index,
                sequence & 0xFFFF,
                output.track.timestamp_captured(moment) & 0xFFFF_FFFF,
            )
            for output, (sequence, _) in zip(chosen, firsts, strict=True)
        ]

    def start(self, tracks: Iterable[int] | None = None) -> None:
        """Send these tracks (all, if None) from where `prepare` chose to begin."""
        now = time.monotonic()
        chosen = [output for output in self._chosen(tracks) if output.state == "idle"]
        chosen.sort(key=lambda output: output.track.is_video)
        for output in chosen:
            output.start()
        self.stream.readers[self] = None
        # Before the first packets: whoever passes them on must know when they were captured.
        self.stream.report(now)
        for output in chosen:
            output.pump(now)
            if output.track.is_video and not output.track.cache.bytes:
                self.stream.request_keyframe(output.track)
        self.stream.begin_to_send()

    def pause(self, tracks: Iterable[int] | None = None) -> None:
        """Stop sending these tracks (all, if None)."""
        for output in self._chosen(tracks):
            output.stop()
        if all(output.state == "idle" for output in self._outputs.values()):
            self.stream.readers.pop(self, None)

    def sends_through(self, sender: Sender) -> bool:
        """Whether a track plays over that sender."""
        return any(
            output.sender is sender and output.state != "idle" for output in self._outputs.values()
        )

    def resend(self, ssrc: int, sequences: Iterable[int]) -> int:
        """Send packets of the track with that SSRC once more; return how many were at hand."""
        for output in self._outputs.values():
            if output.track.ssrc == ssrc and output.state != "idle":
                return output.resend(sequences)
        return 0

    def request_keyframe(self) -> None:
        """Ask for a keyframe of the pictures that it takes."""
        for output in self._outputs.values():
            if output.track.is_video and output.state != "idle":
                self.stream.request_keyframe(output.track)

    def close(self) -> None:
        """Leave the stream."""
        self.pause()
        self._outputs.clear()

    def end(self) -> None:
        """The stream is over: say goodbye, leave, and tell the session."""
        for output in self._outputs.values():
            if output.state != "idle":
                output.sender.send_report(output, goodbye(output.track))
        self.close()
        self._on_end()

    def _chosen(self, tracks: Iterable[int] | None) -> list[Output]:
        if tracks is None:
            return list(self._outputs.values())
        return [self._outputs[track] for track in tracks]


def _keyframe_arrived(outputs: list[Output]) -> float | None:
    """When the pictures that are sent first had arrived."""
    groups = [output.track.cache.group() for output in outputs if output.track.is_video]
    return min((group[0].arrived for group in groups if group), default=None)
