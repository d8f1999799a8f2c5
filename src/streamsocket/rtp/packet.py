"""The RTP packet (RFC 3550, 5.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamsocket.errors import ParseError

HEADER = struct.Struct("!BBHII")
_EXTENSION = struct.Struct("!HH")


@dataclass(slots=True)
class RtpPacket:
    """One packet, with its padding, CSRCs and extension taken off."""

    payload_type: int
    marker: bool
    sequence: int
    timestamp: int
    ssrc: int
    payload: bytes | memoryview


def parse_rtp(data: bytes | memoryview) -> RtpPacket:
    """Read an RTP packet. Raises `ParseError`."""
    if len(data) < HEADER.size:
        raise ParseError(f"An RTP packet of {len(data)} bytes is too short for its header.")
    first, second, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    if first >> 6 != 2:
        raise ParseError(f"An RTP packet has version {first >> 6}, not 2.")
    start = HEADER.size
    end = len(data)
    if first & 0x3F:
        start, end = _payload_bounds(data, first)
    return RtpPacket(second & 0x7F, second >= 0x80, sequence, timestamp, ssrc, data[start:end])


def _payload_bounds(data: bytes | memoryview, first: int) -> tuple[int, int]:
    start = HEADER.size + 4 * (first & 0x0F)
    if first & 0x10:
        if start + 4 > len(data):
            raise ParseError("An RTP packet ends within its header extension.")
        start += 4 + 4 * _EXTENSION.unpack_from(data, start)[1]
    end = len(data)
    if first & 0x20:
        if not data[-1]:
            raise ParseError("An RTP packet claims padding of 0 bytes.")
        end -= data[-1]
    if start > end:
        raise ParseError("An RTP packet's header and padding are longer than the packet.")
    return start, end


def is_rtcp(data: bytes | memoryview) -> bool:
    """Whether a packet on a shared port is RTCP rather than RTP (RFC 5761, 4)."""
    return len(data) >= 2 and 192 <= data[1] <= 223


class Unwrapper:
    """Makes numbers that wrap at 2**bits into numbers that don't.

    The next number is taken as the one nearest to the greatest seen so far, so that packets
    out of order keep theirs. The first is returned as it is.
    """

    def __init__(self, bits: int) -> None:
        self._half = 1 << bits - 1
        self._mask = (1 << bits) - 1
        self._newest: int | None = None

    def unwrap(self, value: int) -> int:
        """Return the number without wraps; negative for what came before the first's 0."""
        if self._newest is None:
            self._newest = value
            return value
        unwrapped = self._newest + (value - self._newest + self._half & self._mask) - self._half
        self._newest = max(self._newest, unwrapped)
        return unwrapped
