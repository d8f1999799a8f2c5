"""How well a track is received (RFC 3550, 6.4.1 and A.3, A.8)."""

from __future__ import annotations

from streamsocket.rtp.rtcp import ReportBlock, ntp_from_unix

_MAX_JUMP = 3000
"""Sequence numbers further away than this mean a restart of the sender (RFC 3550, A.1)."""
_REMEMBERED = 4096
"""Packets whose sequence numbers are known, to tell duplicates from latecomers."""


class ReceptionStatistics:
    """Counts what was received, lost, reordered and duplicated, and measures the jitter."""

    def __init__(self, clock_rate: int) -> None:
        self.received = 0
        """Packets, without duplicates."""
        self.reordered = 0
        """Packets that came after one with a higher sequence number."""
        self.duplicates = 0
        self.jitter = 0.0
        """Interarrival jitter in ticks of the clock rate."""
        self._clock_rate = clock_rate
        self._base = 0
        self._highest = -1
        self._expected_before = 0
        self._recent: list[int | None] = [None] * _REMEMBERED
        self._transit: float | None = None
        self._reported_expected = 0
        self._reported_received = 0
        self._last_sr = 0
        self._last_sr_arrival = 0.0

    @property
    def expected(self) -> int:
        """Packets that the sequence numbers say were sent."""
        return self._expected_before + self._highest - self._base + 1

    @property
    def lost(self) -> int:
        """Packets that have not come."""
        return self.expected - self.received

    @property
    def jitter_s(self) -> float:
        """Interarrival jitter in seconds."""
        return self.jitter / self._clock_rate

    def packet(
        self, sequence: int, timestamp: int, arrival: float, *, resent: bool = False
    ) -> None:
        """Take in a packet: unwrapped sequence number and timestamp, arrival in seconds.

        One that was `resent` is received late for another reason than the network's, and says
        nothing about its order and its jitter.
        """
        recent = self._recent
        slot = sequence % _REMEMBERED
        if recent[slot] == sequence:
            self.duplicates += 1
            return
        recent[slot] = sequence
        self.received += 1
        highest = self._highest
        if self.received == 1:
            self._base = self._highest = sequence
        elif highest < sequence <= highest + _MAX_JUMP:
            self._highest = sequence
        elif highest - _MAX_JUMP <= sequence < highest:
            self.reordered += not resent
            self._base = min(self._base, sequence)
        else:
            self._expected_before = self.expected
            self._base = self._highest = sequence
            self._transit = None
        if not resent:
            self._time(timestamp, arrival)

    def run(self, sequence: int, packets: int, timestamp: int, arrival: float) -> None:
        """Take in packets of one access unit that follow each other and came together.

        For the jitter they count as one: they were sent together, too.
        """
        if self.received and sequence != self._highest + 1:
            self.packet(sequence, timestamp, arrival)  # after a loss, or from elsewhere
            packets -= 1
        elif not self.received:
            self._base, self._highest = sequence, sequence - 1
            self._time(timestamp, arrival)
        else:
            self._time(timestamp, arrival)
        self.received += packets
        self._highest += packets

    def _time(self, timestamp: int, arrival: float) -> None:
        transit = arrival * self._clock_rate - timestamp
        if self._transit is not None:
            self.jitter += (abs(transit - self._transit) - self.jitter) / 16
        self._transit = transit

    def sender_report(self, ntp_time: float, arrival: float) -> None:
        """Take in that a sender report came: its time, and when it did."""
        self._last_sr = ntp_from_unix(ntp_time) >> 16 & 0xFFFF_FFFF
        self._last_sr_arrival = arrival

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """The report on this source; its fraction of loss is that since the last report."""
        expected = self.expected - self._reported_expected
        lost = expected - (self.received - self._reported_received)
        self._reported_expected = self.expected
        self._reported_received = self.received
        delay = int((now - self._last_sr_arrival) * 65536) if self._last_sr else 0
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=min(255, (lost << 8) // expected) if lost > 0 else 0,
            cumulative_lost=min(self.lost, (1 << 23) - 1),
            highest_sequence=self._highest & 0xFFFF_FFFF,
            jitter=min(int(self.jitter), 0xFFFF_FFFF),
            last_sr=self._last_sr,
            delay_since_last_sr=max(0, min(delay, 0xFFFF_FFFF)),
        )
