"""Live pictures at another rate than the device's, without holding any back."""

from __future__ import annotations

from fractions import Fraction
from typing import NamedTuple

# A picture so much of a step before its turn is taken for the one whose turn it is.
_EARLY = 0.3
_MOST_REPEATED_S = 1.0


class Turn(NamedTuple):
    """What is to be done about a picture."""

    repeats: list[float]
    """When the picture before it is shown again, before this one."""
    shown: bool
    """Whether this one is shown, at its own time."""


class LivePace:
    """Chooses which pictures are shown, as they come; those that are keep their own times."""

    def __init__(self, rate: Fraction, *, exactly: bool) -> None:
        """At most `rate` pictures a second; if `exactly`, also no fewer, for which some repeat."""
        self._step = float(1 / rate)
        self._exactly = exactly
        self._due: float | None = None

    def take(self, at: float) -> Turn:
        """A picture was taken at that time, in seconds."""
        if self._due is None or at - self._due > _MOST_REPEATED_S:
            self._due = at + self._step
            return Turn([], True)
        if at < self._due - _EARLY * self._step:
            return Turn([], False)
        repeats = []
        while at > self._due + (1 - _EARLY) * self._step:
            repeats.append(self._due)
            self._due += self._step
        self._due += self._step
        return Turn(repeats if self._exactly else [], True)
