"""How many pictures a second a track has, by the timestamps of those that came. Pure."""

from __future__ import annotations

from collections import deque
from fractions import Fraction

_WINDOW_S = 3
_LEAST_S = 1
_MOST = 400


class PictureRate:
    """Pictures a second over the last seconds; until then, what the source declares."""

    def __init__(self, clock_rate: int, declared: Fraction | None) -> None:
        self._clock_rate = clock_rate
        self._declared = declared
        self._timestamps: deque[int] = deque(maxlen=_MOST)

    def add(self, timestamp: int) -> None:
        """A picture came; the order in which they come is that of decoding."""
        timestamps = self._timestamps
        if timestamps and abs(timestamp - timestamps[-1]) > _WINDOW_S * self._clock_rate:
            timestamps.clear()
        timestamps.append(timestamp)
        while timestamp - timestamps[0] > _WINDOW_S * self._clock_rate:
            timestamps.popleft()

    @property
    def measured(self) -> Fraction | None:
        """Pictures a second; None where neither measured nor declared."""
        if len(self._timestamps) > 1:
            span = max(self._timestamps) - min(self._timestamps)
            if span >= _LEAST_S * self._clock_rate:
                return Fraction((len(self._timestamps) - 1) * self._clock_rate, span)
        return self._declared
