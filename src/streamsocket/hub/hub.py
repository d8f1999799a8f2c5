"""The hub: all streams by name."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Sequence

from streamsocket.errors import StreamSocketError
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Publication, Stream
from streamsocket.media.codec import Track

_TICK_S = 0.25


class StreamTakenError(StreamSocketError):
    """Somebody publishes under that name already."""


class Hub:
    """All streams of a server by name, and the clock that drives their reports.

    It belongs to one event loop, the media thread's, and is not thread-safe.
    """

    def __init__(self, loop: AbstractEventLoop, limits: Limits | None = None) -> None:
        self._loop = loop
        self._limits = limits or Limits()
        self._streams: dict[str, Stream] = {}
        self._next_tick = loop.time() + _TICK_S
        self._timer: TimerHandle = loop.call_at(self._next_tick, self._tick)
        self.loop_lag_s = 0.0
        """By how much the loop was late for the hub's ticks of the last seconds, the worst."""

    def find(self, name: str) -> Stream | None:
        """The stream of that name."""
        return self._streams.get(name)

    def publish(
        self,
        name: str,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
    ) -> Publication:
        """Publish under a name: a new stream, or one whose publisher left.

        A stream's viewers stay through a change of publisher as long as its codecs are the same.
        Raises `StreamTakenError` while somebody else publishes under the name.
        """
        stream = self._streams.get(name)
        if stream and stream.publication:
            raise StreamTakenError(
                f"Somebody publishes '{name}' already: choose another name, or end that stream."
            )
        if stream and not stream.matches(tracks):
            self.remove(name)
            stream = None
        if stream is None:
            if len(self._streams) >= self._limits.max_streams:
                raise StreamSocketError(
                    f"There are {len(self._streams)} streams already, the most this server takes."
                )
            stream = self._streams[name] = Stream(name, tracks, self._loop, self._limits)
        return stream.publish(tracks, request_keyframe)

    def remove(self, name: str) -> None:
        """End the stream of that name, if there is one, and forget it."""
        if stream := self._streams.pop(name, None):
            stream.end()

    def close(self) -> None:
        """End all streams."""
        for name in list(self._streams):
            self.remove(name)
        self._timer.cancel()

    def _tick(self) -> None:
        lag = self._loop.time() - self._next_tick
        # The worst of the last seconds fades slowly enough to be seen by who asks every ten.
        self.loop_lag_s = max(lag, self.loop_lag_s * 0.98)
        now = time.monotonic()
        for stream in self._streams.values():
            stream.report(now)
        self._next_tick = self._loop.time() + _TICK_S
        self._timer = self._loop.call_at(self._next_tick, self._tick)
