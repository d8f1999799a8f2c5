"""NAL units: what H.264 and H.265 have in common, and how files keep them.

Section numbers are those of ITU-T H.264; in H.265 the same is said in 7.3.1, 7.3.5 and Annex B.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from streamsocket.errors import ParseError

_START_CODE = b"\x00\x00\x01"
_RECOVERY_POINT = 6


@dataclass(frozen=True, slots=True)
class NalSyntax:
    """What is what among a codec's NAL units."""

    header_size: int
    """Bytes before the content, the first bit of which tells a picture's first slice."""
    type_shift: int
    """Where in the first byte the type is."""
    type_mask: int
    last_slice: int
    """Types up to this one are slices."""
    keyframes: frozenset[int]
    """The slices of pictures with which decoding can begin."""
    sei: int
    """Supplemental enhancement information that precedes its picture."""
    delimiter: int
    """What comes before everything else of a picture."""
    parameter_sets: tuple[int, ...]
    """Each refers to one of the type before it."""
    parameter_set_id: Callable[[bytes], int]
    """By which parameter sets of one type are told apart; ParseError for one that can't be."""

    def nal_type(self, unit: bytes | memoryview) -> int:
        """The type of a NAL unit, which must not be empty."""
        return unit[0] >> self.type_shift & self.type_mask

    def starts_picture(self, unit: bytes | memoryview) -> bool:
        """Whether a slice is the first of its picture."""
        return len(unit) > self.header_size and unit[self.header_size] >= 0x80

    def is_keyframe(self, units: Iterable[bytes]) -> bool:
        """Whether decoding can begin with these NAL units, because of their type or their SEI."""
        for unit in units:
            kind = self.nal_type(unit) if unit else -1
            if kind in self.keyframes or (kind == self.sei and self._has_recovery_point(unit)):
                return True
        return False

    def _has_recovery_point(self, sei: bytes) -> bool:
        """Whether one of the SEI's messages is a recovery point (7.3.2.3.1)."""
        sei = unescaped(sei)
        position = self.header_size
        while position < len(sei) - 1:  # the last byte has the trailing bits
            kind, position = _read_sei_number(sei, position)
            size, position = _read_sei_number(sei, position)
            if kind == _RECOVERY_POINT and size:
                return True
            position += size
        return False


def split_annexb(data: bytes) -> list[bytes]:
    """The NAL units of a byte stream with start codes (Annex B), without them."""
    before, *units = data.split(_START_CODE)
    if before.strip(b"\x00"):
        raise ParseError("The byte stream of NAL units does not begin with a start code.")
    # A NAL unit never ends with a zero byte (7.4.1): these belong to the next start code.
    stripped = (unit.rstrip(b"\x00") for unit in units)
    return [unit for unit in stripped if unit]


def split_length_prefixed(data: bytes, length_size: int) -> list[bytes]:
    """The NAL units of a sample as MP4 keeps it: each after its length of `length_size` bytes."""
    units = []
    position = 0
    end = len(data)
    while position < end:
        start = position + length_size
        position = start + int.from_bytes(data[position:start], "big")
        if start > end or position > end:
            raise ParseError("A sample ends in the middle of a NAL unit.")
        if position > start:
            units.append(data[start:position])
    return units


def read_units(record: bytes, position: int, count: int) -> tuple[list[bytes], int]:
    """So many NAL units of an `avcC` or `hvcC` record from `position` on, and where they end."""
    units = []
    for _ in range(count):
        start = position + 2
        position = start + int.from_bytes(record[position:start], "big")
        if position > len(record) or position <= start:
            raise ParseError("The codec's configuration ends in the middle of a parameter set.")
        units.append(record[start:position])
    return units, position


def unescaped(data: bytes) -> bytes:
    """Without emulation prevention: 00 00 03 stands for 00 00 (7.3.1)."""
    return data.replace(b"\x00\x00\x03", b"\x00\x00")


def _read_sei_number(sei: bytes, position: int) -> tuple[int, int]:
    """A number in bytes that are added up to the first that isn't 255, and where it ends."""
    number = 0
    while position < len(sei):
        number += sei[position]
        position += 1
        if sei[position - 1] != 0xFF:
            break
    return number, position
