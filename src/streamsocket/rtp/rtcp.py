"""RTCP: reports, names, goodbyes and feedback (RFC 3550, 6; RFC 4585, 6)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from streamsocket.errors import ParseError

SENDER_REPORT, RECEIVER_REPORT, SOURCE_DESCRIPTION, GOODBYE = 200, 201, 202, 203
TRANSPORT_FEEDBACK, PAYLOAD_FEEDBACK = 205, 206
_GENERIC_NACK, _PICTURE_LOSS = 1, 1
_CNAME = 1

# From 1900, NTP's epoch, to 1970, Unix's, in seconds.
_NTP_EPOCH = 2_208_988_800
_NTP_ERA = 1 << 32

_HEADER = struct.Struct("!BBH")
_SENDER_INFO = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_MAX_PACKETS = 64


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """What a receiver tells of one source (RFC 3550, 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """256ths of the packets expected since the last report."""
    cumulative_lost: int
    highest_sequence: int
    """Extended by the count of wraps, 32 bits."""
    jitter: int
    """In ticks of the clock rate."""
    last_sender_report: int = 0
    """The middle 32 bits of the last sender report's NTP time."""
    delay_since_last: int = 0
    """In 65,536ths of a second."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """A sender's clock: what was captured at `ntp_time` has `rtp_timestamp`."""

    ssrc: int
    ntp_time: float
    """Seconds since the Unix epoch."""
    rtp_timestamp: int
    packet_count: int
    octet_count: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How a receiver hears its sources."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Sdes:
    """The name of a source; other items than CNAME are passed over."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Bye:
    """Sources that leave."""

    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets that a receiver misses (RFC 4585, 6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    sequences: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Pli:
    """A receiver wants a keyframe (RFC 4585, 6.3.1)."""

    sender_ssrc: int
    media_ssrc: int


@dataclass(frozen=True, slots=True)
class UnknownRtcp:
    """A packet of a type that means nothing here."""

    packet_type: int
    count: int
    body: bytes


RtcpPacket = SenderReport | ReceiverReport | Sdes | Bye | Nack | Pli | UnknownRtcp


def ntp_from_unix(seconds: float) -> int:
    """A Unix time as a 64-bit NTP timestamp (RFC 3550, 4)."""
    return round((seconds + _NTP_EPOCH) * _NTP_ERA) & (1 << 64) - 1


def unix_from_ntp(ntp: int) -> float:
    """A 64-bit NTP timestamp as Unix time: the era is the one that puts it after 1970."""
    seconds = ntp / _NTP_ERA - _NTP_EPOCH
    return seconds if seconds >= 0 or ntp == 0 else seconds + _NTP_ERA


def parse_rtcp(data: bytes | memoryview) -> list[RtcpPacket]:
    """Read a compound packet. Raises `ParseError`, also where it has more than 64 packets."""
    view = bytes(data)
    packets: list[RtcpPacket] = []
    start = 0
    while start < len(view):
        if len(packets) == _MAX_PACKETS:
            raise ParseError(f"An RTCP compound has more than {_MAX_PACKETS} packets.")
        if start + 4 > len(view):
            raise ParseError("An RTCP packet ends within its header.")
        first, packet_type, words = _HEADER.unpack_from(view, start)
        end = start + 4 + 4 * words
        if first >> 6 != 2:
            raise ParseError(f"An RTCP packet has version {first >> 6}, not 2.")
        if end > len(view):
            raise ParseError("An RTCP packet claims to be longer than its datagram.")
        body_end = end
        if first & 0x20:
            padding = view[end - 1]
            if not 0 < padding <= 4 * words:
                raise ParseError(f"An RTCP packet claims {padding} bytes of padding.")
            body_end -= padding
        packets.extend(_parse(packet_type, first & 0x1F, view[start + 4 : body_end]))
        start = end
    if not packets:
        raise ParseError("An RTCP packet is empty.")
    return packets


def _parse(packet_type: int, count: int, body: bytes) -> Iterator[RtcpPacket]:
    try:
        if packet_type == SENDER_REPORT:
            ssrc, ntp, timestamp, packet_count, octets = _SENDER_INFO.unpack_from(body)
            blocks = _blocks(body, _SENDER_INFO.size, count)
            yield SenderReport(ssrc, unix_from_ntp(ntp), timestamp, packet_count, octets, blocks)
        elif packet_type == RECEIVER_REPORT:
            yield ReceiverReport(_word(body, 0), _blocks(body, 4, count))
        elif packet_type == SOURCE_DESCRIPTION:
            yield from _sdes(body, count)
        elif packet_type == GOODBYE:
            yield Bye(tuple(_word(body, 4 * n) for n in range(count)))
        elif packet_type == TRANSPORT_FEEDBACK and count == _GENERIC_NACK:
            yield Nack(_word(body, 0), _word(body, 4), tuple(_missing(body)))
        elif packet_type == PAYLOAD_FEEDBACK and count == _PICTURE_LOSS:
            yield Pli(_word(body, 0), _word(body, 4))
        else:
            yield UnknownRtcp(packet_type, count, body)
    except struct.error:
        raise ParseError(f"An RTCP packet of type {packet_type} ends too early.") from None


def _word(body: bytes, offset: int) -> int:
    return int(struct.unpack_from("!I", body, offset)[0])


def _blocks(body: bytes, start: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for offset in range(start, start + 24 * count, 24):
        ssrc, lost, highest, jitter, last, delay = _BLOCK.unpack_from(body, offset)
        cumulative = lost & 0xFF_FFFF
        if cumulative & 0x80_0000:  # duplicates make it negative
            cumulative -= 1 << 24
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, last, delay))
    return tuple(blocks)


def _sdes(body: bytes, count: int) -> Iterator[Sdes]:
    offset = 0
    for _ in range(count):
        ssrc = _word(body, offset)
        offset += 4
        while offset < len(body) and body[offset]:
            if offset + 2 > len(body):
                raise ParseError("An SDES item ends too early.")
            item, length = body[offset], body[offset + 1]
            text = body[offset + 2 : offset + 2 + length]
            if len(text) < length:
                raise ParseError("An SDES item ends too early.")
            if item == _CNAME:
                yield Sdes(ssrc, text.decode("utf-8", "replace"))
            offset += 2 + length
        offset += 4 - offset % 4  # one null byte at least, then to the next word


def _missing(body: bytes) -> Iterator[int]:
    for offset in range(8, len(body) - 3, 4):
        first, following = struct.unpack_from("!HH", body, offset)
        yield first
        for bit in range(16):
            if following >> bit & 1:
                yield first + bit + 1 & 0xFFFF


def build_sender_report(report: SenderReport, *, cname: str) -> bytes:
    """A compound packet: the report, then the name of its sender."""
    info = _SENDER_INFO.pack(
        report.ssrc,
        ntp_from_unix(report.ntp_time),
        report.rtp_timestamp,
        report.packet_count,
        report.octet_count,
    )
    body = info + _build_blocks(report.blocks)
    return _packet(SENDER_REPORT, len(report.blocks), body) + _build_sdes(report.ssrc, cname)


def build_receiver_report(report: ReceiverReport, *, cname: str) -> bytes:
    """A compound packet: the report, then the name of its receiver."""
    body = struct.pack("!I", report.ssrc) + _build_blocks(report.blocks)
    return _packet(RECEIVER_REPORT, len(report.blocks), body) + _build_sdes(report.ssrc, cname)


def build_bye(bye: Bye) -> bytes:
    """A compound packet: an empty receiver report, which has to come first, and the goodbye."""
    first = struct.pack("!I", bye.sources[0])
    sources = struct.pack(f"!{len(bye.sources)}I", *bye.sources)
    return _packet(RECEIVER_REPORT, 0, first) + _packet(GOODBYE, len(bye.sources), sources)


def build_nack(nack: Nack) -> bytes:
    """A generic NACK; sequence numbers near each other share a field."""
    fields = b""
    left = list(dict.fromkeys(nack.sequences))
    while left:
        first = left.pop(0)
        following = 0
        while left and 1 <= (distance := left[0] - first & 0xFFFF) <= 16:
            following |= 1 << distance - 1
            left.pop(0)
        fields += struct.pack("!HH", first, following)
    body = struct.pack("!II", nack.sender_ssrc, nack.media_ssrc) + fields
    return _packet(TRANSPORT_FEEDBACK, _GENERIC_NACK, body)


def build_pli(pli: Pli) -> bytes:
    """A picture loss indication."""
    body = struct.pack("!II", pli.sender_ssrc, pli.media_ssrc)
    return _packet(PAYLOAD_FEEDBACK, _PICTURE_LOSS, body)


def _packet(packet_type: int, count: int, body: bytes) -> bytes:
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body


def _build_blocks(blocks: Iterable[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.cumulative_lost & 0xFF_FFFF,
            block.highest_sequence & 0xFFFF_FFFF,
            block.jitter,
            block.last_sender_report,
            block.delay_since_last,
        )
        for block in blocks
    )


def _build_sdes(ssrc: int, cname: str) -> bytes:
    name = cname.encode()[:255]
    chunk = struct.pack("!IBB", ssrc, _CNAME, len(name)) + name
    chunk += bytes(4 - len(chunk) % 4)
    return _packet(SOURCE_DESCRIPTION, 1, chunk)


__all__ = [
    "Bye",
    "Nack",
    "Pli",
    "ReceiverReport",
    "ReportBlock",
    "RtcpPacket",
    "Sdes",
    "SenderReport",
    "Sequence",
    "UnknownRtcp",
    "build_bye",
    "build_nack",
    "build_pli",
    "build_receiver_report",
    "build_sender_report",
    "ntp_from_unix",
    "parse_rtcp",
    "unix_from_ntp",
]
