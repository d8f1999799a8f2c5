"""The RTP packet (RFC 3550, 5.1), and numbers that wrap."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamsocket.errors import ParseError

HEADER = struct.Struct("!BBHII")
"""The fixed header: version and flags, marker and payload type, sequence, timestamp, SSRC."""
VERSION = 0x80
"""The first byte of a header with version 2 and no flags."""
MARKER = 0x80
"""The marker bit in the second byte."""
MAX_PAYLOAD = 1200
"""Bytes of payload we put into a packet: with all headers it fits IPv6's 1,280 byte minimum MTU."""

_PADDING = 0x20
_EXTENSION = 0x10
_CSRC_COUNT = 0x0F


@dataclass(slots=True)
class RtpPacket:
    """One RTP packet, as it was received."""

    payload_type: int
    marker: bool
    sequence: int
    """16 bits."""
    timestamp: int
    """32 bits, in ticks of the track's clock rate."""
    ssrc: int
    payload: bytes | memoryview
    """Without header, extension and padding."""


def parse_rtp(data: bytes | memoryview) -> RtpPacket:
    """Read an RTP packet. CSRCs and the header extension are skipped, padding is taken off.

    The payload is a slice of `data`: of bytes a copy, of a memoryview a view.
    """
    end = len(data)
    if end < 12:
        raise ParseError(f"{end} bytes are too few for an RTP packet.")
    flags, marker_and_type, sequence, timestamp, ssrc = HEADER.unpack_from(data)
    if flags & 0xC0 != VERSION:
        raise ParseError(f"A packet of RTP version {flags >> 6} came where version 2 is spoken.")
    start = 12
    if flags != VERSION:
        start += 4 * (flags & _CSRC_COUNT)
        if flags & _EXTENSION:
            if start + 4 > end:
                raise ParseError("An RTP packet ends within its header.")
            start += 4 + 4 * (data[start + 2] << 8 | data[start + 3])
        if flags & _PADDING:
            if not data[end - 1]:
                raise ParseError("An RTP packet has padding of no length.")
            end -= data[end - 1]
        if start > end:
            raise ParseError("An RTP packet's header and padding are longer than the packet.")
    return RtpPacket(
        marker_and_type & 0x7F,
        marker_and_type >= MARKER,
        sequence,
        timestamp,
        ssrc,
        data[start:end],
    )


def is_rtcp(data: bytes | memoryview) -> bool:
    """Whether a packet on a port or channel shared by both is RTCP, not RTP (RFC 5761, 4)."""
    return len(data) > 1 and 192 <= data[1] <= 223


class Unwrapper:
    """Makes numbers that wrap at `2**bits` into numbers that don't.

    Each value is taken for the one nearest to the value before it, so reordered packets get the
    number they ought to have. What precedes the very first value can be negative.
    """

    __slots__ = ("_half", "_last", "_mask")

    def __init__(self, bits: int) -> None:
        self._mask = (1 << bits) - 1
        self._half = 1 << (bits - 1)
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The unwrapped number that `value` stands for."""
        last = self._last
        if last is not None:
            # The distance to the value before, between -half and half - 1.
            value = last + ((value - last + self._half) & self._mask) - self._half
        self._last = value
        return value
