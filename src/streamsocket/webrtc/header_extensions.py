"""RTP header extensions (RFC 8285) and those of them that WebRTC's peers and we both know."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import VERSION
from streamsocket.rtp.rtcp import ntp_from_unix, unix_from_ntp

_ONE_BYTE = 0xBEDE
_TWO_BYTE = 0x1000
"""With 4 bits for the application, which nobody uses."""

_PREAMBLE = struct.Struct("!HH")
EXTENSION = 0x10
"""Set in the first byte of a packet that has a header extension."""
_CSRC_COUNT = 0x0F

# Absolute send time: seconds modulo 64 in 6.18 fixed point.
_SEND_TIME_FRACTION = 1 << 18
_SEND_TIME_MASK = (1 << 24) - 1
_OFFSET_FRACTION = 1 << 32


class ExtensionUri(StrEnum):
    """What an `a=extmap` calls the extensions that we know."""

    MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
    RID = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id"
    REPAIRED_RID = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id"
    ABS_SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
    ABS_CAPTURE_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"
    TRANSPORT_SEQUENCE = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When the first sample of a packet was captured (abs-capture-time)."""

    time: float
    """Seconds since the epoch by the clock of the system that captured it."""
    clock_offset: float | None = None
    """Seconds from the sender's clock to that one, where the sender knows them."""


@dataclass(frozen=True, slots=True)
class HeaderExtensions:
    """What a packet's extensions tell; None for what is not there."""

    mid: str | None = None
    """Which m= section the packet belongs to (RFC 9143, 15)."""
    rid: str | None = None
    """Which of the section's encodings (RFC 8852)."""
    repaired_rid: str | None = None
    """Of a retransmission: which encoding it repairs."""
    abs_send_time: float | None = None
    """Seconds, modulo 64, by a clock of the sender's own."""
    abs_capture_time: CaptureTime | None = None
    transport_sequence: int | None = None
    """16 bits that count all packets of a transport."""


class ExtensionMap:
    """Reads and writes a session's extensions by the ids that SDP gave them."""

    def __init__(self, ids: Mapping[str, int]) -> None:
        """`ids` by URI; extensions we don't know are passed over."""
        self.ids = {uri: ids[uri] for uri in ExtensionUri if uri in ids}
        self._uris = {number: uri for uri, number in self.ids.items()}

    def parse(self, packet: bytes | memoryview) -> HeaderExtensions:
        """Read the extensions of an RTP packet. Raises ParseError."""
        found = {
            self._uris[number]: value
            for number, value in packet_elements(packet).items()
            if number in self._uris
        }
        capture = found.get(ExtensionUri.ABS_CAPTURE_TIME)
        sent = found.get(ExtensionUri.ABS_SEND_TIME)
        sequence = found.get(ExtensionUri.TRANSPORT_SEQUENCE)
        return HeaderExtensions(
            mid=_text(found.get(ExtensionUri.MID)),
            rid=_text(found.get(ExtensionUri.RID)),
            repaired_rid=_text(found.get(ExtensionUri.REPAIRED_RID)),
            abs_send_time=None if sent is None else parse_abs_send_time(sent),
            abs_capture_time=None if capture is None else parse_abs_capture_time(capture),
            transport_sequence=None if sequence is None else _parse_sequence(sequence),
        )

    def transport_sequence(self, packet: bytes) -> int | None:
        """What `parse` finds of it, and nothing else. Raises ParseError."""
        number = self.ids.get(ExtensionUri.TRANSPORT_SEQUENCE)
        if number is None:
            return None
        if packet[:1] == b"\x90" and packet[12:14] == b"\xbe\xde":
            # As browsers send it: no CSRCs, elements with one byte of header.
            end = min(16 + 4 * (packet[14] << 8 | packet[15]), len(packet)) if packet[15:] else 0
            position = 16
            while position < end:
                first = packet[position]
                if first >> 4 == number and first & 0x0F == 1 and position + 3 <= end:
                    return packet[position + 1] << 8 | packet[position + 2]
                position += (first & 0x0F) + 2 if first >> 4 else 1
        return self.parse(packet).transport_sequence

    def build(self, extensions: HeaderExtensions) -> bytes:
        """The header extension as it follows the RTP header; empty where there is nothing in it.

        What the session has no id for is left out.
        """
        values = {
            ExtensionUri.MID: _bytes(extensions.mid),
            ExtensionUri.RID: _bytes(extensions.rid),
            ExtensionUri.REPAIRED_RID: _bytes(extensions.repaired_rid),
        }
        if extensions.abs_send_time is not None:
            values[ExtensionUri.ABS_SEND_TIME] = build_abs_send_time(extensions.abs_send_time)
        if extensions.abs_capture_time is not None:
            values[ExtensionUri.ABS_CAPTURE_TIME] = build_abs_capture_time(
                extensions.abs_capture_time
            )
        if extensions.transport_sequence is not None:
            sequence = extensions.transport_sequence & 0xFFFF
            values[ExtensionUri.TRANSPORT_SEQUENCE] = sequence.to_bytes(2)
        return build_elements(
            {self.ids[uri]: value for uri, value in values.items() if value and uri in self.ids}
        )


def packet_elements(packet: bytes | memoryview) -> dict[int, bytes]:
    """The elements of an RTP packet's header extension by their ids; none where it has none."""
    if len(packet) < 12 or packet[0] & 0xC0 != VERSION:
        raise ParseError(f"{len(packet)} bytes came that are no RTP packet.")
    if not packet[0] & EXTENSION:
        return {}
    start = 12 + 4 * (packet[0] & _CSRC_COUNT)
    if start + _PREAMBLE.size > len(packet):
        raise ParseError("An RTP packet ends within its header.")
    profile, words = _PREAMBLE.unpack_from(packet, start)
    start += _PREAMBLE.size
    if start + 4 * words > len(packet):
        raise ParseError("An RTP packet's header extension is longer than the packet.")
    return parse_elements(profile, bytes(packet[start : start + 4 * words]))


def parse_elements(profile: int, data: bytes) -> dict[int, bytes]:
    """Take a header extension apart: id to value. Of an id that comes twice the last counts.

    A profile that is not RFC 8285's has no elements.
    """
    if profile == _ONE_BYTE:
        return _parse_one_byte(data)
    if profile & 0xFFF0 == _TWO_BYTE:
        return _parse_two_byte(data)
    return {}


def build_elements(elements: Mapping[int, bytes]) -> bytes:
    """A whole header extension; empty for no elements. Ids are 1 to 255, values up to 255 bytes.

    Elements have one byte of header where all fit in that (RFC 8285, 4.2), or else two.
    """
    if not elements:
        return b""
    if all(number < 15 and 0 < len(value) <= 16 for number, value in elements.items()):
        profile = _ONE_BYTE
        parts = [bytes((n << 4 | len(value) - 1,)) + value for n, value in elements.items()]
    else:
        profile = _TWO_BYTE
        parts = [bytes((n, len(value))) + value for n, value in elements.items()]
    data = b"".join(parts)
    data += bytes(-len(data) % 4)
    return _PREAMBLE.pack(profile, len(data) // 4) + data


def _parse_one_byte(data: bytes) -> dict[int, bytes]:
    elements = {}
    position = 0
    while position < len(data):
        number, size = data[position] >> 4, (data[position] & 0x0F) + 1
        position += 1
        if number == 15:
            break  # reserved: what follows is to be ignored
        if number:
            elements[number] = _element(data, position, size)
            position += size
    return elements


def _parse_two_byte(data: bytes) -> dict[int, bytes]:
    elements = {}
    position = 0
    while position < len(data):
        number = data[position]
        position += 1
        if number:
            if position == len(data):
                raise ParseError("An RTP header extension ends within an element.")
            elements[number] = _element(data, position + 1, data[position])
            position += 1 + data[position]
    return elements


def _element(data: bytes, start: int, size: int) -> bytes:
    if start + size > len(data):
        raise ParseError("An RTP header extension ends within an element.")
    return data[start : start + size]


def parse_abs_send_time(value: bytes) -> float:
    """Seconds, modulo 64. Raises ParseError."""
    if len(value) != 3:
        raise ParseError(f"An absolute send time has 3 bytes, not {len(value)}.")
    return int.from_bytes(value) / _SEND_TIME_FRACTION


def build_abs_send_time(time: float) -> bytes:
    """`time` in seconds by any clock that does not jump."""
    return (round(time * _SEND_TIME_FRACTION) & _SEND_TIME_MASK).to_bytes(3)


def parse_abs_capture_time(value: bytes) -> CaptureTime:
    """Read an NTP timestamp and, if it is there, the clock's offset. Raises ParseError."""
    if len(value) not in (8, 16):
        raise ParseError(f"An absolute capture time has 8 or 16 bytes, not {len(value)}.")
    offset = int.from_bytes(value[8:], signed=True) / _OFFSET_FRACTION if value[8:] else None
    return CaptureTime(unix_from_ntp(int.from_bytes(value[:8])), offset)


def build_abs_capture_time(capture: CaptureTime) -> bytes:
    """The short form where the offset is not known."""
    value = ntp_from_unix(capture.time).to_bytes(8)
    if capture.clock_offset is not None:
        value += round(capture.clock_offset * _OFFSET_FRACTION).to_bytes(8, signed=True)
    return value


def _parse_sequence(value: bytes) -> int:
    # The draft's second version has two bytes more that ask for feedback.
    if len(value) not in (2, 4):
        raise ParseError(f"A transport-wide sequence number has 2 bytes, not {len(value)}.")
    return int.from_bytes(value[:2])


def _text(value: bytes | None) -> str | None:
    if value is None:
        return None
    try:
        # What fills an SDES item up to a word is no part of it.
        return value.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        raise ParseError("A name in an RTP header extension is not UTF-8.") from None


def _bytes(text: str | None) -> bytes:
    return (text or "").encode()
