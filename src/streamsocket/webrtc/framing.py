"""Packets in a TCP stream: two bytes of length before each (RFC 4571), as ICE has it (RFC 6544)."""

from __future__ import annotations

from streamsocket.errors import ParseError

MAX_PACKET = 8192
"""Bytes of a packet that is read: more than any peer puts into one that may go over UDP too."""
MAX_FRAMED = 0xFFFF
"""Bytes of a packet that can be framed."""


class FramingParser:
    """Takes a stream apart. It keeps at most one packet that is not complete yet."""

    def __init__(self, max_packet: int = MAX_PACKET) -> None:
        self.max_packet = max_packet
        """Bytes that a packet may have. It can be changed as one learns more of the peer."""
        self._buffer = bytearray()

    def feed(self, data: bytes | memoryview) -> list[bytes]:
        """Take what came; returns the packets that are complete now.

        Raises ParseError for a packet of more than `max_packet` bytes. What follows it cannot be
        told apart: the connection is to be closed.
        """
        buffer = self._buffer
        buffer += data
        packets = []
        position = 0
        while position + 2 <= len(buffer):
            size = buffer[position] << 8 | buffer[position + 1]
            if size > self.max_packet:
                raise ParseError(
                    f"A packet of {size} bytes was announced over TCP, where at most "
                    f"{self.max_packet} are taken."
                )
            end = position + 2 + size
            if end > len(buffer):
                break
            if size:  # an empty one only keeps the connection open
                packets.append(bytes(buffer[position + 2 : end]))
            position = end
        del buffer[:position]
        return packets


def frame(packet: bytes | memoryview) -> bytes:
    """A packet as it goes into the stream. Raises ValueError beyond `MAX_FRAMED` bytes."""
    if len(packet) > MAX_FRAMED:
        raise ValueError(f"{len(packet)} bytes don't fit a frame")
    return len(packet).to_bytes(2) + packet
