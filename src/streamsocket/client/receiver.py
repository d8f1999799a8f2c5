"""One track being received: packets in, access units out. No I/O, no clock of its own.

Times are arrivals in seconds since the epoch, as they were taken when the socket was read.
"""

from __future__ import annotations

import secrets
import socket
from collections.abc import Collection
from dataclasses import dataclass

from streamsocket.client.references import References
from streamsocket.client.repair import MAX_MISSING, Repair
from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Codec
from streamsocket.rtp.beginning import may_begin_keyframe
from streamsocket.rtp.packet import RtpPacket, Unwrapper, parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.rtp.reorder import ReorderBuffer
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    SenderReport,
    build_nack,
    build_pli,
    build_receiver_report,
    parse_rtcp,
)
from streamsocket.rtp.statistics import ReceptionStatistics

REORDER_S = 0.1
"""How long a missing packet is waited for: longer than networks reorder, shorter than annoys."""
REPAIR_S = 0.25
"""And where it is asked for: long enough for three attempts over a network of 60 ms to and fro."""
REORDER_PACKETS = 2048
LEAD_PACKETS = 256
"""So many packets of a keyframe's beginning may be overtaken by another of its packets."""
KEYFRAME_REQUEST_INTERVAL_S = 0.5
"""A keyframe is asked for again where none has come by then."""
_CNAME = f"streamsocket@{socket.gethostname()}"
_TIMESTAMP_HALF, _TIMESTAMP_MASK = 1 << 31, (1 << 32) - 1


@dataclass(slots=True)
class Received:
    """An access unit that has arrived."""

    track: int
    """The track's place in the session's tracks."""
    unit: AccessUnit
    arrival: float
    """When its last packet came, in seconds since the epoch."""
    intact: bool = True
    """Nothing of it was lost, nor of the pictures that it refers to: see `References`."""


class Receiver:
    """Receives one track, whatever its packets go through on the way.

    A source that begins anew with another SSRC is followed; its timestamps, clock and statistics
    begin anew too.
    """

    def __init__(
        self,
        track: int,
        codec: Codec,
        fmtp: dict[str, str],
        payload_type: int,
        *,
        ordered: bool,
        feedback: Collection[str] = (),
        round_trip_s: float | None = None,
        begins_with_keyframe: bool = False,
    ) -> None:
        """`ordered`: packets come over TCP, so that what is missing will never come.

        `feedback` is what the sender answers of RFC 4585, as SDP has it: `nack`, `nack pli`.
        `round_trip_s` is how long an answer takes; None where that is not known.
        `begins_with_keyframe`: so do servers of this kind: what comes first but is not the
        beginning of one has overtaken it, or it was lost.
        """
        self.bytes = 0
        """Of RTP packets, headers included."""
        self.malformed = 0
        """Packets that broke the rules of RTP or of their payload format."""
        self.strangers = 0
        """RTP packets of another payload type than the one announced."""
        self.sender_reports = 0
        self.ended = False
        """The source has said goodbye."""
        self.nacks = 0
        """How often packets were asked for (RFC 4585, 6.2.1)."""
        self.plis = 0
        """How often a keyframe was asked for (RFC 4585, 6.3.1)."""
        self.first_arrival: float | None = None
        """When the first packet came."""
        self._track = track
        self._fmtp = fmtp
        self._payload_type = payload_type
        self._ordered = ordered
        self._answers_nack = "nack" in feedback and not ordered
        self._answers_pli = "nack pli" in feedback
        self._patience_s = REPAIR_S
        self._round_trip_s = round_trip_s
        self._repaired = 0  # of sources before
        self._keyframe_requested = 0.0
        self._begins_at: int | None = None
        self._seeks_keyframe = begins_with_keyframe and self._answers_nack
        self._lowest: int | None = None  # of what has come while it is sought
        self._own_ssrc = secrets.randbits(32)
        self._ssrc: int | None = None
        self._begin(codec)

    @property
    def codec(self) -> Codec:
        """As announced, or as the stream itself says by now."""
        return self._depacketizer.codec

    @property
    def repaired(self) -> int:
        """Packets that came because they were asked for."""
        return self._repaired + self._repair.repaired

    @property
    def lost(self) -> int:
        """Packets that have not come, without those that are still waited for."""
        return max(0, self.statistics.lost - self._repair.missing)

    @property
    def patience_s(self) -> float:
        """How long a missing packet is waited for, in seconds.

        That can be set at any time, but has no effect over TCP, and only up to `REORDER_S` where
        nothing comes that is asked for.
        """
        if self._ordered:
            return 0.0
        if self._answers_nack and not self._repair.in_vain:
            return self._patience_s
        return min(self._patience_s, REORDER_S)

    @patience_s.setter
    def patience_s(self, seconds: float) -> None:
        self._patience_s = seconds
        self._reorder.max_age_s = self._repair.patience_s = self.patience_s

    @property
    def deadline(self) -> float | None:
        """When to call `expire` and `feedback` at the latest; None while nothing waits."""
        expires = self._reorder.deadline
        if expires is None or not self._answers_nack:
            return expires
        asks = self._repair.deadline
        return expires if asks is None else min(expires, asks)

    def begin_at(self, sequence: int) -> None:
        """Tell which sequence number (16 bits) the server begins with, before its first packet.

        It is believed where packets can be asked for: what is lost or overtaken on the way before
        any other came is waited for like the rest.
        """
        if self._answers_nack:
            self._begins_at = sequence

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
                self._repaired = self.repaired
                self._round_trip_s = self._repair.round_trip_s
                self._begin(self.codec)
            self._ssrc = packet.ssrc
        if self.first_arrival is None:
            self.first_arrival = arrival
        self.bytes += len(data)
        sequence = self._sequences.unwrap(packet.sequence)
        packet.timestamp = self._newest = self._timestamps.unwrap(packet.timestamp)
        if self._begins_at is not None:
            self._expect(sequence - (packet.sequence - self._begins_at & 0xFFFF), sequence)
        elif self._seeks_keyframe:
            self._seek_keyframe(sequence, packet.payload, arrival)
        resent = self._repair.packet(sequence, arrival)
        self.statistics.packet(sequence, packet.timestamp, arrival, resent=resent)
        if not resent:
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
        self._reorder.max_age_s = self.patience_s  # less, once it is plain that asking is in vain
        return self._released(self._reorder.expire(now))

    def flush(self) -> list[Received]:
        """Return everything that waits, because nothing will come any more."""
        finished = self._released(self._reorder.flush())
        return finished + self._received(self._depacketizer.flush(), None, 0.0)

    def receiver_report(self, now: float) -> bytes | None:
        """The RTCP to send about this track every few seconds; None before its first packet."""
        if self._ssrc is None:
            return None
        block = self.statistics.report_block(self._ssrc, now)
        return build_receiver_report(ReceiverReport(self._own_ssrc, (block,)), _CNAME)

    def request_keyframe(self) -> None:
        """Ask for a keyframe with the next feedback, and until one comes."""
        self._references.keyframe_wanted = True

    def feedback(self, now: float) -> bytes | None:
        """The RTCP to send at once, if anything is to be asked for that the sender would answer.

        To be called after everything else. It is a compound packet (RFC 4585, 3.1); the report it
        has to begin with is an empty one.
        """
        if self._ssrc is None:
            return None
        requests = b""
        if self._answers_nack and (sequences := self._repair.due(now)):
            missing = tuple(sequence & 0xFFFF for sequence in sequences)
            requests += build_nack(Nack(self._own_ssrc, self._ssrc, missing))
            self.nacks += 1
        if self._answers_pli and self._wants_keyframe(now):
            requests += build_pli(Pli(self._own_ssrc, self._ssrc))
            self._keyframe_requested = now
            self.plis += 1
        if not requests:
            return None
        return build_receiver_report(ReceiverReport(self._own_ssrc), _CNAME) + requests

    def _wants_keyframe(self, now: float) -> bool:
        if not (self._references.keyframe_wanted or self._repair.overwhelmed):
            return False
        self._repair.overwhelmed = False
        return abs(now - self._keyframe_requested) >= KEYFRAME_REQUEST_INTERVAL_S

    def _expect(self, first: int, came: int) -> None:
        """The first packet came: what should have come before is missing, if that is not too much.

        Otherwise the server has told nonsense, as some do.
        """
        self._begins_at = None
        if came - first <= MAX_MISSING:
            self._reorder.resume(first)
            self._repair.forget(first)

    def _seek_keyframe(self, sequence: int, payload: bytes | memoryview, now: float) -> None:
        """Wait for what comes before the first packet, up to one that a keyframe may begin with."""
        begins = may_begin_keyframe(self.codec, payload)
        lowest, reorder = self._lowest, self._reorder
        if lowest is None and not begins:
            reorder.resume(sequence - LEAD_PACKETS)
        elif lowest is None or begins or not reorder.waiting:
            self._seeks_keyframe = False
            if lowest is not None and sequence < lowest and reorder.waiting:
                reorder.resume(sequence)
                self._repair.notice(reorder.missing[1:], now)
        self._lowest = sequence if lowest is None else min(sequence, lowest)

    def _begin(self, codec: Codec) -> None:
        """What is known of one source, told apart by its SSRC."""
        self.clock = CaptureClock(codec.clock_rate)
        self.statistics = ReceptionStatistics(codec.clock_rate)
        self._sequences = Unwrapper(16)
        self._timestamps = Unwrapper(32)
        self._newest = 0
        self._held_report: tuple[SenderReport, float] | None = None
        self._repair: Repair = Repair(self._round_trip_s)
        self._repair.patience_s = self.patience_s
        self._reorder: ReorderBuffer[tuple[RtpPacket, float]] = ReorderBuffer(
            self.patience_s, REORDER_PACKETS
        )
        self._depacketizer = depacketizer(codec, self._fmtp)
        self._references = References(codec)
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
        if self._reorder.next is not None:
            self._repair.forget(self._reorder.next)
        finished: list[Received] = []
        for (packet, arrival), gap in packets:
            broken = gap
            try:
                units = self._depacketizer.push(
                    packet.payload, packet.timestamp, packet.marker, gap
                )
            except ParseError:
                self.malformed += 1
                broken, units = True, []
            if broken:
                # What was lost came after the unit that only ends here.
                ended = int(bool(units) and units[0].timestamp != packet.timestamp)
                finished += self._received(units[:ended], packet.timestamp, arrival)
                units = units[ended:]
                self._references.lose()
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
            intact = self._references.judge(unit)
            finished.append(Received(self._track, unit, last, intact))
        return finished
