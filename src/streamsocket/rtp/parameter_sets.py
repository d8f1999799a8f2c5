"""The parameter sets of an H.264 or H.265 stream that are in force."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import fields
from typing import Generic, TypeVar

from streamsocket.errors import ParseError
from streamsocket.media import h264, h265
from streamsocket.media.codec import H264, H265

NalCodec = TypeVar("NalCodec", H264, H265)
"""A codec whose fields are its parameter sets, in the order of their types."""


class ParameterSets(Generic[NalCodec]):
    """Learns parameter sets as they come in band, and puts them in where they are missing.

    A stream can have several of each type, told apart by their ids.
    """

    def __init__(self, codec: NalCodec) -> None:
        self.codec: NalCodec = codec
        """With the parameter sets of the lowest ids; another object once they change."""
        self._syntax = h264.SYNTAX if isinstance(codec, H264) else h265.SYNTAX
        self._kinds = self._syntax.parameter_sets
        self._sets: dict[tuple[int, int], bytes] = {}
        self._learn_sound(getattr(codec, field.name) for field in fields(codec))

    def learn(self, unit: bytes) -> None:
        """Take in a parameter set. Raises ParseError for one whose id can't be."""
        sets = self._sets
        kind = self._syntax.nal_type(unit)
        key = kind, self._syntax.parameter_set_id(unit)
        if sets.get(key) == unit:
            return
        if key in sets:
            # What was meant for the sequence before is over; what refers to it comes again with it.
            for old in [key for key in sets if key[0] > kind]:
                del sets[old]
        sets[key] = unit
        lowest = [self._lowest(kind) for kind in self._kinds]
        # The codec changes when the parameter sets are whole again.
        if all(lowest) and (codec := type(self.codec)(*lowest)) != self.codec:
            self.codec = codec

    def put_in(self, units: list[bytes]) -> list[bytes]:
        """The NAL units of a keyframe with parameter sets, which are put in if they are missing.

        Those it brings are learnt.
        """
        self._learn_sound(units)
        kinds = {self._syntax.nal_type(unit) for unit in units if unit}
        if kinds.issuperset(self._kinds):
            return units
        # In the order of their types, and before them only the delimiter (H.264, 7.4.1.2.3).
        sets: list[bytes] = [self._sets[key] for key in sorted(self._sets)]
        delimiters: list[bytes] = [unit for unit in units[:1] if self._syntax.delimiter in kinds]
        others: list[bytes] = [unit for unit in units[len(delimiters) :] if unit not in sets]
        return [*delimiters, *sets, *others]

    def _learn_sound(self, units: Iterable[bytes]) -> None:
        """Take in what parameter sets there are, and leave broken ones to the decoder."""
        for unit in units:
            if unit and self._syntax.nal_type(unit) in self._kinds:
                with contextlib.suppress(ParseError):
                    self.learn(unit)

    def _lowest(self, kind: int) -> bytes:
        ids = [key for key in self._sets if key[0] == kind]
        return self._sets[min(ids)] if ids else b""
