"""The hub: all streams by name."""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Callable, Iterator, Sequence

from streamsocket.errors import StreamSocketError
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Publication, Stream
from streamsocket.media.codec import Track

_TICK_S = 0.25

# A publisher that has sent nothing for so long gives way to another of the same name.
_SILENT_PUBLISHER_S = 2.0


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
        self._subscribers: list[Callable[[Stream], None]] = []
        self._providers: dict[str, Callable[[], None] | None] = {}
        self._awaited: dict[str, list[Future[Stream]]] = {}
        self._next_tick = loop.time() + _TICK_S
        self._timer: TimerHandle = loop.call_at(self._next_tick, self._tick)
        self.loop_lag_s = 0.0
        """By how much the loop was late for the hub's ticks of the last seconds, the worst."""

    def __iter__(self) -> Iterator[Stream]:
        return iter(tuple(self._streams.values()))

    def subscribe(self, on_change: Callable[[Stream], None]) -> None:
        """Be told of every stream that gets a publisher, loses its publisher, or ends."""
        self._subscribers.append(on_change)

    def unsubscribe(self, on_change: Callable[[Stream], None]) -> None:
        """Be told of nothing more."""
        self._subscribers.remove(on_change)

    def find(self, name: str) -> Stream | None:
        """The stream of that name."""
        return self._streams.get(name)

    def provide(self, name: str, wanted: Callable[[], None] | None = None) -> None:
        """Say that somebody sees to this stream: it is kept, with or without a publisher.

        `wanted` is called when somebody asks for it while it has none, and waits for it then.
        """
        self._providers[name] = wanted

    def unprovide(self, name: str) -> None:
        """Nobody sees to this stream any more; it ends, if there is one."""
        self._providers.pop(name, None)
        self.remove(name)

    def want(self, name: str) -> None:
        """Somebody asks for that stream: who provides it is told, if it has no publisher."""
        stream = self._streams.get(name)
        wanted = self._providers.get(name)
        if wanted and not (stream and stream.publication):
            wanted()

    def provides(self, name: str) -> bool:
        """Whether somebody sees to the stream of that name."""
        return name in self._providers

    async def look_for(self, name: str, patience_s: float) -> Stream | None:
        """The stream of that name; one that comes when it is wanted is waited for."""
        self.want(name)
        stream = self._streams.get(name)
        if stream or self._providers.get(name) is None:
            return stream
        waiting: Future[Stream] = self._loop.create_future()
        self._awaited.setdefault(name, []).append(waiting)
        try:
            return await asyncio.wait_for(waiting, patience_s)
        except TimeoutError:
            return self._streams.get(name)
        finally:
            others = self._awaited[name]
            others.remove(waiting)
            if not others:
                del self._awaited[name]

    def publish(
        self,
        name: str,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
        *,
        on_replaced: Callable[[], None] | None = None,
        guest: bool = False,
        replace: bool = False,
        origin: str = "",
    ) -> Publication:
        """Publish under a name: a new stream, or one whose publisher left.

        A stream's viewers stay through a change of publisher as long as its codecs are the same.
        Who publishes under the name already is told by its `on_replaced`. A `guest`, somebody from
        the network, takes a name from others only with `replace`, and never from who provides it:
        that raises `StreamTakenError`. `origin` is how it came, for people: `RTSP`.
        """
        if guest:
            self.check_free(name, replace=replace)
        stream = self._streams.get(name)
        if stream and (current := stream.publication):
            current.close()
            if current.on_replaced:
                current.on_replaced()
        if stream and not stream.matches(tracks):
            self.remove(name)
            stream = None
        if stream is None:
            if len(self._streams) >= self._limits.max_streams:
                raise StreamSocketError(
                    f"There are {len(self._streams)} streams already, the most this server takes."
                )
            stream = self._streams[name] = Stream(
                name, tracks, self._loop, self._limits, on_publisher_lost=self._tell
            )
        publication = stream.publish(tracks, request_keyframe, on_replaced)
        stream.origin = origin
        self._tell(stream)
        for waiting in self._awaited.get(name, ()):
            if not waiting.done():
                waiting.set_result(stream)
        return publication

    def check_free(self, name: str, *, replace: bool = False) -> None:
        """Whether a guest may publish under that name. Raises `StreamTakenError` if not."""
        if name in self._providers:
            raise StreamTakenError(
                f"'{name}' is a stream that the server makes itself: choose another name."
            )
        stream = self._streams.get(name)
        current = stream.publication if stream else None
        # Who lost the network comes back before its old connection is known to be dead.
        gives_way = replace or (stream is not None and stream.silent_s > _SILENT_PUBLISHER_S)
        if current and not (gives_way and current.on_replaced):
            raise StreamTakenError(
                f"Somebody publishes '{name}' already: choose another name, or end that stream."
            )

    def remove(self, name: str) -> None:
        """End the stream of that name, if there is one, and forget it."""
        if stream := self._streams.pop(name, None):
            stream.end()
            self._tell(stream)

    def close(self) -> None:
        """End all streams."""
        for name in list(self._streams):
            self.remove(name)
        self._timer.cancel()

    def _tell(self, stream: Stream) -> None:
        for on_change in tuple(self._subscribers):
            on_change(stream)

    def _tick(self) -> None:
        lag = self._loop.time() - self._next_tick
        # The worst of the last seconds fades slowly enough to be seen by who asks every ten.
        self.loop_lag_s = max(lag, self.loop_lag_s * 0.98)
        now = time.monotonic()
        for stream in self:
            stream.report(now)
            if stream.name not in self._providers and stream.abandoned(now):
                self.remove(stream.name)
        self._next_tick = self._loop.time() + _TICK_S
        self._timer = self._loop.call_at(self._next_tick, self._tick)
