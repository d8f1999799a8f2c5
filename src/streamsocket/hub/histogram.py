"""Durations counted in buckets: what a histogram metric is made of."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

BOUNDS_S = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1)
"""The buckets' upper bounds; what is longer than the last is counted apart."""


class Histogram:
    """Counts durations by size."""

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        """Count a duration, as often as it occurred."""
        self._counts[bisect_left(BOUNDS_S, seconds)] += times
        self.sum_s += seconds * times

    @property
    def count(self) -> int:
        """How many durations were counted."""
        return sum(self._counts)

    def cumulative(self) -> tuple[tuple[float, int], ...]:
        """For each bound in seconds, how many durations were no longer."""
        totals = accumulate(self._counts[:-1])
        return tuple(zip(BOUNDS_S, totals, strict=True))
