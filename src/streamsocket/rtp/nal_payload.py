"""Access units of H.264 and H.265 into payloads, and back."""

from __future__ import annotations

from typing import ClassVar, Generic

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.rtp.nal_format import (
    AGGREGATION,
    FRAGMENT,
    FRAGMENT_END,
    FRAGMENT_START,
    KEYFRAME,
    PREFIX,
    SLICE,
    UNDEFINED,
    NalFormat,
)
from streamsocket.rtp.parameter_sets import NalCodec, ParameterSets

MAX_ACCESS_UNIT = 8 << 20
"""Bytes that an access unit may grow to while it is received, with what its parts cost."""
_OVERHEAD = 64
"""What a payload costs beyond its bytes: a million empty ones must not pass for a megabyte."""


class NalPacketizer(Generic[NalCodec]):
    """Access units in, payloads out."""

    format: ClassVar[NalFormat]
    marker: ClassVar[bool] = True

    def __init__(self, codec: NalCodec) -> None:
        self._parameter_sets: ParameterSets[NalCodec] = ParameterSets(codec)

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit.

        A keyframe that comes without its parameter sets gets those in force, so that a viewer can
        begin with it.
        """
        units = self._parameter_sets.put_in(unit.units) if unit.keyframe else unit.units
        return self.format.pack(units)


class NalDepacketizer(Generic[NalCodec]):
    """Payloads in, access units out as soon as their marker comes.

    Missing markers are made up for when the timestamp changes. Parameter sets that come on their
    own, as some cameras send them, are put before the next picture.
    """

    format: ClassVar[NalFormat]

    def __init__(self, codec: NalCodec) -> None:
        self._format = self.format  # found faster than the class's
        self._roles = self.format.roles
        self._data_at = self.format.fragment_data_at
        self._parameter_sets: ParameterSets[NalCodec] = ParameterSets(codec)
        self._units: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._has_picture = False
        self._keyframe = False
        self._damaged = False
        self._fragments: list[bytes] = []

    @property
    def codec(self) -> NalCodec:
        """With the parameter sets last seen in band."""
        return self._parameter_sets.codec

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it.

        Returns the access units that are complete now. Raises ParseError for a payload that breaks
        the rules, which damages the access unit it would have belonged to and no other.
        """
        finished: list[AccessUnit] = []
        if timestamp != self._timestamp:
            if gap and self._has_picture:
                self._damaged = True
            finished = self._finish()
            self._timestamp = timestamp
            gap = gap and not self._format.begins_access_unit(payload)
        if gap:
            self._lose_fragments()
            self._damaged = True
        try:
            self._take(payload)
        except ParseError:
            self._damaged = True
            if not finished:
                raise
        if marker:
            finished += self._finish()
        return finished

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""
        return self._finish()

    def _take(self, payload: bytes | memoryview) -> None:
        size = len(payload)
        self._size += size + _OVERHEAD
        if self._size > MAX_ACCESS_UNIT:
            self._start_over()
            raise ParseError(
                f"An access unit of {self._format.name} is longer than {MAX_ACCESS_UNIT} bytes."
            )
        data_at = self._data_at
        if size < data_at - 1:
            raise ParseError(f"A payload of {self._format.name} is shorter than its header.")
        role = self._roles[payload[0]]
        if role == FRAGMENT:
            if size > data_at and self._fragments and payload[data_at - 1] < FRAGMENT_END:
                self._fragments.append(bytes(payload[data_at:]))  # nothing else to do for most
            else:
                self._take_fragment(payload)
            return
        if self._fragments:
            self._lose_fragments()
        if role == AGGREGATION:
            for unit in self._format.split_aggregation(payload):
                self._size += _OVERHEAD
                self._add(unit)
        elif role == UNDEFINED:
            raise ParseError(f"A payload of {self._format.name} has a type that is not supported.")
        else:
            self._add(bytes(payload))

    def _take_fragment(self, payload: bytes | memoryview) -> None:
        data_at = self._data_at
        if len(payload) <= data_at:
            raise ParseError(f"A fragment of {self._format.name} is empty.")
        flags = payload[data_at - 1]
        fragments = self._fragments
        if flags & FRAGMENT_START:
            self._lose_fragments()
            fragments.append(self._format.fragmented_header(payload))
        elif not fragments:
            self._damaged = True  # its beginning was lost
            return
        fragments.append(bytes(payload[data_at:]))
        if flags & FRAGMENT_END:
            unit = b"".join(fragments)
            fragments.clear()
            self._add(unit)

    def _add(self, unit: bytes) -> None:
        role = self._roles[unit[0]]
        if role == SLICE:
            self._has_picture = True
        elif role == KEYFRAME:
            self._has_picture = self._keyframe = True
        elif role == PREFIX:
            syntax = self._format.syntax
            if syntax.nal_type(unit) in syntax.parameter_sets:
                self._parameter_sets.learn(unit)
            else:
                self._keyframe |= syntax.is_keyframe((unit,))
        self._units.append(unit)

    def _lose_fragments(self) -> None:
        if self._fragments:
            self._fragments.clear()
            self._damaged = True

    def _finish(self) -> list[AccessUnit]:
        self._lose_fragments()
        if not self._has_picture or self._timestamp is None:
            self._damaged = False  # what was lost here was not of the picture to come
            return []  # parameter sets are kept for it
        unit = AccessUnit(
            self._units, self._timestamp, keyframe=self._keyframe, damaged=self._damaged
        )
        self._start_over()
        return [unit]

    def _start_over(self) -> None:
        self._units = []
        self._fragments.clear()
        self._size = 0
        self._has_picture = False
        self._keyframe = False
        self._damaged = False
