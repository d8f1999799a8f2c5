"""Putting packets back in order, for as long as it is worth waiting."""

from __future__ import annotations

from typing import Generic, TypeVar

Item = TypeVar("Item")

_MAX_JUMP = 3000
"""Sequence numbers further away than this mean a restart, not loss (RFC 3550, A.1)."""


class ReorderBuffer(Generic[Item]):
    """Releases items in the order of their sequence numbers.

    An item whose predecessors are missing waits for them, at most `max_age_s` and while no more
    than `max_packets` wait; then what is missing is given up, and the next item is released with a
    gap. Two packets in a row from far away are a restart of the sender: the buffer goes on there.
    """

    def __init__(self, max_age_s: float, max_packets: int) -> None:
        self.dropped = 0
        """Duplicates, and packets that came when they had been given up."""
        self.max_age_s = max_age_s
        """May be changed at any time; it holds for what waits already, too."""
        self._max_packets = max_packets
        self._next: int | None = None
        self._waiting: dict[int, tuple[Item, float]] = {}
        self._stray: tuple[int, Item] | None = None

    @property
    def waiting(self) -> bool:
        """Whether items wait for what is missing before them."""
        return bool(self._waiting)

    @property
    def missing(self) -> list[int]:
        """The sequence numbers that others wait for."""
        if self._next is None:
            return []
        end = max(self._waiting, default=self._next)
        return [number for number in range(self._next, end) if number not in self._waiting]

    @property
    def next(self) -> int | None:
        """The sequence number that is to be released next; None before the first item."""
        return self._next

    def resume(self, sequence: int) -> None:
        """Note that all before this sequence number went past, in order, while nothing waited."""
        if sequence != self._next:
            self._next = sequence
            self._stray = None

    @property
    def deadline(self) -> float | None:
        """When `expire` has something to do; None while nothing waits."""
        for _, arrival in self._waiting.values():
            return arrival + self.max_age_s  # the first put in is the oldest
        return None

    def push(self, sequence: int, item: Item, now: float) -> list[tuple[Item, bool]]:
        """Take an item with its unwrapped sequence number; `now` in seconds of any steady clock.

        Returns what is released: items, each with whether packets are missing before it.
        """
        if sequence == self._next or self._next is None:
            self._next = sequence + 1
            self._stray = None
            if self._waiting:
                return [(item, False), *self._release(gap=False), *self.expire(now)]
            return [(item, False)]
        if abs(sequence - self._next) > _MAX_JUMP:
            return self._take_stray(sequence, item)
        self._stray = None
        if sequence < self._next or sequence in self._waiting:
            self.dropped += 1
            return []
        self._waiting[sequence] = (item, now)
        released = self.expire(now)
        while len(self._waiting) > self._max_packets:
            released += self._give_up()
        return released

    def expire(self, now: float) -> list[tuple[Item, bool]]:
        """Release what has waited long enough."""
        released: list[tuple[Item, bool]] = []
        while (deadline := self.deadline) is not None and deadline <= now:
            released += self._give_up()
        return released

    def flush(self) -> list[tuple[Item, bool]]:
        """Release all that waits."""
        released: list[tuple[Item, bool]] = []
        while self._waiting:
            released += self._give_up()
        return released

    def _give_up(self) -> list[tuple[Item, bool]]:
        """Go on with the first item that waits, and all that follow it without a hole."""
        self._next = min(self._waiting)
        return self._release(gap=True)

    def _release(self, *, gap: bool) -> list[tuple[Item, bool]]:
        assert self._next is not None
        released = []
        while (entry := self._waiting.pop(self._next, None)) is not None:
            released.append((entry[0], gap))
            gap = False
            self._next += 1
        return released

    def _take_stray(self, sequence: int, item: Item) -> list[tuple[Item, bool]]:
        """A packet from far away: one may be a mistake, two in a row are a restart."""
        if self._stray is None or sequence != self._stray[0] + 1:
            self.dropped += 1
            self._stray = (sequence, item)
            return []
        self.dropped -= 1
        released = self.flush()
        released += [(self._stray[1], True), (item, False)]
        self._stray = None
        self._next = sequence + 1
        return released
