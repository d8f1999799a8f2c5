"""PES packets: put together from transport packets, and their times (ISO/IEC 13818-1, 2.4.3.6)."""

from __future__ import annotations

from dataclasses import dataclass

from streamsocket.mpegts.packets import Packet

MAX_PES = 8 << 20
"""Bytes: as much as an access unit may have."""

_PREFIX = b"\x00\x00\x01"
_LENGTH_ENDS = 6
"""What PES_packet_length counts begins here."""
_HEADER = 9
_WITHOUT_HEADER = {0xBC, 0xBE, 0xBF, 0xF0, 0xF1, 0xF2, 0xF8, 0xFF}
"""Stream ids of maps, padding and private data."""
_TRUSTED_AFTER = 8


@dataclass(slots=True)
class Pes:
    """One PES packet."""

    pts: int | None
    """Presentation time, 33 bits of 90 kHz."""
    dts: int | None
    """Decoding time; the same as `pts` where the packet gives no other."""
    data: bytes
    length: int
    """PES_packet_length; 0 where it is not told."""
    hole: int | None = None
    """Where in `data` something was lost on the way."""


class PesReader:
    """Puts the PES packets of one PID together.

    Pictures mostly come without a length, and then a PES packet is known to have ended only when
    the next one begins: a whole picture later. But multiplexers fill its last transport packet up
    with stuffing, and no other one. Once that has been seen a few times, it counts as the end.
    """

    def __init__(self) -> None:
        self.malformed = 0
        """PES packets that made no sense and were left out."""
        self._data = bytearray()
        self._open = False
        self._length: int | None = None
        self._hole: int | None = None
        self._stuffed = False
        self._ended_by_stuffing = False
        self._endings = 0
        self._stuffing_misleads = False

    def push(self, packet: Packet, *, lost: bool) -> list[Pes]:
        """Take a packet with a payload; return the PES packets that are complete now.

        `lost` says that packets are missing before it.
        """
        finished: list[Pes] = []
        if packet.begins:
            if self._open:
                self._endings += self._stuffed
                # One whose length is told would have ended by itself.
                if lost or self._length:
                    self._note_hole()
                finished = self._finish()
            self._open = True
        elif self._open:
            if lost:
                self._note_hole()
            else:
                self._stuffing_misleads |= self._stuffed
        else:
            self._stuffing_misleads |= self._ended_by_stuffing and not lost
            return []
        self._ended_by_stuffing = False
        self._stuffed = packet.stuffed
        self._data += packet.payload
        if self._length is None and len(self._data) >= _LENGTH_ENDS:
            self._length = self._data[4] << 8 | self._data[5]
        if self._has_ended():
            finished += self._finish()
        elif len(self._data) > MAX_PES:
            self._start_over()
            self.malformed += 1
        return finished

    def _has_ended(self) -> bool:
        if self._length:
            return len(self._data) >= _LENGTH_ENDS + self._length
        self._ended_by_stuffing = (
            self._stuffed and self._endings >= _TRUSTED_AFTER and not self._stuffing_misleads
        )
        return self._ended_by_stuffing

    def _note_hole(self) -> None:
        if self._hole is None:
            self._hole = len(self._data)

    def _finish(self) -> list[Pes]:
        data, length, hole = bytes(self._data), self._length or 0, self._hole
        self._start_over()
        if length:
            data = data[: _LENGTH_ENDS + length]
        pes = _parse(data, length, hole)
        if pes is None:
            self.malformed += 1
            return []
        return [pes]

    def _start_over(self) -> None:
        self._data.clear()
        self._open = self._stuffed = False
        self._length = self._hole = None


def _parse(data: bytes, length: int, hole: int | None) -> Pes | None:
    """A whole PES packet; None where it can't be one."""
    if len(data) < _HEADER or not data.startswith(_PREFIX) or data[3] in _WITHOUT_HEADER:
        return None
    payload_at = _HEADER + data[8]
    if data[6] & 0xC0 != 0x80 or payload_at > len(data):
        return None
    pts = dts = None
    if data[7] & 0x80 and data[8] >= 5:
        pts = dts = _timestamp(data, _HEADER)
        if data[7] & 0x40 and data[8] >= 10:
            dts = _timestamp(data, _HEADER + 5)
    if hole is not None:
        hole = max(0, min(hole, len(data)) - payload_at)
    return Pes(pts, dts, data[payload_at:], length, hole)


def _timestamp(data: bytes, position: int) -> int:
    """33 bits with marker bits between them."""
    top, high, middle, low, bottom = data[position : position + 5]
    return (top & 0x0E) << 29 | high << 22 | (middle & 0xFE) << 14 | low << 7 | bottom >> 1
