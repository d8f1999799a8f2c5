"""From RTP timestamps to the wall-clock time of capture."""

from __future__ import annotations

from collections import deque
from typing import Literal

# A sender whose clock is further off than this is not to be believed: it was never set.
_BELIEVABLE_S = 10.0

# Arrival is captured from the least delayed packets. Over this window a clock that is off by
# 200 ppm moves by 2 ms, and even a bad network delivers one packet without delay.
_WINDOW_S = 10.0
_BUCKETS = 20

# How fast the mapping moves towards what is measured: faster than any clock drifts, and too slow
# for ears and eyes (0.5%).
_SLEW = 0.005

_LEAP_S = 1.0
"""An error larger than this is no drift: the sender's clock was set, or its timestamps leapt."""

ClockSource = Literal["sender_report", "arrival"]


class CaptureClock:
    """Maps the unwrapped RTP timestamps of one track to seconds since the epoch.

    The mapping comes from sender reports where they agree with arrival within 10 s, otherwise from
    the arrival of the least delayed packets. It slews and never leaps, but for its first lock and
    where it is off by more than a second, which `leaps` counts.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._offset: float | None = None
        self._adjusted = 0.0
        self._reported: float | None = None
        self._minima: deque[tuple[int, float]] = deque(maxlen=_BUCKETS)
        self.source: ClockSource = "arrival"
        """What the mapping comes from."""
        self.leaps = 0
        """How often the mapping had to leap after its first lock."""

    def packet(self, rtp_timestamp: int, arrival: float) -> None:
        """Note a packet's arrival, in seconds since the epoch."""
        offset = arrival - rtp_timestamp / self._clock_rate
        bucket = int(arrival * _BUCKETS / _WINDOW_S)
        if not self._minima or self._minima[-1][0] != bucket:
            self._minima.append((bucket, offset))
        elif offset < self._minima[-1][1]:
            self._minima[-1] = (bucket, offset)
        if self._reported is None:
            self._move_to(self._arrival_offset(), arrival)
        else:
            self._move_to(self._reported, arrival)

    def sender_report(self, ntp_time: float, rtp_timestamp: int, arrival: float) -> None:
        """Note a sender report: what has that timestamp was captured at `ntp_time`."""
        offset = ntp_time - rtp_timestamp / self._clock_rate
        by_arrival = self._arrival_offset() if self._minima else None
        reference = arrival - rtp_timestamp / self._clock_rate if by_arrival is None else by_arrival
        if abs(offset - reference) > _BELIEVABLE_S:
            self._reported = None
            self.source = "arrival"
            return
        first = self._reported is None
        self._reported = offset
        self.source = "sender_report"
        if first:
            self._offset = offset  # better known now than by arrival: no reason to creep there
            self._adjusted = arrival
        else:
            self._move_to(offset, arrival)

    def capture_time(self, rtp_timestamp: int) -> float:
        """When what has that timestamp was captured; 0.0 before anything has arrived."""
        if self._offset is None:
            return 0.0
        return self._offset + rtp_timestamp / self._clock_rate

    def _arrival_offset(self) -> float:
        newest = self._minima[-1][0]
        return min(offset for bucket, offset in self._minima if newest - bucket < _BUCKETS)

    def _move_to(self, wanted: float, now: float) -> None:
        if self._offset is None:
            self._offset, self._adjusted = wanted, now
            return
        error = wanted - self._offset
        if abs(error) > _LEAP_S:
            self._offset = wanted
            self.leaps += 1
        else:
            step = _SLEW * max(0.0, now - self._adjusted)
            self._offset += max(-step, min(step, error))
        self._adjusted = now
