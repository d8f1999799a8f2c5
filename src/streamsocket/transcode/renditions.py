"""Renditions: tracks that are made of a stream's own while somebody takes them."""

from __future__ import annotations

import asyncio
import time
from asyncio import AbstractEventLoop, Future, TimerHandle
from collections.abc import Sequence
from typing import TYPE_CHECKING

from streamsocket.errors import ConversionError
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.matching.target import Target
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.wording import codec_name

if TYPE_CHECKING:
    from streamsocket.transcode.transcoder import Transcoder

MAX_RUNNING = 16
UNWATCHED_S = 10.0
"""For so long a rendition that nobody takes is still made: whoever asked may be about to play."""
READY_S = 10.0
"""For so long whoever asks waits for the first of it."""

_SWEEP_S = 1.0


class Renditions:
    """Makes renditions for whoever needs them, once a stream; a `matching.Converter`.

    Belongs to the hub's event loop.
    """

    def __init__(self, loop: AbstractEventLoop, hub: Hub, *, most: int = MAX_RUNNING) -> None:
        """`most` are made at a time."""
        self._loop = loop
        self._hub = hub
        self._most = most
        self._by_stream: dict[Stream, dict[tuple[int, Target], Rendition]] = {}
        self._ending: set[asyncio.Task[None]] = set()
        self._stopped = False
        hub.subscribe(self._stream_changed)

    async def obtain(self, stream: Stream, index: int, target: Target) -> StreamTrack:
        """The rendition of that published track, as soon as it is known what it will be.

        Raises `ConversionError` where it can't be made.
        """
        if self._stopped or self._hub.find(stream.name) is not stream:
            raise _ended(stream)  # while another rendition was waited for
        own = self._by_stream.setdefault(stream, {})
        rendition = own.get((index, target))
        is_one_more = rendition is None or not rendition.runs
        if is_one_more and sum(each.runs for each in self._all()) >= self._most:
            tracks = "1 track is" if self._most == 1 else f"{self._most} tracks are"
            raise ConversionError(
                f"{tracks} being transcoded already, the most this server does: "
                "try again later, or raise transcoding.max."
            )
        if rendition is None:
            rendition = Rendition(self._loop, stream, stream.tracks[index], target)
            own[index, target] = rendition
        rendition.wanted()
        return await rendition.ready()

    def of(self, stream: Stream) -> list[Rendition]:
        """The renditions of a stream that are being made."""
        return [each for each in self._by_stream.get(stream, {}).values() if each.runs]

    async def stop(self) -> None:
        """End all transcoders, for good."""
        self._stopped = True
        self._hub.unsubscribe(self._stream_changed)
        await asyncio.gather(*(each.stop() for each in self._all()), *self._ending)

    def _all(self) -> list[Rendition]:
        return [each for own in self._by_stream.values() for each in own.values()]

    def _stream_changed(self, stream: Stream) -> None:
        if self._hub.find(stream.name) is not stream:
            for rendition in self._by_stream.pop(stream, {}).values():
                ending = self._loop.create_task(rendition.stop())
                self._ending.add(ending)
                ending.add_done_callback(self._ending.discard)
        elif stream.publication:
            for rendition in self._by_stream.get(stream, {}).values():
                rendition.begin_publication()


class Rendition:
    """One track made of another. To the hub it is the rendition's `Maker`."""

    def __init__(
        self, loop: AbstractEventLoop, stream: Stream, source: StreamTrack, target: Target
    ) -> None:
        self.source = source
        self.target = target
        self.track: StreamTrack | None = None
        """None before anything has been made."""
        self.message: str | None = None
        """What is wrong with it, a sentence."""
        self._loop = loop
        self._stream = stream
        self._transcoder: Transcoder | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._waiting: list[Future[StreamTrack]] = []
        self._wanted_until = 0.0
        self._sweeper: TimerHandle | None = None
        self._over = False

    @property
    def runs(self) -> bool:
        """Whether it is being made."""
        return self._transcoder is not None

    async def ready(self) -> StreamTrack:
        """Wait until it is known what it will be. Raises `ConversionError`."""
        if self.track:
            return self.track
        waiting: Future[StreamTrack] = self._loop.create_future()
        self._waiting.append(waiting)
        try:
            return await asyncio.wait_for(waiting, READY_S)
        except TimeoutError:
            names = codec_name(self.source.track.codec.name), codec_name(self.target.codec)
            reason = self.message or f"nothing came within {READY_S:.0f} s."
            raise ConversionError(
                f"'{self._stream.name}' cannot be transcoded from {names[0]} to {names[1]}: "
                f"{reason}"
            ) from None
        finally:
            self._waiting.remove(waiting)

    def wanted(self) -> None:
        """Make it, from now until nobody takes it any more."""
        self._wanted_until = time.monotonic() + UNWATCHED_S
        if self._transcoder or self._over:
            return
        from streamsocket.transcode.transcoder import Transcoder  # few servers need it

        self._transcoder = Transcoder(
            self._stream.name,
            self.source.track,
            self.target,
            self._loop,
            on_track=self._made_of,
            on_batches=self._made,
            on_message=self._said,
            on_keyframe_wanted=lambda: self._stream.request_keyframe(self.source),
            on_started=self._started,
        )
        self._transcoder.start()
        self._stream.taps.append(self._tap)
        self._sweep()

    def request_keyframe(self) -> None:
        """Have a keyframe made soon."""
        if self._transcoder:
            self._transcoder.request_keyframe()

    def begin_publication(self) -> None:
        """Another publisher goes on with the track, perhaps with other parameters."""
        if self._transcoder:
            self._transcoder.begin_publication(self.source.track)

    def end(self) -> None:
        """Make it no more, until it is wanted again."""
        if self._transcoder is None:
            return
        if self._sweeper:
            self._sweeper.cancel()
        self._stream.taps.remove(self._tap)
        ending = self._loop.create_task(self._transcoder.stop())
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)
        self._transcoder = None
        self.message = None
        if self.track:
            self.track.pause()

    async def stop(self) -> None:
        """Make it never again: the stream is over. Wait until nothing is left of it."""
        self._over = True
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_exception(_ended(self._stream))
        self.end()
        await asyncio.gather(*self._ending)

    def _started(self) -> None:
        """A process has begun, perhaps once more: it knows nothing of what came before."""
        if self._transcoder and self.source.is_video:
            # What is shown now can be decoded only from where it began.
            self._transcoder.write(self.source.cache.group(), self.source.place(0.0))
            if not self.source.cache.bytes:
                self._stream.request_keyframe(self.source)

    def _tap(self, tracks: Sequence[StreamTrack]) -> None:
        if self._transcoder and self.source.pending:
            self._transcoder.write(self.source.pending, self.source.place(0.0))

    def _made_of(self, track: Track) -> None:
        if self.track is None:
            self.track = self._stream.add_rendition(track, self)
        else:
            self.track.track = track
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(self.track)

    def _made(self, batches: Sequence[Batch]) -> None:
        if self.track and self._transcoder:
            self._stream.take_rendition(self.track, batches, time.monotonic())

    def _said(self, message: str | None) -> None:
        self.message = message

    def _sweep(self) -> None:
        """End it when it is not taken any more."""
        now = time.monotonic()
        if self.track and (self.track.outputs or self.track.tapped):
            self._wanted_until = now + UNWATCHED_S
        if now > self._wanted_until and not self._waiting:
            self.end()
        else:
            self._sweeper = self._loop.call_later(_SWEEP_S, self._sweep)


def _ended(stream: Stream) -> ConversionError:
    return ConversionError(f"'{stream.name}' has ended.")
