"""Intake: what a publisher sends for one track, RTP and RTCP, on its way into the hub."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from streamsocket.errors import ParseError
from streamsocket.hub.stream import Publication
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Codec
from streamsocket.rtp.normalise import normaliser
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import HEADER, MARKER, VERSION, Unwrapper, parse_rtp
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
"""How long a missing packet is waited for."""
REPAIR_S = 0.3
"""The same where it is asked for: from another continent it comes by then, if not at first then at
the second time."""
REORDER_PACKETS = 1024

JUMP_S = 3.0
"""Timestamps that leave the time of arrival by more than this have begun anew."""

# Sound and picture that are apart by more are noticed at last.
_WORTH_TELLING_S = 0.02

_CNAME = f"streamsocket@{socket.gethostname()}"
_MAX_ASKED_FOR = 128
_HEADER_SIZE = HEADER.size


class Packet(NamedTuple):
    """What matters of an RTP packet once it is known whose it is."""

    payload: bytes
    sequence: int
    """Unwrapped."""
    timestamp: int
    """32 bits."""
    marker: bool


class Intake:
    """Takes one track's packets, puts them in order, normalises and dates them.

    What one wakeup brought of an access unit becomes one batch; nothing waits for the rest. Packets
    that make no sense are counted and dropped. Times are seconds since the epoch.
    """

    def __init__(
        self,
        publication: Publication,
        track: int,
        codec: Codec,
        fmtp: Mapping[str, str] | None = None,
        *,
        payload_type: int | None = None,
        ordered: bool,
        answers_nack: bool = False,
        bundled: bool = False,
        announced_ssrc: int | None = None,
        send_rtcp: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        """Packets of another `payload_type` are dropped; None takes any.

        `ordered`: they come over TCP, so that what is missing will never come. `answers_nack`: the
        publisher sends again what is asked for (RFC 4585). `bundled`: other tracks' reports come
        the same way, and this track's are those of its source, which may have been announced.
        """
        self.malformed = 0
        """Packets that broke the rules of RTP, RTCP or of their payload format."""
        self.ended = False
        """The publisher has said goodbye."""
        self.statistics = ReceptionStatistics(codec.clock_rate)
        self.clock = CaptureClock(codec.clock_rate)
        self._publication = publication
        self._track = track
        self._clock_rate = codec.clock_rate
        self._normaliser = normaliser(codec, fmtp)
        self._codec = self._normaliser.codec
        self._payload_type = payload_type
        self._ordered = ordered
        self._answers_nack = answers_nack and not ordered
        self._bundled = bundled
        self._announced_ssrc = announced_ssrc
        self._send_rtcp = send_rtcp
        self._own_ssrc = secrets.randbits(32)
        self._ssrc: int | None = None
        self._patience_s = REPAIR_S if self._answers_nack else REORDER_S
        self._reorder: ReorderBuffer[Packet] = ReorderBuffer(self._patience_s, REORDER_PACKETS)
        self._timestamps = Unwrapper(32)
        self._begun = False
        self._next = 0  # the sequence number that follows, unwrapped; once begun
        self._asked_up_to = 0  # what is missing from there on has not been asked for
        self._shift = 0
        self._newest: tuple[int, float] | None = None  # the last timestamp and its arrival
        self._run: list[bytes] = []
        self._run_first = 0
        self._run_timestamp = 0
        self._run_marker = False
        self._run_gap = False
        self._gathered: Normalised | None = None

    @property
    def codec(self) -> Codec:
        """The codec, with the parameter sets last seen in band."""
        return self._normaliser.codec

    @property
    def waiting(self) -> bool:
        """Whether packets wait for others that are missing: `tick` gives those up."""
        return self._reorder.waiting

    def receive(self, packets: Sequence[bytes], arrival: float) -> None:
        """Take the RTP packets that one wakeup brought; they are written to the publication."""
        unpack, payload_type = HEADER.unpack_from, self._payload_type
        following = self._following()
        for data in packets:
            if len(data) <= _HEADER_SIZE:
                self.malformed += bool(data) and len(data) < _HEADER_SIZE
                continue  # without payload it is a way through a firewall
            flags, second, sequence, timestamp, source = unpack(data)
            if payload_type is not None and second & 0x7F != payload_type:
                self.malformed += 1
                continue
            if sequence != following or flags != VERSION or source != self._ssrc:
                self._take(data, arrival)
                following = self._following()
                continue
            # The one that follows, as nearly always: all there is to do is to keep it.
            if timestamp != self._run_timestamp or self._run_marker or not self._run:
                self._end_run(arrival)
                self._run_first = self._next
                self._run_timestamp = timestamp
            self._run.append(data[_HEADER_SIZE:])
            self._run_marker = second >= MARKER
            self._next += 1
            following = (following + 1) & 0xFFFF
        self._end_run(arrival)
        self._write()

    def receive_rtcp(self, data: bytes, arrival: float) -> None:
        """Take an RTCP packet: sender reports set the clock, a goodbye ends the track."""
        try:
            packets = parse_rtcp(data)
        except ParseError:
            self.malformed += 1
            return
        for packet in packets:
            match packet:
                case SenderReport() if self._is_own(packet.ssrc):
                    self.statistics.sender_report(packet.ntp_time, arrival)
                    timestamp = self._timestamps.unwrap(packet.rtp_timestamp) + self._shift
                    before = self._newest and self.clock.capture_time(self._newest[0])
                    self.clock.sender_report(packet.ntp_time, timestamp, arrival)
                    if self._newest and before is not None:
                        moved_s = abs(self.clock.capture_time(self._newest[0]) - before)
                        if moved_s > _WORTH_TELLING_S:
                            self._publication.report_soon(self._track)
                case Bye() if self._ssrc in packet.sources:
                    self.ended = True
                case _:
                    pass

    def tick(self, arrival: float) -> None:
        """Give up what has been missing for too long, and ask again for what has not.

        To be called every few tens of ms.
        """
        released = self._reorder.expire(arrival)
        self._ask_for(self._reorder.missing)
        if released:
            self._release(released, arrival)
            self._end_run(arrival)
            self._write()

    def report(self, now: float) -> None:
        """Tell the publisher how well its packets come (RFC 3550, 6.4.2)."""
        if self._ssrc is not None:
            block = self.statistics.report_block(self._ssrc, now)
            report = ReceiverReport(self._own_ssrc, (block,))
            self._send_rtcp(build_receiver_report(report, _CNAME))

    def request_keyframe(self) -> None:
        """Ask the publisher for a keyframe (RFC 4585, 6.3.1)."""
        if self._ssrc is not None:
            self._send_rtcp(build_pli(Pli(self._own_ssrc, self._ssrc)))

    def _is_own(self, ssrc: int) -> bool:
        """Whether a report of this source is about this track."""
        if not self._bundled:
            return True  # whatever it says: there are cameras that don't know their own
        return ssrc == (self._announced_ssrc if self._ssrc is None else self._ssrc)

    # One packet that is not simply the next.

    def _following(self) -> int:
        """The sequence number (16 bits) of the packet that only has to be kept, -1 for none."""
        return -1 if self._reorder.waiting or not self._begun else self._next & 0xFFFF

    def _take(self, data: bytes, arrival: float) -> None:
        try:
            parsed = parse_rtp(data)
        except ParseError:
            self.malformed += 1
            return
        if not parsed.payload:
            return  # padding alone: a probe for bandwidth
        if parsed.ssrc != self._ssrc:
            self._begin_source(parsed.ssrc, arrival)
        if not self._begun:
            self._begun = True
            self._next = parsed.sequence
        # The unwrapped number nearest to the one that follows is the one that is meant.
        distance = ((parsed.sequence - self._next + 0x8000) & 0xFFFF) - 0x8000
        sequence = self._next + distance
        packet = Packet(bytes(parsed.payload), sequence, parsed.timestamp, parsed.marker)
        if self._ordered or (distance == 0 and not self._reorder.waiting):
            self._next = sequence + 1
            self._pass_on(packet, distance != 0, arrival)
            return
        if not self._reorder.waiting:
            self._reorder.resume(self._next)
            self._asked_up_to = self._next
        if 0 <= sequence - self._asked_up_to <= _MAX_ASKED_FOR:
            self._ask_for(range(self._asked_up_to, sequence))
            self._asked_up_to = sequence + 1
        released = self._reorder.push(sequence, packet, arrival)
        self._release(released, arrival)

    def _release(self, released: Sequence[tuple[Packet, bool]], arrival: float) -> None:
        """Go on with what the reordering has put in order."""
        for packet, gap in released:
            self._pass_on(packet, gap, arrival)
        if self._reorder.next is not None:
            self._next = self._reorder.next

    def _begin_source(self, ssrc: int, arrival: float) -> None:
        """Another source: its numbers have nothing to do with those before."""
        if self._ssrc is not None:
            self._release(self._reorder.flush(), arrival)
            self._end_run(arrival)
            self._timestamps = Unwrapper(32)
            self._reorder = ReorderBuffer(self._patience_s, REORDER_PACKETS)
            self._begun = False
            self._run_gap = True
        self.statistics = ReceptionStatistics(self._clock_rate)
        self._ssrc = ssrc

    def _ask_for(self, sequences: Sequence[int]) -> None:
        """Ask for what is missing (RFC 4585, 6.2.1)."""
        if sequences and self._answers_nack and self._ssrc is not None:
            missing = tuple(number & 0xFFFF for number in sequences[:_MAX_ASKED_FOR])
            self._send_rtcp(build_nack(Nack(self._own_ssrc, self._ssrc, missing)))

    # Runs: packets of one access unit that follow each other.

    def _pass_on(self, packet: Packet, gap: bool, arrival: float) -> None:
        if gap or not self._run or packet.timestamp != self._run_timestamp or self._run_marker:
            self._end_run(arrival)
            self._run_first = packet.sequence
            self._run_timestamp = packet.timestamp
            self._run_gap |= gap
        self._run.append(packet.payload)
        self._run_marker = packet.marker

    def _end_run(self, arrival: float) -> None:
        run = self._run
        if not run:
            return
        self._run = []
        marker, self._run_marker = self._run_marker, False
        gap, self._run_gap = self._run_gap, False
        timestamp = self._continued(self._timestamps.unwrap(self._run_timestamp), arrival)
        self.statistics.run(self._run_first, len(run), timestamp, arrival)
        self.clock.packet(timestamp, arrival)
        try:
            pieces = self._normaliser.push(run, timestamp, marker, gap)
        except ParseError:
            self.malformed += 1
            return
        if self._normaliser.codec is not self._codec:
            self._codec = self._normaliser.codec
            self._publication.learn(self._track, self._codec)
        for piece in pieces:
            self._gather(piece)

    def _continued(self, timestamp: int, arrival: float) -> int:
        """The timestamp as it follows from those before, also where they began anew.

        Late packets are nothing unusual; what comes earlier than its timestamp allows, or goes back
        further than any reordering of pictures, has begun anew: it is taken to follow as it
        arrived.
        """
        timestamp += self._shift
        if self._newest is not None:
            newest, before = self._newest
            step_s = (timestamp - newest) / self._clock_rate
            if step_s < -JUMP_S or step_s > arrival - before + JUMP_S:
                self._publication.note_jumps(1)
                follows = newest + round(max(arrival - before, 0.0) * self._clock_rate)
                self._shift += follows - timestamp
                timestamp = follows
        self._newest = timestamp, arrival
        return timestamp

    # Batches: what one wakeup brought of an access unit.

    def _gather(self, piece: Normalised) -> None:
        gathered = self._gathered
        if (
            gathered is None
            or gathered.complete
            or piece.keyframe
            or gathered.timestamp != piece.timestamp
        ):
            self._write()
            self._gathered = piece
            return
        self._gathered = gathered._replace(
            payloads=gathered.payloads + piece.payloads,
            marker=piece.marker,
            complete=piece.complete,
        )

    def _write(self) -> None:
        gathered, self._gathered = self._gathered, None
        if gathered is None or not gathered.payloads:
            return
        capture_time = self.clock.capture_time(gathered.timestamp)
        self._publication.write_payloads(self._track, gathered, capture_time)
