"""Putting packets back in order, with bounded patience."""

from __future__ import annotations

from typing import Generic, TypeVar

T = TypeVar("T")

_RESTART_DISTANCE = 3_000
"""A leap in sequence numbers beyond this is a sender that began anew (RFC 3550, A.1)."""


class ReorderBuffer(Generic[T]):
    """Hands packets on in the order of their sequence numbers.

    A packet that is missing is waited for, `max_age_s` at most and never for more than
    `max_packets` that came after it; then it is counted as lost.
    """

    def __init__(self, max_age_s: float = 0.05, max_packets: int = 512) -> None:
        self._max_age_s = max_age_s
        self._max_packets = max_packets
        self._next: int | None = None
        self._waiting: dict[int, tuple[T, float]] = {}
        self._gap = False
        self.duplicates = 0
        """Packets that came again."""
        self.late = 0
        """Packets that came after they had been given up."""

    def push(self, sequence: int, item: T, now: float) -> list[tuple[T, bool]]:
        """Take a packet with its unwrapped number; return what is in order now.

        Each comes with whether packets are missing before it.
        """
        if self._next is None:
            self._next = sequence
        distance = sequence - self._next
        if distance == 0 and not self._waiting:
            self._next += 1
            return [(item, self._taken_gap())]
        if abs(distance) > _RESTART_DISTANCE:
            released = self.flush()
            self._next = sequence + 1
            self._gap = False
            return [*released, (item, True)]
        if distance < 0:
            self.late += 1
            return []
        if sequence in self._waiting:
            self.duplicates += 1
            return []
        self._waiting[sequence] = (item, now)
        return self.expire(now)

    def expire(self, now: float) -> list[tuple[T, bool]]:
        """Return what is in order, or has waited too long for what is missing before it."""
        released: list[tuple[T, bool]] = []
        while self._waiting:
            assert self._next is not None
            if self._next not in self._waiting:
                first = min(self._waiting)
                patient = now - self._waiting[first][1] < self._max_age_s
                if patient and len(self._waiting) <= self._max_packets:
                    break
                self._next = first
                self._gap = True
            item, _ = self._waiting.pop(self._next)
            released.append((item, self._taken_gap()))
            self._next += 1
        return released

    def flush(self) -> list[tuple[T, bool]]:
        """Return all that waits, in order."""
        return self.expire(float("inf"))

    def _taken_gap(self) -> bool:
        gap, self._gap = self._gap, False
        return gap
