"""An RTMP server on a thread, and what was published there, decoded."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from streamsocket.client.decode import Decoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Kind, Track
from streamsocket.rtmp.publisher import Access
from streamsocket.rtmp.server import RtmpOptions, RtmpServer
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.payload import depacketizer

_WHITE = 215
_LOUD = 0.1
_QUIET_BEFORE_S = 0.3


@dataclass
class Received:
    """One publication."""

    name: str
    tracks: list[Track]
    batches: list[list[Batch]] = field(default_factory=list)
    jumps: int = 0
    closed: bool = False

    def write(self, track: int, batch: Batch) -> None:
        self.batches[track].append(batch)

    def note_jumps(self, count: int) -> None:
        self.jumps += count

    def flush(self) -> None:
        """Everything is kept at once."""

    def close(self) -> None:
        self.closed = True

    def units(self, index: int) -> list[AccessUnit]:
        """The track's access units, as a viewer puts them together."""
        depacketize = depacketizer(
            self.tracks[index].codec,
            {"mode": "AAC-hbr", "sizelength": "13", "indexlength": "3", "indexdeltalength": "3"},
        )
        units = []
        for batch in self.batches[index]:
            for packet in batch.packets():
                marker = bool(packet[1] & 0x80)
                units += depacketize.push(packet[12:], batch.timestamp, marker, False)
        return units + depacketize.flush()

    def frames(self, kind: Kind) -> list[VideoFrame | AudioFrame]:
        """The track's frames, decoded without a single error."""
        index = [track.kind for track in self.tracks].index(kind)
        decoder = Decoder(self.tracks[index].codec)
        frames = [frame for unit in self.units(index) for frame in decoder.decode(unit)]
        frames += decoder.flush()
        assert not decoder.errors
        return frames

    def seconds(self, kind: Kind) -> list[float]:
        """Each batch's time on the tracks' common timeline."""
        for track, batches in zip(self.tracks, self.batches, strict=True):
            if track.kind == kind:
                return [batch.timestamp / track.codec.clock_rate for batch in batches]
        raise LookupError(kind)

    def clock_offsets(self) -> list[float]:
        """For each track, by how much capture is after the common timeline at the end."""
        return [
            batches[-1].capture_time - batches[-1].timestamp / track.codec.clock_rate
            for track, batches in zip(self.tracks, self.batches, strict=True)
        ]

    def flashes(self) -> list[float]:
        """When the white pictures are shown."""
        pictures = [frame for frame in self.frames("video") if isinstance(frame, VideoFrame)]
        return [
            (frame.pts or 0) / 90_000
            for frame in pictures
            if frame.to_ndarray(format="gray").mean() > _WHITE
        ]

    def beeps(self) -> list[float]:
        """When the beeps begin."""
        onsets: list[float] = []
        last_loud = -1e9
        for frame in self.frames("audio"):
            assert isinstance(frame, AudioFrame)
            assert frame.pts is not None
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > _LOUD)
            for position in loud:
                moment = (frame.pts + int(position)) / frame.sample_rate
                if moment - last_loud > _QUIET_BEFORE_S:
                    onsets.append(moment)
                last_loud = moment
        return onsets

    def sound_minus_picture_s(self) -> list[float]:
        """For each flash, by how much the nearest beep begins after it."""
        beeps = self.beeps()
        return [min((beep - flash for beep in beeps), key=abs) for flash in self.flashes()]


class RtmpUnderTest:
    """A server that publishes to nowhere, on a loop of its own."""

    def __init__(self, access: Access | None = None) -> None:
        self.received: list[Received] = []
        self._access = access
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._loop.run_forever)

    def __enter__(self) -> RtmpUnderTest:
        self._thread.start()
        self.server = RtmpServer(self._loop, RtmpOptions(port=0), self._publish, self._access)
        self._call(self.server.open)
        return self

    def __exit__(self, *exception: object) -> None:
        self._call(self.server.close)
        self._until(lambda: not self.server.connections)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def url(self, path: str = "live/x") -> str:
        return f"rtmp://127.0.0.1:{self.server.port}/{path}"

    def finished(self, count: int = 1) -> list[Received]:
        """That many publications, once they are over."""
        self._until(lambda: len([each for each in self.received if each.closed]) >= count)
        return self.received

    def _publish(
        self,
        name: str,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
        *,
        on_replaced: Callable[[], None] | None = None,
    ) -> Received:
        received = Received(name, list(tracks), [[] for _ in tracks])
        self.received.append(received)
        return received

    def _call(self, function: Callable[[], None]) -> None:
        async def call() -> None:
            function()

        asyncio.run_coroutine_threadsafe(call(), self._loop).result(5)

    def _until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it does not happen"
            time.sleep(0.02)
