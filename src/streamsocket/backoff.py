"""How long to wait before trying again."""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 30.0
_JITTER = 0.25
"""By which part a pause is longer or shorter: what failed together shall not come back at once."""


class Backoff:
    """Pauses that double from the first to the longest, in seconds, each a little random."""

    def __init__(self, first_s: float | None = None, longest_s: float | None = None) -> None:
        """In seconds; None for `FIRST_S` and `LONGEST_S`."""
        self._first_s = FIRST_S if first_s is None else first_s
        self._longest_s = LONGEST_S if longest_s is None else longest_s
        self._pause_s = self._first_s

    def next_s(self) -> float:
        """The pause before the next try, in seconds."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, self._longest_s)
        return pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)

    def reset(self) -> None:
        """It has worked: the next pause is short again."""
        self._pause_s = self._first_s
