"""Timestamps of a transport stream: unwrapped, and put right where they go wrong.

All are ticks of 90 kHz. They have 33 bits (26.5 hours), and begin anew wherever a sender changes
what it sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

CLOCK_RATE = 90_000

_WRAP = 1 << 33
_JUMP = CLOCK_RATE * 3 // 2
"""What is further ahead, or behind, than the time that went by explains has jumped."""
_BACKWARD = CLOCK_RATE // 2
"""A step back that is longer is a jump; a shorter one is disorder."""
_PAUSE_S = 2.0
"""After it, timestamps that went on as if there had been none have jumped, too."""
_APART = 5 * CLOCK_RATE
"""Tracks that begin further apart have different bases."""
_STEADY = CLOCK_RATE * 3 // 10
"""A jump without a pause: what follows is placed by the track's own pace, to the tick."""
_LONGEST_STEP = CLOCK_RATE // 5

Kind = Literal["video", "audio"]


class Unwrapper:
    """Counts on where 33 bits begin again, for all tracks of a programme together."""

    def __init__(self) -> None:
        self._last: int | None = None

    def unwrap(self, timestamp: int) -> int:
        """The timestamp, next to the one before."""
        if self._last is None:
            self._last = timestamp
        self._last += signed_33(timestamp - self._last)
        return self._last


def signed_33(difference: int) -> int:
    """The nearest to zero of the numbers that are the same in 33 bits."""
    return (difference + _WRAP // 2) % _WRAP - _WRAP // 2


@dataclass(slots=True)
class _Line:
    """One track's repaired decoding times."""

    offset: int
    """What is added to the sender's."""
    last: int
    arrival: float
    step: int = 0
    """The last ordinary step between two decoding times."""


class TimestampRepair:
    """Says what is to be added to the timestamps of a programme's two tracks.

    Where both jump by the same amount, as they do when the sender begins anew, both are moved by
    the same offset, which keeps them in sync to the tick. What one track jumped by alone is taken
    out for this one alone.
    """

    def __init__(self) -> None:
        self.repairs = 0
        """How many jumps were taken out."""
        self._offset = 0
        self._lines: dict[Kind, _Line] = {}

    def offset(self, kind: Kind, decoding: int, now: float) -> int:
        """What to add to the times of something that arrived then, `now` being a steady clock's."""
        line = self._lines.get(kind)
        if line is None:
            return self._begin(kind, decoding, now)
        if not _plausible(line, decoding + line.offset, now):
            if not _plausible(line, decoding + self._offset, now):
                self._offset = _continuation(line, now) - decoding
                self.repairs += 1
            line.offset = self._offset
        repaired = decoding + line.offset
        if 0 < repaired - line.last <= _LONGEST_STEP:
            line.step = repaired - line.last
        line.last, line.arrival = repaired, now
        return line.offset

    def _begin(self, kind: Kind, decoding: int, now: float) -> int:
        """A track's first time: its base is the other track's, if that can be."""
        offset = self._offset
        for other in self._lines.values():
            expected = other.last + round((now - other.arrival) * CLOCK_RATE)
            if abs(decoding + offset - expected) > _APART:
                offset = expected - decoding
                self.repairs += 1
        self._lines[kind] = _Line(offset, decoding + offset, now)
        return offset


def _plausible(line: _Line, repaired: int, now: float) -> bool:
    step = repaired - line.last
    elapsed = round((now - line.arrival) * CLOCK_RATE)
    if now - line.arrival >= _PAUSE_S and step < elapsed - _JUMP:
        return False
    return -_BACKWARD <= step <= elapsed + _JUMP


def _continuation(line: _Line, now: float) -> int:
    """Where a track that jumped goes on."""
    steady = line.last + line.step
    by_arrival = line.last + round((now - line.arrival) * CLOCK_RATE)
    return steady if abs(by_arrival - steady) <= _STEADY else by_arrival


class SoundClock:
    """Exact timestamps for frames of sound, whose own are rounded to 90 kHz.

    Frames follow each other without a gap. Where the sender says something else by more than
    a millisecond, it is right.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._next: int | None = None

    def stamp(self, shown: int, duration: int) -> int | None:
        """The timestamp, in ticks of its own clock rate, of a frame shown then (90 kHz).

        None for one that would sound into the frame before: times went back.
        """
        told = (2 * shown * self._clock_rate + CLOCK_RATE) // (2 * CLOCK_RATE)
        expected = told if self._next is None else self._next
        off = told - expected
        if off < -self._clock_rate // 50:
            return None
        if off > self._clock_rate // 1000:
            expected = told
        self._next = expected + duration
        return expected
