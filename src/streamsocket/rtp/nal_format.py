"""NAL units in payloads: what RFC 6184 (H.264) and RFC 7798 (H.265) have in common.

A payload is a NAL unit, or several small ones together (an aggregation packet), or a fragment of
a long one. Each kind has a header like a NAL unit's, with a type that no NAL unit has.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar

from streamsocket.errors import ParseError
from streamsocket.media.nal import NalSyntax
from streamsocket.rtp.packet import MAX_PAYLOAD

FRAGMENT_START = 0x80
FRAGMENT_END = 0x40
"""In the byte that follows a fragment's header and has the NAL unit's type, too."""


# What a payload or a NAL unit is.
UNDEFINED, KEYFRAME, SLICE, PREFIX, OTHER, AGGREGATION, FRAGMENT = range(7)


class NalFormat(ABC):
    """How the payloads of one codec are laid out. It has no state."""

    name: ClassVar[str]
    """As it stands in messages."""
    syntax: ClassVar[NalSyntax]
    single: ClassVar[range]
    """The types of payloads that are a NAL unit."""
    aggregation: ClassVar[int]
    fragmentation: ClassVar[int]
    kept: ClassVar[int]
    """The bits of a NAL unit's header, as a number, that aren't its type."""

    def __init__(self) -> None:
        syntax = self.syntax
        self.roles = bytes(self._role(syntax.nal_type(bytes((byte,)))) for byte in range(256))
        """What a payload is, or a NAL unit, by its first byte; `PREFIX` precedes a picture."""
        self.fragment_data_at = syntax.header_size + 1
        """Where the data is in a fragment."""
        self.fragment_size = MAX_PAYLOAD - self.fragment_data_at
        """Bytes of a NAL unit in one fragment."""
        self._shift = syntax.type_shift + 8 * (syntax.header_size - 1)

    @abstractmethod
    def aggregation_bits(self, headers: Iterable[int]) -> int:
        """What the `kept` bits are where NAL units with these headers go together."""

    def pack(self, units: Sequence[bytes]) -> list[bytes]:
        """Payloads for NAL units: single, small ones before a picture together, long ones cut."""
        payloads: list[bytes] = []
        small: list[bytes] = []
        header_size = self.syntax.header_size
        room = empty = MAX_PAYLOAD - header_size
        for unit in units:
            size = len(unit)
            role = self.roles[unit[0]] if size >= header_size else UNDEFINED
            if not UNDEFINED < role < AGGREGATION:
                continue  # it is not defined, and in RTP these numbers mean something else
            if role == PREFIX and size + 2 <= empty:
                if size + 2 > room:
                    payloads.append(self._together(small))
                    small, room = [], empty
                small.append(unit)
                room -= size + 2
                continue
            if small:
                payloads.append(self._together(small))
                small, room = [], empty
            if size <= MAX_PAYLOAD:
                payloads.append(unit)
            else:
                header = int.from_bytes(unit[:header_size], "big")
                payloads += self.fragment(header, unit[header_size:])
        if small:
            payloads.append(self._together(small))
        return payloads

    def fragment(
        self, header: int, data: bytes, *, first: bool = True, last: bool = True
    ) -> list[bytes]:
        """Fragments, all as long as can be but the last, for a NAL unit or a part of one.

        `header` is the NAL unit's and `data` what follows it; `first` and `last` tell whether the
        unit begins and ends with `data`.
        """
        size, data_at = self.fragment_size, self.fragment_data_at
        kind = header >> self._shift & self.syntax.type_mask
        number = (header & self.kept | self.fragmentation << self._shift) << 8 | kind
        middle = number.to_bytes(data_at, "big")
        payloads = [middle + data[start : start + size] for start in range(0, len(data), size)]
        if first:
            payloads[0] = (number | FRAGMENT_START).to_bytes(data_at, "big") + data[:size]
        if last:
            end = payloads[-1]
            flags = end[data_at - 1] | FRAGMENT_END
            payloads[-1] = middle[:-1] + bytes((flags,)) + end[data_at:]
        return payloads

    def split_aggregation(self, payload: bytes | memoryview) -> list[bytes]:
        """The NAL units of an aggregation packet."""
        units = []
        header_size = position = self.syntax.header_size
        end = len(payload)
        while position < end:
            start = position + 2
            if start > end:
                raise ParseError(f"An aggregation packet of {self.name} ends within a length.")
            position = start + (payload[position] << 8 | payload[position + 1])
            if position > end or position < start + header_size:
                raise ParseError(
                    f"An aggregation packet of {self.name} has a NAL unit that isn't all there."
                )
            units.append(bytes(payload[start:position]))
        return units

    def fragmented_header(self, fragment: bytes | memoryview) -> bytes:
        """The header of the NAL unit that a fragment is of."""
        header_size = self.syntax.header_size
        kind = fragment[header_size] & self.syntax.type_mask
        kept = int.from_bytes(fragment[:header_size], "big") & self.kept
        return (kept | kind << self._shift).to_bytes(header_size, "big")

    def begins_access_unit(self, payload: bytes | memoryview) -> bool:
        """Whether nothing of a picture can be missing before this payload, the first we have."""
        role = self.roles[payload[0]] if payload else UNDEFINED
        if role == FRAGMENT:
            data_at = self.fragment_data_at
            if len(payload) <= data_at or not payload[data_at - 1] & FRAGMENT_START:
                return False
            header = self.fragmented_header(payload)
            return self.begins_access_unit(header + payload[data_at : data_at + 1])
        if role == AGGREGATION:
            first = self.syntax.header_size + 2
            return self.begins_access_unit(payload[first : first + self.syntax.header_size + 1])
        if role in (KEYFRAME, SLICE):
            return self.syntax.starts_picture(payload)
        return role == PREFIX

    def _role(self, kind: int) -> int:
        syntax = self.syntax
        if kind in self.single:
            if kind <= syntax.last_slice:
                return KEYFRAME if kind in syntax.keyframes else SLICE
            before = (*syntax.parameter_sets, syntax.sei, syntax.delimiter)
            return PREFIX if kind in before else OTHER
        return {self.aggregation: AGGREGATION, self.fragmentation: FRAGMENT}.get(kind, UNDEFINED)

    def _together(self, units: list[bytes]) -> bytes:
        """An aggregation packet, or the unit itself where there is one only."""
        if len(units) == 1:
            return units[0]
        header_size = self.syntax.header_size
        bits = self.aggregation_bits(int.from_bytes(unit[:header_size], "big") for unit in units)
        parts = [(bits | self.aggregation << self._shift).to_bytes(header_size, "big")]
        for unit in units:
            parts += (len(unit).to_bytes(2, "big"), unit)
        return b"".join(parts)
