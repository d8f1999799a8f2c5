"""Publishing a stream of the hub on an RTMP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streamsocket.errors import ConnectError, ParseError
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265
from streamsocket.media.decode_order import DecodeTimes
from streamsocket.media.h264 import parse_sps as parse_h264_sps
from streamsocket.media.h265 import parse_sps as parse_h265_sps
from streamsocket.rtmp.client import RtmpPush
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import MARKER, parse_rtp
from streamsocket.rtp.payload import depacketizer

_ASSUMED_FRAME_RATE = 30


async def push_rtmp(
    stream: Stream, url: str, *, timeout_s: float = 10.0, on_live: Callable[[], None]
) -> None:
    """Publish a stream at `url` until it ends; `on_live` is called once the server takes it.

    Raises ConnectError if the server refuses or vanishes, StreamSocketError for a codec that RTMP
    has no place for.
    """
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def lost(failure: ConnectError) -> None:
        if not over.done():
            over.set_exception(failure)

    def ended() -> None:
        if not over.done():
            over.set_result(None)

    push = RtmpPush(on_lost=lost)
    await push.open(url, [track.track for track in stream.tracks], timeout_s)
    units = _Units(stream.tracks, push.write)
    try:
        for track in stream.tracks:
            units.take(track, track.cache.group() if track.is_video else [])
        stream.taps.append(units)
        stream.on_end.append(ended)
        on_live()
        await over
    finally:
        if units in stream.taps:
            stream.taps.remove(units)
        if ended in stream.on_end:
            stream.on_end.remove(ended)
        push.close()


class _Units:
    """Makes access units of what a stream flushes, with decoding times."""

    def __init__(
        self, tracks: Sequence[StreamTrack], write: Callable[[int, AccessUnit, int], None]
    ) -> None:
        self._write = write
        self._depacketizers = [depacketizer(track.track.codec) for track in tracks]
        self._decode_times = [_decode_times(track) if track.is_video else None for track in tracks]
        self._next: list[int | None] = [None] * len(tracks)

    def __call__(self, tracks: Sequence[StreamTrack]) -> None:
        """Take what is pending of these tracks."""
        for track in tracks:
            self.take(track, track.pending)

    def take(self, track: StreamTrack, batches: Sequence[Batch]) -> None:
        """Take batches of one track."""
        for batch in batches:
            expected = self._next[track.index]
            if expected is not None and batch.sequence < expected:
                continue  # it was in the keyframe cache, too
            self._next[track.index] = batch.sequence + len(batch.sizes)
            gap = expected is not None and batch.sequence > expected
            for data in batch.packets():
                self._packet(track, data, batch.timestamp, gap)
                gap = False

    def _packet(self, track: StreamTrack, data: memoryview, timestamp: int, gap: bool) -> None:
        index = track.index
        try:
            payload = parse_rtp(data).payload
            units = self._depacketizers[index].push(payload, timestamp, data[1] >= MARKER, gap)
        except ParseError:
            return  # it costs its access unit
        for unit in units:
            unit.timestamp -= track.place(0.0)
            decode_times = self._decode_times[index]
            dts = decode_times.next(unit.timestamp) if decode_times else unit.timestamp
            self._write(index, unit, dts)


def _decode_times(track: StreamTrack) -> DecodeTimes:
    rate = track.track.frame_rate or _ASSUMED_FRAME_RATE
    return DecodeTimes(_reordering(track), round(track.clock_rate / rate))


def _reordering(track: StreamTrack) -> int | None:
    """How many pictures wait for others, as the parameter sets say."""
    codec = track.track.codec
    try:
        if isinstance(codec, H264):
            return parse_h264_sps(codec.sps).max_reorder
        if isinstance(codec, H265):
            return parse_h265_sps(codec.sps).max_reorder
    except ParseError:
        pass  # the stream has them in band
    return None
