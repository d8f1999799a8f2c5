"""Opus in transport streams: the control header before every packet.

The format is ETSI TS "Opus in MPEG-2 TS", draft 0.1.3.
"""

from __future__ import annotations

from streamsocket.errors import ParseError

_PREFIX = 0x7FE0
_PREFIX_MASK = 0xFFE0
_START_TRIM, _END_TRIM, _EXTENSION = 0x10, 0x08, 0x04


def split_packets(data: bytes) -> list[bytes]:
    """The Opus packets in a PES packet, each after its control header. Raises ParseError."""
    packets = []
    position = 0
    while position < len(data):
        head = int.from_bytes(data[position : position + 2], "big")
        if head & _PREFIX_MASK != _PREFIX:
            raise ParseError("A packet of Opus has no control header.")
        position += 2
        size = 0
        while data[position : position + 1] == b"\xff":
            size += 255
            position += 1
        if position >= len(data):
            raise ParseError("A packet of Opus ends inside its control header.")
        size += data[position]
        position += 1 + 2 * bool(head & _START_TRIM) + 2 * bool(head & _END_TRIM)
        if head & _EXTENSION:
            position += 1 + int.from_bytes(data[position : position + 1], "big")
        packet = data[position : position + size]
        if not packet or len(packet) < size:
            raise ParseError("A packet of Opus is shorter than its control header says.")
        packets.append(packet)
        position += size
    return packets
