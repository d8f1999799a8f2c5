"""What a receiver counts of one source, and reports (RFC 3550, 6.4.1 and A.8)."""

from __future__ import annotations

from streamsocket.rtp.rtcp import ReportBlock, ntp_from_unix


class ReceptionStatistics:
    """Packets received, expected, lost and reordered, and their jitter."""

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._first: int | None = None
        self._highest = 0
        self._recent: set[int] = set()
        self._transit: float | None = None
        self._jitter = 0.0
        self._expected_before = 0
        self._received_before = 0
        self._last_sender_report: tuple[int, float] | None = None
        self.received = 0
        """Packets, those that came twice counted once."""
        self.duplicates = 0
        self.reordered = 0
        """Packets that came after one with a higher number."""

    def packet(self, sequence: int, timestamp: int, arrival: float) -> None:
        """Count a packet: its unwrapped sequence number and timestamp, its arrival in seconds."""
        if self._first is None:
            self._first = self._highest = sequence
        if sequence in self._recent:
            self.duplicates += 1
            return
        self._recent.add(sequence)
        if len(self._recent) > 2048:
            self._recent = {number for number in self._recent if number > self._highest - 1024}
        self.received += 1
        if sequence < self._highest:
            self.reordered += 1
            self._first = min(self._first, sequence)
        self._highest = max(self._highest, sequence)
        transit = arrival * self._clock_rate - timestamp
        if self._transit is not None:
            self._jitter += (abs(transit - self._transit) - self._jitter) / 16
        self._transit = transit

    def sender_report(self, ntp_time: float, arrival: float) -> None:
        """Note a sender report: the round trip is measured by it."""
        self._last_sender_report = (ntp_from_unix(ntp_time) >> 16 & 0xFFFF_FFFF, arrival)

    @property
    def expected(self) -> int:
        """How many packets there should be, from the first to the highest number."""
        return 0 if self._first is None else self._highest - self._first + 1

    @property
    def lost(self) -> int:
        """How many of them did not come, or not yet."""
        return self.expected - self.received

    @property
    def jitter_s(self) -> float:
        """The interarrival jitter in seconds."""
        return self._jitter / self._clock_rate

    def report_block(self, ssrc: int, now: float) -> ReportBlock:
        """What to report of the source with that SSRC; begins a new interval."""
        expected = self.expected - self._expected_before
        lost = expected - (self.received - self._received_before)
        self._expected_before, self._received_before = self.expected, self.received
        fraction = min(255, 256 * lost // expected) if expected > 0 and lost > 0 else 0
        last, delay = 0, 0
        if self._last_sender_report:
            last, arrival = self._last_sender_report
            delay = min(max(0, round((now - arrival) * 65_536)), 0xFFFF_FFFF)
        return ReportBlock(
            ssrc=ssrc,
            fraction_lost=fraction,
            cumulative_lost=max(-0x80_0000, min(self.lost, 0x7F_FFFF)),
            highest_sequence=self._highest & 0xFFFF_FFFF,
            jitter=min(round(self._jitter), 0xFFFF_FFFF),
            last_sender_report=last,
            delay_since_last=delay,
        )
