"""How one input of a fuzzer becomes a sequence of packets, for what keeps state between them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

_HEADER = struct.Struct("!BH")
_MARKER, _GAP, _NEXT_TIMESTAMP = 1, 2, 4


@dataclass
class Packet:
    """What a depacketizer is given."""

    payload: bytes
    timestamp: int = 0
    marker: bool = False
    gap: bool = False


def read_packets(data: bytes) -> Iterator[Packet]:
    """The packets that an input stands for; any input stands for some."""
    timestamp = position = 0
    while position + _HEADER.size <= len(data):
        flags, size = _HEADER.unpack_from(data, position)
        position += _HEADER.size
        timestamp += bool(flags & _NEXT_TIMESTAMP)
        payload = data[position : position + size]
        yield Packet(payload, timestamp, bool(flags & _MARKER), bool(flags & _GAP))
        position += size


def write_packets(packets: list[Packet]) -> bytes:
    """The input that stands for these packets."""
    parts = []
    timestamp = 0
    for packet in packets:
        flags = _MARKER * packet.marker + _GAP * packet.gap
        flags += _NEXT_TIMESTAMP * (packet.timestamp != timestamp)
        timestamp = packet.timestamp
        parts.append(_HEADER.pack(flags, len(packet.payload)) + packet.payload)
    return b"".join(parts)
