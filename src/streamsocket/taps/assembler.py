"""From the hub's packets to access units with times that all tracks of a stream share."""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec, Track
from streamsocket.rtp.payload import depacketizer
from streamsocket.taps.packets import Packets

_MARKER = 0x80
_PADDING = 0x20
_HEADER_BYTES = 12


class Assembler:
    """Puts the access units of one stream together again."""

    def __init__(self, tracks: Sequence[Track], origins: Sequence[int]) -> None:
        self.tracks = tuple(tracks)
        self._origins = tuple(origins)
        self._rates = [track.codec.clock_rate for track in tracks]
        self._next: list[int | None] = [None] * len(tracks)
        self._depacketizers = [depacketizer(track.codec) for track in tracks]

    def begin_publication(self, tracks: Sequence[Track]) -> None:
        """Another publisher goes on with the same tracks, perhaps with other parameters."""
        self.tracks = tuple(tracks)
        self._depacketizers = [depacketizer(track.codec) for track in tracks]

    @property
    def codecs(self) -> list[Codec]:
        """The codecs, with what was learnt in band."""
        return [each.codec for each in self._depacketizers]

    def take(self, packets: Packets) -> list[AccessUnit]:
        """Take a batch; return the access units of its track that are whole now.

        Timestamps count from the stream's beginning, in ticks of the track's clock rate. A batch
        that was there before gives nothing. Raises IndexError for a track that is not there.
        """
        track = packets.track
        expected = self._next[track]
        sequence = packets.sequence
        following = sequence + len(packets.sizes)
        if expected is not None and sequence < expected:
            return []
        gap = expected is not None and sequence > expected
        self._next[track] = following
        push = self._depacketizers[track].push
        data, timestamp = packets.data, packets.timestamp
        units: list[AccessUnit] = []
        start = 0
        for size in packets.sizes:
            end = start + size
            payload = data[start + _HEADER_BYTES : end]
            if data[start] & _PADDING:
                payload = payload[: max(0, len(payload) - payload[-1])] if payload else payload
            try:
                units += push(payload, timestamp, data[start + 1] >= _MARKER, gap)
            except ParseError:
                pass  # it is missing in what is put together, which says so itself
            gap = False
            start = end
        origin, rate = self._origins[track], self._rates[track]
        for unit in units:
            unit.capture_time = packets.capture_time + (unit.timestamp - timestamp) / rate
            unit.timestamp -= origin
        return units
