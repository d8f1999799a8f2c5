"""Measuring a track from the access units that arrive."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import linear_regression, median

from streamsocket.client.receiver import Received

MAX_VALUES = 100_000
"""Of each kind that are kept, about half an hour: a longer probe tells of its last half hour."""


class Spread:
    """Access units with the moment something happened to them, for latencies that are told later.

    Later, because only then is known what the sender reports say of the whole.
    """

    def __init__(self) -> None:
        self.moments: deque[tuple[int, float]] = deque(maxlen=MAX_VALUES)
        """Timestamps and moments, in the order in which they were noted."""

    def add(self, timestamp: int, moment: float) -> None:
        """Note that it happened to the unit of this timestamp, in seconds since the epoch."""
        self.moments.append((timestamp, moment))

    def ages_ms(self, capture_time: Callable[[float], float]) -> list[float]:
        """How many milliseconds after its capture it happened to each."""
        moments = tuple(self.moments)  # at once: another thread may be adding
        return [(moment - capture_time(timestamp)) * 1000 for timestamp, moment in moments]


class TrackMeasure:
    """Counts and rates of one track.

    Servers send new viewers a burst, so that they have a picture at once, some with timestamps
    that are squeezed together. It says nothing about the stream's pace and latency: what comes
    before `settled` is counted, but not timed.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self.units = 0
        self.damaged = 0
        self.intact = 0
        self.keyframes = 0
        self.first_keyframe: float | None = None
        """When its last packet came, in seconds since the epoch."""
        self.has_b_frames = False
        """Access units come in another order than they are shown in."""
        self.arrivals = Spread()
        self._keyframe_timestamps: deque[int] = deque(maxlen=MAX_VALUES)
        self._previous: int | None = None

    def add(self, received: Received, *, settled: bool) -> None:
        """Count an access unit that has arrived."""
        unit = received.unit
        self.units += 1
        self.damaged += unit.damaged
        self.intact += received.intact
        if self._previous is not None and unit.timestamp < self._previous:
            self.has_b_frames = True
        self._previous = unit.timestamp
        if unit.keyframe:
            self.keyframes += 1
            if self.first_keyframe is None:
                self.first_keyframe = received.arrival
        if settled:
            self.arrivals.add(unit.timestamp, received.arrival)
            if unit.keyframe:
                self._keyframe_timestamps.append(unit.timestamp)

    @property
    def frame_rate(self) -> float | None:
        """Access units a second, by their arrival."""
        return _pace([moment for _, moment in self.arrivals.moments])

    @property
    def media_frame_rate(self) -> float | None:
        """Access units a second, by their timestamps."""
        return _pace([timestamp / self._clock_rate for timestamp, _ in self.arrivals.moments])

    @property
    def keyframe_interval_s(self) -> float | None:
        """The median from keyframe to keyframe, by their timestamps."""
        stamps = list(self._keyframe_timestamps)
        steps = [after - before for before, after in pairwise(stamps)]
        return median(steps) / self._clock_rate if steps else None


def _pace(seconds: Sequence[float]) -> float | None:
    """How many a second, from all of them: neither the first nor the last decides by being late.

    Nor does it matter that B-frames are not in the order of their timestamps.
    """
    if len(seconds) < 2:
        return None
    since_first = [second - seconds[0] for second in seconds]
    slope = linear_regression(range(len(seconds)), since_first).slope
    return 1 / slope if slope > 0 else None
