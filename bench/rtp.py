"""RTP and RTCP as far as the benches read them, written apart from the package on purpose."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from bench.viewers import Packet

NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where NTP begins, to 1970 (RFC 868)."""
START_CODE = b"\x00\x00\x00\x01"
IDR, SPS, STAP_A, FU_A = 5, 7, 24, 28


@dataclass
class Rtp:
    """One RTP packet (RFC 3550, 5.1), its numbers unwrapped."""

    arrival: float
    sequence: int
    timestamp: int
    marker: bool
    payload: bytes


@dataclass
class AccessUnit:
    """One coded picture or frame of sound, in order of arrival."""

    timestamp: int
    first: float
    """When its first packet arrived."""
    last: float
    """When its last packet arrived."""
    packets: int = 0
    marked: bool = False
    data: bytearray = field(default_factory=bytearray)


@dataclass
class SenderReport:
    """A sender report's pair of times (RFC 3550, 6.4.1)."""

    wall: float
    """Seconds since the epoch."""
    timestamp: int


class Unwrapper:
    """Makes numbers of `bits` bits endless, following the nearest."""

    def __init__(self, bits: int) -> None:
        self._span = 1 << bits
        self._last: int | None = None

    def unwrap(self, value: int) -> int:
        """The endless number nearest to the last one."""
        if self._last is None:
            self._last = value
        half = self._span // 2
        self._last += (value - self._last + half) % self._span - half
        return self._last


def rtp_packets(packets: Iterable[Packet], track: int) -> list[Rtp]:
    """One track's RTP packets from what a viewer kept, sorted by sequence number."""
    sequences, timestamps = Unwrapper(16), Unwrapper(32)
    found = []
    for arrival, channel, packet in packets:
        if channel == 2 * track and len(packet) >= 12:
            first, second, sequence, timestamp = struct.unpack_from(">BBHI", packet)
            start = 12 + 4 * (first & 0x0F)
            if first & 0x10:
                start += 4 + 4 * struct.unpack_from(">H", packet, start + 2)[0]
            number = sequences.unwrap(sequence)
            ticks = timestamps.unwrap(timestamp)
            found.append(Rtp(arrival, number, ticks, second >= 0x80, packet[start:]))
    found.sort(key=lambda packet: packet.sequence)
    return found


def sender_reports(packets: Iterable[Packet], track: int) -> list[SenderReport]:
    """One track's sender reports; their timestamps are unwrapped among themselves."""
    unwrapper = Unwrapper(32)
    found = []
    for _, channel, packet in packets:
        if channel == 2 * track + 1 and len(packet) >= 20 and packet[1] == 200:
            seconds, fraction, timestamp = struct.unpack_from(">III", packet, 8)
            wall = seconds - NTP_EPOCH + fraction / 2**32
            found.append(SenderReport(wall, unwrapper.unwrap(timestamp)))
    return found


def wall_time(timestamp: int, reports: list[SenderReport], clock_rate: int) -> float:
    """An RTP timestamp as seconds since the epoch, by the sender report nearest to it."""

    def distance(report: SenderReport) -> int:
        return (timestamp - report.timestamp + 2**31) % 2**32 - 2**31

    nearest = min(reports, key=lambda report: abs(distance(report)))
    return nearest.wall + distance(nearest) / clock_rate


def starts_keyframe(payload: bytes) -> bool:
    """Whether an H.264 payload holds the beginning of an IDR slice (RFC 6184, 5.4 to 5.8)."""
    if not payload:
        return False
    kind = payload[0] & 31
    if kind == FU_A:
        return len(payload) > 1 and payload[1] & 0x80 != 0 and payload[1] & 31 == IDR
    if kind == STAP_A:
        return any(unit[0] & 31 == IDR for unit in _aggregated(payload))
    return kind == IDR


def pictures(packets: Iterable[Rtp]) -> Iterator[AccessUnit]:
    """H.264 access units as byte streams (Annex B); packets of a lost one make a damaged one."""
    current: AccessUnit | None = None
    for packet in packets:
        if current is None or packet.timestamp != current.timestamp:
            if current is not None:
                yield current
            current = AccessUnit(packet.timestamp, packet.arrival, packet.arrival)
        current.packets += 1
        current.marked |= packet.marker
        current.first = min(current.first, packet.arrival)
        current.last = max(current.last, packet.arrival)
        payload = packet.payload
        kind = payload[0] & 31 if payload else 0
        if kind == FU_A:
            if payload[1] & 0x80:
                current.data += START_CODE + bytes([payload[0] & 0xE0 | payload[1] & 31])
            current.data += payload[2:]
        elif kind == STAP_A:
            for unit in _aggregated(payload):
                current.data += START_CODE + unit
        else:
            current.data += START_CODE + payload
    if current is not None:
        yield current


def _aggregated(payload: bytes) -> Iterator[bytes]:
    position = 1
    while position + 2 < len(payload):
        (size,) = struct.unpack_from(">H", payload, position)
        yield payload[position + 2 : position + 2 + size]
        position += 2 + size


def aac_frames(packets: Iterable[Rtp], samples: int = 1024) -> Iterator[AccessUnit]:
    """AAC frames of mode AAC-hbr with 13-bit sizes and 3-bit indexes (RFC 3640, 3.3.6)."""
    for packet in packets:
        (bits,) = struct.unpack_from(">H", packet.payload)
        position = 2 + bits // 8
        for index in range(bits // 16):
            size = struct.unpack_from(">H", packet.payload, 2 + 2 * index)[0] >> 3
            yield AccessUnit(
                packet.timestamp + index * samples, packet.arrival, packet.arrival, 1, True,
                bytearray(packet.payload[position : position + size]),
            )  # fmt: skip
            position += size
