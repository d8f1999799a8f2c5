"""How much arrives a second, lately."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 4.0

# After a silence as long as this, the rate of what came before says nothing any more.
_SILENCE_S = 1.0

_MOST_ARRIVALS = 20_000


# Moment, bytes, access units. A plain tuple of numbers costs the garbage collector nothing.
_Arrival = tuple[float, int, int]


class Meter:
    """Bits and access units a second, over the last few seconds."""

    def __init__(self) -> None:
        self._arrivals: deque[_Arrival] = deque()
        self._bytes = 0  # of all of them
        self._units = 0

    def add(self, size: int, completes_unit: bool, now: float) -> None:
        """Count what arrived now."""
        arrivals = self._arrivals
        arrivals.append((now, size, completes_unit))
        self._bytes += size
        self._units += completes_unit
        oldest = now - _WINDOW_S
        while arrivals[0][0] < oldest or len(arrivals) > _MOST_ARRIVALS:
            _, size, units = arrivals.popleft()
            self._bytes -= size
            self._units -= units

    def rates(self, now: float) -> tuple[float, float]:
        """Return bits and access units a second; 0 where nothing came lately."""
        if not self._arrivals:
            return 0.0, 0.0
        first_moment, first_bytes, first_units = self._arrivals[0]
        last_moment = self._arrivals[-1][0]
        # From the first arrival to the last, which is not counted twice: n intervals have n + 1
        # ends. Where nothing comes any more, the silence counts too.
        end = last_moment if now - last_moment < _SILENCE_S else now
        span = end - first_moment
        if span <= 0 or now - last_moment > _WINDOW_S:
            return 0.0, 0.0
        return (self._bytes - first_bytes) * 8 / span, (self._units - first_units) / span
