"""When was it captured? From RTP timestamps to wall-clock time."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

TRUSTED_WITHIN_S = 10.0
"""A sender whose wall clock is further from ours than this is not believed: many cameras live in
1970, and what they say is no use for comparing tracks of different sources."""
SLEW_RATE = 0.005
"""How fast the mapping moves, in seconds a second: 25 times the 200 ppm that bad crystals drift,
and yet a change of pitch (9 cents) that nobody hears in sound played out by it."""
JUMP_BEYOND_S = 1.0
"""What is further off than this is no drift: the mapping jumps, and counts it."""

_SETTLING_S = 1.0
_REPORTS_SETTLE_S = 8.0
"""For so long each sender report replaces the one before, as reports come every 5 s: who passes a
stream on may have known less of its capture when it sent the first."""
_BUCKET_S = 0.5
_BUCKETS = 10
"""The least delayed packet of 5 s counts: a drift of 200 ppm is 1 ms in that time."""


class CaptureClock:
    """Maps the RTP timestamps of one track to the time of capture.

    The mapping is an offset: the wall-clock time of RTP timestamp 0. It comes from sender reports
    (RFC 3550, 6.4.1) where they agree with arrival within `TRUSTED_WITHIN_S`; else from arrival,
    where the packets that were least delayed define it. It jumps when it is first known (arrival
    settles for a second; the first sender reports then replace it) or when it is off by more than
    `JUMP_BEYOND_S`; otherwise it slews.

    RTP timestamps are unwrapped ticks of `clock_rate`, times are seconds since the epoch.
    """

    def __init__(self, clock_rate: int) -> None:
        self.source: Literal["sender_report", "arrival"] = "arrival"
        self.jumps = 0
        """How often the mapping jumped since it was first known."""
        self._clock_rate = clock_rate
        self._offset: float | None = None
        self._slewed_at = 0.0
        self._settled_at = math.inf
        self._reported: float | None = None
        self._reported_since = math.inf
        self._buckets: deque[float] = deque(maxlen=_BUCKETS)  # the least delayed packet of each
        self._least: float | None = None  # of them all
        self._bucket_ends = -math.inf

    def sender_report(self, ntp_time: float, rtp_timestamp: int, arrival: float) -> None:
        """Take in a sender report: `rtp_timestamp` was captured at `ntp_time`, says the sender."""
        reported = ntp_time - rtp_timestamp / self._clock_rate
        believed = abs(ntp_time - arrival) <= TRUSTED_WITHIN_S and (
            # Some senders report timestamps that have nothing to do with their packets'.
            self._least is None or abs(reported - self._least) <= TRUSTED_WITHIN_S
        )
        self._reported = reported if believed else None
        self.source = "sender_report" if believed else "arrival"
        if believed and arrival < self._reported_since + _REPORTS_SETTLE_S:
            self._reported_since = min(self._reported_since, arrival)
            self._offset = reported
            self._slewed_at = arrival
        else:
            self._follow(arrival)

    def packet(self, rtp_timestamp: int, arrival: float) -> None:
        """Take in the arrival of a packet."""
        offset = arrival - rtp_timestamp / self._clock_rate
        buckets = self._buckets
        if not self._bucket_ends - _BUCKET_S <= arrival < self._bucket_ends:
            if arrival > self._bucket_ends + _BUCKET_S * _BUCKETS:
                buckets.clear()  # nothing came for so long that what was known is out of date
            buckets.append(offset)
            self._bucket_ends = arrival + _BUCKET_S
            self._least = min(buckets)
        elif offset < buckets[-1]:
            buckets[-1] = offset
            self._least = min(buckets)
        self._follow(arrival)

    def capture_time(self, rtp_timestamp: int) -> float:
        """When what this timestamp stands for was captured, in seconds since the epoch.

        Raises ValueError before the first packet or sender report.
        """
        if self._offset is None:
            raise ValueError("The capture clock has neither seen a packet nor a sender report.")
        return self._offset + rtp_timestamp / self._clock_rate

    def _follow(self, now: float) -> None:
        """Move the mapping towards what is known by now."""
        target = self._least if self._reported is None else self._reported
        if target is None:
            return
        if self._offset is None:
            self._offset = target
            self._slewed_at = now
            self._settled_at = now + _SETTLING_S
            return
        # A wall clock that was set back must not turn the slewing round.
        step = SLEW_RATE * max(0.0, now - self._slewed_at)
        self._slewed_at = now
        error = target - self._offset
        if abs(error) > JUMP_BEYOND_S:
            self._offset = target
            self.jumps += 1
        elif abs(error) <= step or (self.source == "arrival" and now < self._settled_at):
            self._offset = target
        else:
            self._offset += math.copysign(step, error)
