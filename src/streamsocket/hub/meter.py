"""How much arrives a second, lately."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

_WINDOW_S = 4.0

# After a silence as long as this, the rate of what came before says nothing any more.
_SILENCE_S = 1.0

_MOST_ARRIVALS = 20_000


class _Arrival(NamedTuple):
    moment: float
    bytes: int
    units: int


class Meter:
    """Bits and access units a second, over the last few seconds."""

    def __init__(self) -> None:
        self._arrivals: deque[_Arrival] = deque(maxlen=_MOST_ARRIVALS)

    def add(self, size: int, completes_unit: bool, now: float) -> None:
        """Count what arrived now."""
        arrivals = self._arrivals
        arrivals.append(_Arrival(now, size, completes_unit))
        while arrivals[0].moment < now - _WINDOW_S:
            arrivals.popleft()

    def rates(self, now: float) -> tuple[float, float]:
        """Return bits and access units a second; 0 where nothing came lately."""
        if not self._arrivals:
            return 0.0, 0.0
        first, last = self._arrivals[0], self._arrivals[-1]
        # From the first arrival to the last, which is not counted twice: n intervals have n + 1
        # ends. Where nothing comes any more, the silence counts too.
        end = last.moment if now - last.moment < _SILENCE_S else now
        span = end - first.moment
        if span <= 0 or now - last.moment > _WINDOW_S:
            return 0.0, 0.0
        total_bytes = sum(arrival.bytes for arrival in self._arrivals) - first.bytes
        total_units = sum(arrival.units for arrival in self._arrivals) - first.units
        return total_bytes * 8 / span, total_units / span
