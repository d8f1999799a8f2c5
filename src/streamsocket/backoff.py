"""How long to wait before trying again."""

from __future__ import annotations

import random

FIRST_S = 1.0
LONGEST_S = 30.0
_JITTER = 0.25
"""By which part a pause is longer or shorter: what failed together shall not come back at once."""


class Backoff:
    """Pauses that double from `FIRST_S` to `LONGEST_S`, each a little random."""

    def __init__(self) -> None:
        self._pause_s = FIRST_S

    def next_s(self) -> float:
        """The pause before the next try, in seconds."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, LONGEST_S)
        return pause_s * random.uniform(1 - _JITTER, 1 + _JITTER)

    def reset(self) -> None:
        """It has worked: the next pause is short again."""
        self._pause_s = FIRST_S
