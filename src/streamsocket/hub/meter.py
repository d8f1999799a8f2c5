"""How much arrives a second, lately."""

from __future__ import annotations

from collections import deque


class Meter:
    """Bytes and access units a second, over the last few seconds."""

    WINDOW_S = 4.0

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int, int]] = deque()
        self._second = 0
        self._bytes = 0
        self._units = 0
        self._began: float | None = None

    def add(self, size: int, completes_unit: bool, now: float) -> None:
        """Count what arrived now."""
        if self._began is None:
            self._began = now
        second = int(now)
        if second != self._second:
            self._close(second)
        self._bytes += size
        self._units += completes_unit

    def rates(self, now: float) -> tuple[float, float]:
        """Return bits and access units a second; 0 where nothing came lately."""
        if self._began is None:
            return 0.0, 0.0
        if int(now) != self._second:
            self._close(int(now))
        span = min(now - self._began, len(self._seconds) + now % 1.0)
        if span < 0.5:
            return 0.0, 0.0
        total_bytes = self._bytes + sum(b for _, b, _ in self._seconds)
        total_units = self._units + sum(u for _, _, u in self._seconds)
        return total_bytes * 8 / span, total_units / span

    def _close(self, second: int) -> None:
        """Begin another second, and forget those outside the window."""
        if self._second:
            self._seconds.append((self._second, self._bytes, self._units))
            for silent in range(self._second + 1, min(second, self._second + 10)):
                self._seconds.append((silent, 0, 0))
        while self._seconds and self._seconds[0][0] < second - self.WINDOW_S:
            self._seconds.popleft()
        self._second = second
        self._bytes = self._units = 0
