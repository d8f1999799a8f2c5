"""From coded pictures and sound to batches of RTP packets."""

from __future__ import annotations

from fractions import Fraction
from math import floor

from streamsocket.codecs.coded import Coded
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.payload import packetizer


def ticks(seconds: Fraction, clock_rate: int) -> int:
    """Seconds as ticks of a clock, rounded to the nearest, halves up."""
    return floor(seconds * clock_rate + Fraction(1, 2))


class Packer:
    """Packs the access units of one track."""

    def __init__(self, codec: Codec) -> None:
        self._clock_rate = codec.clock_rate
        self._packetizer = packetizer(codec)

    def pack(self, coded: Coded, pts: Fraction) -> Batch | None:
        """Pack a unit that is shown at `pts` seconds of the source's time line.

        The batch's `capture_time` is still on that time line too. None where nothing is in it.
        """
        timestamp = ticks(pts, self._clock_rate)
        unit = AccessUnit(coded.units, timestamp, coded.keyframe)
        payloads = self._packetizer.packetize(unit)
        if not payloads:
            return None
        return build_batch(
            payloads,
            timestamp=timestamp,
            capture_time=float(pts),
            keyframe=coded.keyframe,
            marker=self._packetizer.marker,
        )
