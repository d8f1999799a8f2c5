"""RTCP: reports, names, goodbyes (RFC 3550, 6) and feedback (RFC 4585)."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

from streamsocket.errors import ParseError

MAX_COMPOUND = 8192
"""Bytes of a compound packet: more than any datagram that crosses a network in one piece."""

_SENDER_REPORT = 200
_RECEIVER_REPORT = 201
_SDES = 202
_BYE = 203
_TRANSPORT_FEEDBACK = 205
_PAYLOAD_FEEDBACK = 206
_NACK = 1
_PLI = 1
_CNAME = 1

_HEADER = struct.Struct("!BBH")
_SENDER = struct.Struct("!IQIII")
_BLOCK = struct.Struct("!IIIIII")
_SOURCE = struct.Struct("!I")
_SOURCES = struct.Struct("!II")
_LOST = struct.Struct("!HH")

_SECONDS_1900_TO_1970 = 2_208_988_800
_ERA = 1 << 32


def ntp_from_unix(time: float) -> int:
    """Seconds since the epoch as a 64-bit NTP timestamp: seconds since 1900 and a fraction."""
    # The epoch is added in integers: a float would lose what the fraction has beyond 0.5 µs.
    return (int(time * _ERA) + (_SECONDS_1900_TO_1970 << 32)) & 0xFFFF_FFFF_FFFF_FFFF


def unix_from_ntp(ntp: int) -> float:
    """A 64-bit NTP timestamp as seconds since the epoch.

    The seconds wrap in 2036: as RFC 4330, 3 has it, a first bit of 0 means the time after that.
    """
    if ntp < 1 << 63:
        ntp += 1 << 64
    return (ntp - (_SECONDS_1900_TO_1970 << 32)) / _ERA


@dataclass(frozen=True, slots=True)
class ReportBlock:
    """How one source is received (RFC 3550, 6.4.1)."""

    ssrc: int
    fraction_lost: int
    """Of 256 packets, since the last report."""
    cumulative_lost: int
    """Negative where duplicates outnumber the losses; 24 bits with a sign."""
    highest_sequence: int
    """The highest sequence number received, extended to 32 bits."""
    jitter: int
    """In ticks of the clock rate."""
    last_sr: int
    """The middle 32 bits of the last sender report's NTP timestamp; 0 for none."""
    delay_since_last_sr: int
    """In units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class SenderReport:
    """What a sender sent, and which time its timestamps mean (RFC 3550, 6.4.1)."""

    ssrc: int
    ntp_time: float
    """Seconds since the epoch."""
    rtp_timestamp: int
    """The same moment in 32-bit ticks of the clock rate."""
    packet_count: int
    octet_count: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class ReceiverReport:
    """How somebody receives (RFC 3550, 6.4.2)."""

    ssrc: int
    blocks: tuple[ReportBlock, ...] = ()


@dataclass(frozen=True, slots=True)
class Sdes:
    """The canonical name of one source (RFC 3550, 6.5.1); sources of one name share a clock."""

    ssrc: int
    cname: str


@dataclass(frozen=True, slots=True)
class Bye:
    """Sources that end (RFC 3550, 6.6)."""

    sources: tuple[int, ...]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Nack:
    """Packets that are missing and wanted again (RFC 4585, 6.2.1)."""

    sender_ssrc: int
    media_ssrc: int
    sequences: tuple[int, ...]
    """16-bit sequence numbers, in order."""


@dataclass(frozen=True, slots=True)
class Pli:
    """A picture was lost: a keyframe is wanted (RFC 4585, 6.3.1)."""

    sender_ssrc: int
    media_ssrc: int


@dataclass(frozen=True, slots=True)
class Unknown:
    """A packet of a type that is none of the others."""

    packet_type: int
    count: int
    """The 5 bits beside the version: a count, a subtype or a feedback format."""
    body: bytes


RtcpPacket = SenderReport | ReceiverReport | Sdes | Bye | Nack | Pli | Unknown


def parse_rtcp(data: bytes | memoryview) -> list[RtcpPacket]:
    """Read a compound packet (RFC 3550, 6.1), or a reduced-size one (RFC 5506)."""
    data = bytes(data)
    if not 4 <= len(data) <= MAX_COMPOUND:
        raise ParseError(f"An RTCP packet cannot have {len(data)} bytes.")
    packets: list[RtcpPacket] = []
    position = 0
    while position < len(data):
        if position + 4 > len(data):
            raise ParseError("An RTCP packet ends within a header.")
        flags, packet_type, words = _HEADER.unpack_from(data, position)
        end = position + 4 + 4 * words
        if flags & 0xC0 != 0x80:
            raise ParseError(f"A packet of RTCP version {flags >> 6} came, where 2 is spoken.")
        if end > len(data):
            raise ParseError("An RTCP packet is shorter than it says.")
        body = data[position + 4 : end]
        if flags & 0x20:
            padding = body[-1] if body else 0
            if not 0 < padding <= len(body) or end != len(data):
                raise ParseError("An RTCP packet has impossible padding.")
            body = body[:-padding]
        try:
            packets += _parse_body(packet_type, flags & 0x1F, body)
        except struct.error:
            raise ParseError(f"An RTCP packet of type {packet_type} is too short.") from None
        position = end
    return packets


def _parse_body(packet_type: int, count: int, body: bytes) -> list[RtcpPacket]:
    if packet_type == _SENDER_REPORT:
        ssrc, ntp, rtp_timestamp, packet_count, octet_count = _SENDER.unpack_from(body)
        blocks = _parse_blocks(body, _SENDER.size, count)
        ntp_time = unix_from_ntp(ntp)
        return [SenderReport(ssrc, ntp_time, rtp_timestamp, packet_count, octet_count, blocks)]
    if packet_type == _RECEIVER_REPORT:
        (ssrc,) = _SOURCE.unpack_from(body)
        return [ReceiverReport(ssrc, _parse_blocks(body, _SOURCE.size, count))]
    if packet_type == _SDES:
        return _parse_sdes(body, count)
    if packet_type == _BYE:
        sources = struct.unpack_from(f"!{count}I", body)
        reason = body[4 * count + 1 :][: body[4 * count]] if len(body) > 4 * count else b""
        return [Bye(sources, reason.decode(errors="replace"))]
    if packet_type == _TRANSPORT_FEEDBACK and count == _NACK:
        sender, media = _SOURCES.unpack_from(body)
        return [Nack(sender, media, _parse_lost(body[_SOURCES.size :]))]
    if packet_type == _PAYLOAD_FEEDBACK and count == _PLI:
        return [Pli(*_SOURCES.unpack_from(body))]
    return [Unknown(packet_type, count, body)]


def _parse_blocks(body: bytes, position: int, count: int) -> tuple[ReportBlock, ...]:
    blocks = []
    for _ in range(count):
        ssrc, lost, highest, jitter, last_sr, delay = _BLOCK.unpack_from(body, position)
        position += _BLOCK.size
        cumulative = lost & 0xFF_FFFF
        if cumulative >= 1 << 23:
            cumulative -= 1 << 24
        blocks.append(ReportBlock(ssrc, lost >> 24, cumulative, highest, jitter, last_sr, delay))
    return tuple(blocks)


def _parse_sdes(body: bytes, count: int) -> list[RtcpPacket]:
    """The chunks' canonical names; other items are skipped."""
    names: list[RtcpPacket] = []
    position = 0
    for _ in range(count):
        (ssrc,) = _SOURCE.unpack_from(body, position)
        position += 4
        cname = ""
        while position < len(body) and body[position]:
            if position + 2 > len(body):
                raise ParseError("An RTCP source description ends within an item.")
            start = position + 2
            if body[position] == _CNAME:
                cname = body[start : start + body[position + 1]].decode(errors="replace")
            position = start + body[position + 1]
        position += 4 - position % 4  # a null byte, and more up to the next 32-bit boundary
        names.append(Sdes(ssrc, cname))
    return names


def _parse_lost(items: bytes) -> tuple[int, ...]:
    sequences = []
    for first, following in _LOST.iter_unpack(items):
        sequences.append(first)
        sequences += [(first + n) & 0xFFFF for n in range(1, 17) if following >> (n - 1) & 1]
    return tuple(sequences)


def build_sender_report(report: SenderReport, cname: str) -> bytes:
    """A compound packet: the sender report and the sender's name."""
    body = _SENDER.pack(
        report.ssrc,
        ntp_from_unix(report.ntp_time),
        report.rtp_timestamp,
        report.packet_count,
        report.octet_count,
    )
    blocks = _build_blocks(report.blocks)
    packet = build_packet(_SENDER_REPORT, len(report.blocks), body + blocks)
    return packet + _build_sdes(Sdes(report.ssrc, cname))


def build_receiver_report(report: ReceiverReport, cname: str) -> bytes:
    """A compound packet: the receiver report and the receiver's name."""
    body = _SOURCE.pack(report.ssrc) + _build_blocks(report.blocks)
    packet = build_packet(_RECEIVER_REPORT, len(report.blocks), body)
    return packet + _build_sdes(Sdes(report.ssrc, cname))


def build_bye(bye: Bye) -> bytes:
    """A compound packet: an empty receiver report, for it must begin with a report, and the BYE."""
    body = struct.pack(f"!{len(bye.sources)}I", *bye.sources)
    if bye.reason:
        reason = bye.reason.encode()[:255]
        body += bytes((len(reason),)) + reason
    report = build_packet(_RECEIVER_REPORT, 0, _SOURCE.pack(bye.sources[0]))
    return report + build_packet(_BYE, len(bye.sources), body)


def build_nack(nack: Nack) -> bytes:
    """A reduced-size packet (RFC 5506) that asks for packets; sequence numbers in order."""
    items: list[list[int]] = []
    for sequence in nack.sequences:
        distance = (sequence - items[-1][0]) & 0xFFFF if items else 0
        if 0 < distance <= 16:
            items[-1][1] |= 1 << (distance - 1)
        else:
            items.append([sequence, 0])
    body = _SOURCES.pack(nack.sender_ssrc, nack.media_ssrc)
    return build_packet(
        _TRANSPORT_FEEDBACK, _NACK, body + b"".join(_LOST.pack(*item) for item in items)
    )


def build_pli(pli: Pli) -> bytes:
    """A reduced-size packet (RFC 5506) that asks for a keyframe."""
    return build_packet(_PAYLOAD_FEEDBACK, _PLI, _SOURCES.pack(pli.sender_ssrc, pli.media_ssrc))


def _build_blocks(blocks: Iterable[ReportBlock]) -> bytes:
    return b"".join(
        _BLOCK.pack(
            block.ssrc,
            block.fraction_lost << 24 | block.cumulative_lost & 0xFF_FFFF,
            block.highest_sequence,
            block.jitter,
            block.last_sr,
            block.delay_since_last_sr,
        )
        for block in blocks
    )


def _build_sdes(sdes: Sdes) -> bytes:
    name = sdes.cname.encode()[:255]
    item = bytes((_CNAME, len(name))) + name
    # At least one null byte ends the list of items (RFC 3550, 6.5).
    return build_packet(_SDES, 1, _SOURCE.pack(sdes.ssrc) + item + b"\x00")


def build_packet(packet_type: int, count: int, body: bytes) -> bytes:
    """One packet of a compound; `count` are the 5 bits beside the version, `body` is filled up."""
    body += bytes(-len(body) % 4)
    return _HEADER.pack(0x80 | count, packet_type, len(body) // 4) + body
