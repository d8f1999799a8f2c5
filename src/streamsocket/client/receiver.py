"""One track being received: packets in, access units out. No I/O, no clock of its own.

Times are arrivals in seconds since the epoch, as they were taken when the socket was read.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Codec
from streamsocket.rtp.packet import RtpPacket, Unwrapper, parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.rtp.reorder import ReorderBuffer
from streamsocket.rtp.rtcp import (
    Bye,
    ReceiverReport,
    SenderReport,
    build_receiver_report,
    parse_rtcp,
)
from streamsocket.rtp.statistics import ReceptionStatistics

REORDER_S = 0.1
"""How long a missing packet is waited for: longer than networks reorder, shorter than annoys."""
REORDER_PACKETS = 1024
_TIMESTAMP_HALF, _TIMESTAMP_MASK = 1 << 31, (1 << 32) - 1


@dataclass(slots=True)
class Received:
    """An access unit that has arrived."""

    track: int
    """The track's place in the session's tracks."""
    unit: AccessUnit
    arrival: float
    """When its last packet came, in seconds since the epoch."""


class Receiver:
    """Receives one track, whatever its packets go through on the way.

    A source that begins anew with another SSRC is followed; its timestamps, clock and statistics
    begin anew too.
    """

    def __init__(
        self, track: int, codec: Codec, fmtp: dict[str, str], payload_type: int, *, ordered: bool
    ) -> None:
        """`ordered`: packets come over TCP, so that what is missing will never come."""
        self.bytes = 0
        """Of RTP packets, headers included."""
        self.malformed = 0
        """Packets that broke the rules of RTP or of their payload format."""
        self.strangers = 0
        """RTP packets of another payload type than the one announced."""
        self.sender_reports = 0
        self.ended = False
        """The source has said goodbye."""
        self.first_arrival: float | None = None
        """When the first packet came."""
        self._track = track
        self._fmtp = fmtp
        self._payload_type = payload_type
        self._patience_s = 0.0 if ordered else REORDER_S
        self._own_ssrc = secrets.randbits(32)
        self._ssrc: int | None = None
        self._begin(codec)

    @property
    def codec(self) -> Codec:
        """As announced, or as the stream itself says by now."""
        return self._depacketizer.codec

    def receive_rtp(self, data: bytes | memoryview, arrival: float) -> list[Received]:
        """Take an RTP packet; return the access units that are whole now."""
        try:
            packet = parse_rtp(data)
        except ParseError:
            self.malformed += 1
            return []
        if packet.payload_type != self._payload_type:
            self.strangers += 1
            return []
        finished: list[Received] = []
        if packet.ssrc != self._ssrc:
            if self._ssrc is not None:
                finished = self.flush()
                self._begin(self.codec)
            self._ssrc = packet.ssrc
        if self.first_arrival is None:
            self.first_arrival = arrival
        self.bytes += len(data)
        sequence = self._sequences.unwrap(packet.sequence)
        packet.timestamp = self._newest = self._timestamps.unwrap(packet.timestamp)
        self.statistics.packet(sequence, packet.timestamp, arrival)
        self.clock.packet(packet.timestamp, arrival)
        if self._held_report:
            self._sender_report(*self._held_report)
        return finished + self._released(self._reorder.push(sequence, (packet, arrival), arrival))

    def receive_rtcp(self, data: bytes | memoryview, arrival: float) -> None:
        """Take an RTCP packet: sender reports set the clock, a goodbye ends the track."""
        try:
            packets = parse_rtcp(data)
        except ParseError:
            self.malformed += 1
            return
        for packet in packets:
            if isinstance(packet, SenderReport):
                self._sender_report(packet, arrival)
            elif isinstance(packet, Bye) and self._ssrc in packet.sources:
                self.ended = True

    def expire(self, now: float) -> list[Received]:
        """Return the access units that have waited too long for a missing packet."""
        return self._released(self._reorder.expire(now))

    def flush(self) -> list[Received]:
        """Return everything that waits, because nothing will come any more."""
        finished = self._released(self._reorder.flush())
        return finished + self._received(self._depacketizer.flush(), None, 0.0)

    def receiver_report(self, now: float, cname: str) -> bytes | None:
        """The RTCP to send about this track; None before its first packet."""
        if self._ssrc is None:
            return None
        block = self.statistics.report_block(self._ssrc, now)
        return build_receiver_report(ReceiverReport(self._own_ssrc, (block,)), cname=cname)

    def _begin(self, codec: Codec) -> None:
        """What is known of one source, told apart by its SSRC."""
        self.clock = CaptureClock(codec.clock_rate)
        self.statistics = ReceptionStatistics(codec.clock_rate)
        self._sequences = Unwrapper(16)
        self._timestamps = Unwrapper(32)
        self._newest = 0
        self._held_report: tuple[SenderReport, float] | None = None
        self._reorder = ReorderBuffer[tuple[RtpPacket, float]](self._patience_s, REORDER_PACKETS)
        self._depacketizer = depacketizer(codec, self._fmtp)
        # Of the access unit that is being put together.
        self._timestamp: int | None = None
        self._arrival = 0.0

    def _sender_report(self, report: SenderReport, arrival: float) -> None:
        if self._ssrc is None:
            self._held_report = report, arrival  # it is not known yet whose report this is
            return
        self._held_report = None
        if report.ssrc != self._ssrc:
            return
        self.sender_reports += 1
        # Relative to the newest packet, and without the Unwrapper: a report with a nonsensical
        # timestamp, which some cameras send, must not take the packets' timestamps along.
        distance = report.rtp_timestamp - self._newest + _TIMESTAMP_HALF & _TIMESTAMP_MASK
        timestamp = self._newest + distance - _TIMESTAMP_HALF
        self.statistics.sender_report(report.ntp_time, arrival)
        self.clock.sender_report(report.ntp_time, timestamp, arrival)

    def _released(self, packets: list[tuple[tuple[RtpPacket, float], bool]]) -> list[Received]:
        finished: list[Received] = []
        for (packet, arrival), gap in packets:
            try:
                units = self._depacketizer.push(
                    packet.payload, packet.timestamp, packet.marker, gap
                )
            except ParseError:
                self.malformed += 1
                units = []
            if units:
                finished += self._received(units, packet.timestamp, arrival)
            if packet.timestamp != self._timestamp:
                self._timestamp = packet.timestamp
                self._arrival = arrival
            else:
                self._arrival = max(self._arrival, arrival)
        return finished

    def _received(
        self, units: list[AccessUnit], timestamp: int | None, arrival: float
    ) -> list[Received]:
        """Give units their times; `timestamp` and `arrival` are of the packet that ended them."""
        finished = []
        for unit in units:
            unit.capture_time = self.clock.capture_time(unit.timestamp)
            last = arrival
            if unit.timestamp == self._timestamp:
                # Packets before this one were the unit's too; without a marker, this one is not.
                last = (
                    self._arrival if timestamp != self._timestamp else max(arrival, self._arrival)
                )
            finished.append(Received(self._track, unit, last))
        return finished
