"""Retransmission on a source of its own (RFC 4588): what is lost comes again as another packet.

Unlike the first packet sent once more, it is encrypted like any other: nothing has to be known of
how it was then.
"""

from __future__ import annotations

import struct

from streamsocket.errors import ParseError
from streamsocket.hub.wire import DatagramRun
from streamsocket.rtp.packet import HEADER, MARKER, VERSION, parse_rtp
from streamsocket.webrtc.header_extensions import EXTENSION
from streamsocket.webrtc.srtp import SrtpStream, bursts

_ORIGINAL_SEQUENCE = struct.Struct("!H")


class RtxSender:
    """Wraps what one viewer missed of one track, and protects it."""

    def __init__(self, stream: SrtpStream, payload_type: int, ssrc: int, *, sequence: int) -> None:
        """`stream` protects `ssrc` from `sequence` on."""
        self._stream = stream
        self._payload_type = payload_type
        self._ssrc = ssrc
        self._sequence = sequence

    def protect(self, packet: bytes, extension: bytes = b"") -> list[DatagramRun]:
        """The datagram that repairs the loss of this packet, as it was before protection.

        The packet has a plain header; its repair gets the header `extension`.
        """
        sequence = self._sequence & 0xFFFF
        repair = wrap(packet, self._payload_type, self._ssrc, sequence, extension)
        (burst,) = bursts(repair, (len(repair),), self._sequence)
        self._sequence += 1
        return [run._replace(data=bytes(run.data)) for run in self._stream.protect(burst)]


def wrap(
    packet: bytes, payload_type: int, ssrc: int, sequence: int, extension: bytes = b""
) -> bytes:
    """The packet that repairs the loss of another, which has a plain header (RFC 4588, 4)."""
    flags, second, original, timestamp, _ = HEADER.unpack_from(packet)
    if extension:
        flags |= EXTENSION
    header = HEADER.pack(flags, second & MARKER | payload_type, sequence, timestamp, ssrc)
    return header + extension + _ORIGINAL_SEQUENCE.pack(original) + packet[HEADER.size :]


def unwrap(repair: bytes, payload_type: int, ssrc: int) -> bytes | None:
    """The packet whose loss is repaired, of that payload type and SSRC; None for padding alone.

    Raises `ParseError` where there is no packet in it.
    """
    parsed = parse_rtp(repair)
    if not parsed.payload:
        return None
    if len(parsed.payload) < _ORIGINAL_SEQUENCE.size:
        raise ParseError("A retransmission doesn't say which packet it repairs.")
    (original,) = _ORIGINAL_SEQUENCE.unpack_from(parsed.payload)
    second = (MARKER if parsed.marker else 0) | payload_type
    header = HEADER.pack(VERSION, second, original, parsed.timestamp, ssrc)
    return header + bytes(parsed.payload[_ORIGINAL_SEQUENCE.size :])
