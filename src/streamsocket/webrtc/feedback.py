"""The RTCP that browsers speak beyond RFC 4585's: REMB, FIR, extended reports.

`rtp.rtcp.parse_rtcp` returns these packets as `Unknown`; `parse_feedback` reads on. The feedback on
a whole transport is in `transport_feedback`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.rtp.rtcp import Unknown, build_packet
from streamsocket.webrtc import transport_feedback
from streamsocket.webrtc.transport_feedback import TransportFeedback

_TRANSPORT_FEEDBACK = 205
_PAYLOAD_FEEDBACK = 206
_EXTENDED_REPORT = 207
_FIR = 4
_APPLICATION = 15
_TRANSPORT_WIDE = 15
_REMB = b"REMB"
_RRTR = 4
_DLRR = 5

_SOURCE = struct.Struct("!I")
_REMB_HEADER = struct.Struct("!II4sI")
_FIR_HEADER = struct.Struct("!II")
_FIR_ENTRY = struct.Struct("!IBxxx")
_BLOCK_HEADER = struct.Struct("!BxH")
_NTP = struct.Struct("!Q")
_DELAY = struct.Struct("!III")

_MANTISSA_BITS = 18
_MAX_EXPONENT = 63


@dataclass(frozen=True, slots=True)
class Remb:
    """What a receiver believes to get through to it (draft-alvestrand-rmcat-remb-03)."""

    sender_ssrc: int
    bitrate: int
    """Bits a second, for all of the sources together."""
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Fir:
    """A keyframe is wanted as from the beginning (RFC 5104, 4.3.1)."""

    sender_ssrc: int
    requests: tuple[tuple[int, int], ...]
    """SSRC, and a number of 8 bits that changes with each new request, but not if it's repeated."""


@dataclass(frozen=True, slots=True)
class Delay:
    """How long ago a receiver's reference time came (RFC 3611, 4.5)."""

    ssrc: int
    """The receiver's."""
    last_rr: int
    """The middle 32 bits of its NTP timestamp."""
    delay: int
    """In units of 1/65536 s."""


@dataclass(frozen=True, slots=True)
class ExtendedReport:
    """How a receiver that sends nothing measures the round trip (RFC 3611); the rest is skipped."""

    ssrc: int
    reference_ntp: int | None = None
    """RRTR: the receiver's time as a 64-bit NTP timestamp, to be answered with its `Delay`."""
    delays: tuple[Delay, ...] = ()
    """DLRR: the answers."""


Feedback = Remb | Fir | TransportFeedback | ExtendedReport


def parse_feedback(packet: Unknown) -> Feedback | None:
    """Read a packet that `parse_rtcp` left; None if it is unknown here too. Raises ParseError."""
    kind = packet.packet_type, packet.count
    try:
        if packet.packet_type == _EXTENDED_REPORT:
            return _parse_extended_report(packet.body)
        if kind == (_TRANSPORT_FEEDBACK, _TRANSPORT_WIDE):
            return transport_feedback.parse_body(packet.body)
        if kind == (_PAYLOAD_FEEDBACK, _FIR):
            return _parse_fir(packet.body)
        if kind == (_PAYLOAD_FEEDBACK, _APPLICATION) and packet.body[8:12] == _REMB:
            return _parse_remb(packet.body)
    except struct.error:
        raise ParseError(f"An RTCP packet of type {packet.packet_type} is too short.") from None
    return None


def _parse_remb(body: bytes) -> Remb:
    sender, _, _, value = _REMB_HEADER.unpack_from(body)
    count, exponent = value >> 24, value >> _MANTISSA_BITS & 0x3F
    bitrate = (value & (1 << _MANTISSA_BITS) - 1) << exponent
    return Remb(sender, bitrate, struct.unpack_from(f"!{count}I", body, _REMB_HEADER.size))


def build_remb(remb: Remb) -> bytes:
    """A reduced-size packet; the bit rate is rounded down to 18 significant bits."""
    exponent = max(0, remb.bitrate.bit_length() - _MANTISSA_BITS)
    if exponent > _MAX_EXPONENT:
        raise ValueError(f"{remb.bitrate} bit/s are too many for REMB")
    value = len(remb.sources) << 24 | exponent << _MANTISSA_BITS | remb.bitrate >> exponent
    body = _REMB_HEADER.pack(remb.sender_ssrc, 0, _REMB, value)
    body += struct.pack(f"!{len(remb.sources)}I", *remb.sources)
    return build_packet(_PAYLOAD_FEEDBACK, _APPLICATION, body)


def _parse_fir(body: bytes) -> Fir:
    sender, _ = _FIR_HEADER.unpack_from(body)
    entries = body[_FIR_HEADER.size :]
    return Fir(sender, tuple(_FIR_ENTRY.iter_unpack(entries)))


def build_fir(fir: Fir) -> bytes:
    """A reduced-size packet that asks for keyframes."""
    body = _FIR_HEADER.pack(fir.sender_ssrc, 0)
    body += b"".join(_FIR_ENTRY.pack(ssrc, number & 0xFF) for ssrc, number in fir.requests)
    return build_packet(_PAYLOAD_FEEDBACK, _FIR, body)


def _parse_extended_report(body: bytes) -> ExtendedReport:
    (ssrc,) = _SOURCE.unpack_from(body)
    reference: int | None = None
    delays: list[Delay] = []
    position = _SOURCE.size
    while position < len(body):
        kind, words = _BLOCK_HEADER.unpack_from(body, position)
        start = position + _BLOCK_HEADER.size
        position = start + 4 * words
        if position > len(body):
            raise ParseError("An RTCP extended report ends within a block.")
        if kind == _RRTR:
            (reference,) = _NTP.unpack(body[start:position])
        elif kind == _DLRR:
            delays += [Delay(*fields) for fields in _DELAY.iter_unpack(body[start:position])]
    return ExtendedReport(ssrc, reference, tuple(delays))


def build_extended_report(report: ExtendedReport) -> bytes:
    """A reduced-size packet."""
    body = _SOURCE.pack(report.ssrc)
    if report.reference_ntp is not None:
        body += _BLOCK_HEADER.pack(_RRTR, 2) + _NTP.pack(report.reference_ntp)
    if report.delays:
        body += _BLOCK_HEADER.pack(_DLRR, 3 * len(report.delays))
        body += b"".join(_DELAY.pack(d.ssrc, d.last_rr, d.delay) for d in report.delays)
    return build_packet(_EXTENDED_REPORT, 0, body)
