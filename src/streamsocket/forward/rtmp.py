"""Publishing a stream of the hub on an RTMP server."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from streamsocket.errors import ConnectError, ParseError
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.matching.ability import Ability
from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.decode_order import DecodeTimes, reorder_depth
from streamsocket.rtmp.client import RtmpPush
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import MARKER, parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.wording import codec_name

_ASSUMED_FRAME_RATE = 30


# Every server that takes RTMP takes these; other codecs came with Enhanced RTMP, and not to all.
_PLAYS = {"h264", "h265", "aac"}

ABILITY = Ability(
    lambda form: (
        None
        if form.codec.name in _PLAYS
        else f"{codec_name(form.codec.name)} is nothing that all RTMP servers take."
    ),
    {"video": (Target("h264"),), "audio": (Target("aac"),)},
)
"""What an RTMP server is sent."""


async def push_rtmp(
    stream: Stream,
    tracks: Sequence[StreamTrack],
    url: str,
    *,
    timeout_s: float = 10.0,
    on_live: Callable[[], None],
) -> None:
    """Publish tracks of a stream at `url` until it ends; `on_live` is called once they are taken.

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
    await push.open(url, [track.track for track in tracks], timeout_s)
    units = _Units(tracks, push.write)
    for track in tracks:
        track.tapped += 1
        if track.maker:
            track.maker.wanted()
    try:
        for track in tracks:
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
        for track in tracks:
            track.tapped -= 1
        push.close()


class _Units:
    """Makes access units of what a stream flushes, with decoding times."""

    def __init__(
        self, tracks: Sequence[StreamTrack], write: Callable[[int, AccessUnit, int], None]
    ) -> None:
        self._write = write
        self._places = {track: place for place, track in enumerate(tracks)}
        self._depacketizers = [depacketizer(track.track.codec) for track in tracks]
        self._decode_times = [_decode_times(track) if track.is_video else None for track in tracks]
        self._next: list[int | None] = [None] * len(tracks)

    def __call__(self, tracks: Sequence[StreamTrack]) -> None:
        """Take what is pending of these tracks."""
        for track in tracks:
            if track in self._places:
                self.take(track, track.pending)

    def take(self, track: StreamTrack, batches: Sequence[Batch]) -> None:
        """Take batches of one track."""
        place = self._places[track]
        for batch in batches:
            expected = self._next[place]
            if expected is not None and batch.sequence < expected:
                continue  # it was in the keyframe cache, too
            self._next[place] = batch.sequence + len(batch.sizes)
            gap = expected is not None and batch.sequence > expected
            for data in batch.packets():
                self._packet(track, place, data, batch.timestamp, gap)
                gap = False

    def _packet(
        self, track: StreamTrack, place: int, data: memoryview, timestamp: int, gap: bool
    ) -> None:
        try:
            payload = parse_rtp(data).payload
            units = self._depacketizers[place].push(payload, timestamp, data[1] >= MARKER, gap)
        except ParseError:
            return  # it costs its access unit
        for unit in units:
            unit.timestamp -= track.place(0.0)
            decode_times = self._decode_times[place]
            dts = decode_times.next(unit.timestamp) if decode_times else unit.timestamp
            self._write(place, unit, dts)


def _decode_times(track: StreamTrack) -> DecodeTimes:
    rate = track.track.frame_rate or _ASSUMED_FRAME_RATE
    return DecodeTimes(reorder_depth(track.track.codec), round(track.clock_rate / rate))
