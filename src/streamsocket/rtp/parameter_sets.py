"""The parameter sets of an H.264 stream that are in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from streamsocket.errors import ParseError
from streamsocket.media import h264
from streamsocket.media.bits import BitReader
from streamsocket.media.codec import H264

_BEFORE_ID = {h264.SPS: 4, h264.PPS: 1}
"""Bytes of a parameter set before the Exp-Golomb code of its id (H.264, 7.3.2.1.1, 7.3.2.2)."""
_MAX_ID = {h264.SPS: 31, h264.PPS: 255}


class ParameterSets:
    """Learns parameter sets as they come in band, and puts them in where they are missing.

    A stream can have several of them, told apart by their ids.
    """

    def __init__(self, codec: H264) -> None:
        self.codec = codec
        """With the SPS and PPS of the lowest ids; another object once they change."""
        self._sets: dict[tuple[int, int], bytes] = {}
        self._learn_sound((codec.sps, codec.pps))

    def learn(self, unit: bytes) -> None:
        """Take in an SPS or a PPS. Raises ParseError for one whose id can't be."""
        sets = self._sets
        kind = unit[0] & 0x1F
        start = _BEFORE_ID[kind]
        key = kind, BitReader(unit[start : start + 4]).unsigned()
        if key[1] > _MAX_ID[kind]:
            raise ParseError(f"An H.264 parameter set has the impossible id {key[1]}.")
        if sets.get(key) == unit:
            return
        if kind == h264.SPS and key in sets:
            # What was meant for the sequence before is over; the PPSs come again with the SPS.
            for old in [key for key in sets if key[0] == h264.PPS]:
                del sets[old]
        sets[key] = unit
        sps, pps = self._lowest(h264.SPS), self._lowest(h264.PPS)
        # The codec changes when the pair is whole again.
        if pps and (sps, pps) != (self.codec.sps, self.codec.pps):
            self.codec = H264(sps, pps)

    def put_in(self, units: list[bytes]) -> list[bytes]:
        """The NAL units of a keyframe with parameter sets, which are put in if they are missing.

        Those it brings are learnt.
        """
        self._learn_sound(units)
        kinds = {unit[0] & 0x1F for unit in units if unit}
        if {h264.SPS, h264.PPS} <= kinds:
            return units
        # SPSs, then PPSs, and before them only the delimiter (7.4.1.2.3).
        sets = [self._sets[key] for key in sorted(self._sets)]
        delimiters = [unit for unit in units[:1] if h264.ACCESS_UNIT_DELIMITER in kinds]
        others = [unit for unit in units[len(delimiters) :] if unit not in sets]
        return [*delimiters, *sets, *others]

    def _learn_sound(self, units: Iterable[bytes]) -> None:
        """Take in what parameter sets there are, and leave broken ones to the decoder."""
        for unit in units:
            if unit and unit[0] & 0x1F in _BEFORE_ID:
                with contextlib.suppress(ParseError):
                    self.learn(unit)

    def _lowest(self, kind: int) -> bytes:
        ids = [key for key in self._sets if key[0] == kind]
        return self._sets[min(ids)] if ids else b""
