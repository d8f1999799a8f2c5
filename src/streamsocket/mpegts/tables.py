"""What is in the stream: the programme association and programme map tables.

Section numbers are those of ISO/IEC 13818-1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

from streamsocket.errors import ParseError

PAT_PID = 0
_PAT_ID, _PMT_ID = 0, 2
_MAX_SECTION = 1024
_HEADER = 8
_CRC = 4
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_REGISTRATION = 0x05
_EXTENSION = 0x7F


class SectionReader:
    """Puts the sections of one PID together (2.4.4)."""

    def __init__(self) -> None:
        self._parts = bytearray()
        self._reading = False

    def push(self, payload: bytes, *, begins: bool, lost: bool) -> list[bytes]:
        """Take a packet's payload; return the sections that end in it.

        `begins` says that a section begins in it, `lost` that packets are missing before it.
        """
        if lost:
            self._reading = False
        if not begins:
            return self._add(payload) if self._reading else []
        if not payload:
            return []
        start = 1 + payload[0]  # pointer_field
        finished = self._add(payload[1:start]) if self._reading else []
        self._reading = True
        self._parts.clear()
        return finished + self._add(payload[start:])

    def _add(self, data: bytes) -> list[bytes]:
        parts = self._parts
        parts += data
        finished: list[bytes] = []
        while len(parts) >= 3 and parts[0] != 0xFF:  # stuffing after the last section
            length = 3 + ((parts[1] & 0x0F) << 8 | parts[2])
            if length > _MAX_SECTION:
                self._reading = False
                break
            if len(parts) < length:
                return finished
            finished.append(bytes(parts[:length]))
            del parts[:length]
        if parts and parts[0] == 0xFF:
            self._reading = False
        return finished


@dataclass(frozen=True, slots=True)
class Programme:
    """A programme and where its map is."""

    number: int
    map_pid: int


@dataclass(frozen=True, slots=True)
class ElementaryStream:
    """One stream of a programme."""

    pid: int
    stream_type: int
    descriptors: tuple[tuple[int, bytes], ...] = ()
    """Tags and contents."""

    @property
    def registration(self) -> bytes:
        """The format_identifier of its registration descriptor (2.6.8)."""
        return next((body[:4] for tag, body in self.descriptors if tag == _REGISTRATION), b"")

    def extension(self, tag: int) -> bytes:
        """What its extension descriptor of that tag says after the tag (2.6.90)."""
        bodies = (body for outer, body in self.descriptors if outer == _EXTENSION)
        return next((body[1:] for body in bodies if body[:1] == bytes([tag])), b"")


@dataclass(frozen=True, slots=True)
class ProgrammeMap:
    """What a programme consists of."""

    number: int
    streams: tuple[ElementaryStream, ...]


def parse_pat(section: bytes) -> tuple[Programme, ...]:
    """The programmes in the PAT's first section (2.4.4.3); none in others, or not in force yet.

    Raises ParseError.
    """
    body = _checked(section, _PAT_ID, "PAT")
    if section[6]:  # section_number
        return ()
    found = []
    for position in range(0, len(body) - 3, 4):
        number = int.from_bytes(body[position : position + 2], "big")
        if number:  # 0 is where the network's table is
            found.append(Programme(number, _pid(body, position + 2)))
    return tuple(found)


def parse_pmt(section: bytes) -> ProgrammeMap | None:
    """A programme's map (2.4.4.8); None where it is not in force yet. Raises ParseError."""
    body = _checked(section, _PMT_ID, "PMT")
    if not body:
        return None
    if len(body) < 4:
        raise ParseError("A PMT ends inside its header.")
    number = int.from_bytes(section[3:5], "big")
    position = 4 + _length(body, 2)
    streams = []
    while position + 5 <= len(body):
        descriptors_at = position + 5
        end = descriptors_at + _length(body, position + 3)
        descriptors = _parse_descriptors(body[descriptors_at:end])
        streams.append(ElementaryStream(_pid(body, position + 1), body[position], descriptors))
        position = end
    if position > len(body):
        raise ParseError("A PMT ends inside its descriptors.")
    return ProgrammeMap(number, tuple(streams))


def crc_32(data: bytes) -> int:
    """The CRC-32 of Annex A: bits from the left, unlike zlib's.

    Over a section with its CRC at the end it is 0.
    """
    mirrored = zlib.crc32(data.translate(_REVERSED)) ^ 0xFFFF_FFFF
    return int.from_bytes(mirrored.to_bytes(4, "little").translate(_REVERSED), "big")


def _checked(section: bytes, table_id: int, name: str) -> bytes:
    """What is between a section's header and its CRC; empty where it is not in force yet."""
    if len(section) < _HEADER + _CRC or section[0] != table_id or not section[1] & 0x80:
        raise ParseError(f"A section is no {name}.")
    if crc_32(section):
        raise ParseError(f"A {name} was damaged on the way.")
    return section[_HEADER:-_CRC] if section[5] & 1 else b""  # current_next_indicator


def _parse_descriptors(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found = []
    position = 0
    while position + 2 <= len(data):
        end = position + 2 + data[position + 1]
        found.append((data[position], data[position + 2 : end]))
        position = end
    return tuple(found)


def _pid(data: bytes, position: int) -> int:
    return (data[position] & 0x1F) << 8 | data[position + 1]


def _length(data: bytes, position: int) -> int:
    return (data[position] & 0x0F) << 8 | data[position + 1]
