"""Which missing packets are asked for, and when (RFC 4585, 6.2.1). No I/O, no clock of its own.

A gap may be nothing but reordering, so what is missing is asked for a moment later: as long after
as packets have lately been late by themselves. What does not come is asked for again as soon as it
could be there; then twice as often, as time is getting short; and then more and more seldom.

What comes after it was asked for may have been late by itself all the same. That shows when it
comes once more than it was asked for.

Sequence numbers are unwrapped; times are seconds of any steady clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass
from math import inf
from statistics import median

ASSUMED_ROUND_TRIP_S = 0.05
"""Until something is known."""
MAX_MISSING = 256
"""Packets that are asked for at a time, as many as our server has in stock for a viewer."""
MAX_ASKED = 8
"""How often a packet is asked for."""

_MARGIN, _MARGIN_S = 1.2, 0.005
_MIN_INTERVAL_S = 0.01
_EAGER = 5
"""So often a packet is asked for without slowing down: few are lost that often."""
_TOGETHER_S = 0.001
"""What is to be asked for that soon is asked for with the rest."""
_ROUND_TRIPS = 15
_EARLY = 8
"""So many that come sooner than expected are believed."""
_REMEMBERED = 512
"""Packets that were asked for and came."""
_MAX_JUMP = 3000
"""Sequence numbers further away than this mean a restart, not loss (RFC 3550, A.1)."""
_IN_VAIN = 50


@dataclass(slots=True)
class _Missing:
    noticed: float
    ask_at: float
    asked: int = 0
    first_asked: float = 0.0
    late_s: float = 0.0
    """How late it was in the end."""
    came: int = 0
    """How often it has come."""


class Lateness:
    """How late packets have been by themselves: the most of the last 2 to 4 seconds."""

    _WINDOW_S = 2.0
    _LEAST_S, _MOST_S = 0.002, 0.05

    def __init__(self) -> None:
        self._most_s = self._before_s = self._LEAST_S
        self._since = -inf

    def add(self, late_s: float, now: float) -> None:
        """Take note of one."""
        self._turn(now)
        self._most_s = max(self._most_s, min(late_s, self._MOST_S))

    def most_s(self, now: float) -> float:
        """How late a packet may be."""
        self._turn(now)
        return max(self._most_s, self._before_s)

    def _turn(self, now: float) -> None:
        if now - self._since >= self._WINDOW_S:
            is_recent = now - self._since < 2 * self._WINDOW_S
            self._before_s = self._most_s if is_recent else self._LEAST_S
            self._most_s, self._since = self._LEAST_S, now


class RoundTrip:
    """How long it takes from asking for a packet to its arrival.

    The median of some: those that had to be asked for twice make a few too long. What comes much
    sooner than expected was probably late by itself; it is believed if it then doesn't come again.
    """

    def __init__(self, known_s: float | None) -> None:
        self.seconds = known_s or ASSUMED_ROUND_TRIP_S
        self._measured = deque([self.seconds], maxlen=_ROUND_TRIPS)
        self._early: deque[float] = deque(maxlen=_ROUND_TRIPS)
        self._early_since = 0.0

    def add(self, seconds: float) -> None:
        """Take note of one."""
        self._early.clear()
        self._measured.append(seconds)
        self.seconds = median(self._measured)

    def add_early(self, seconds: float, now: float) -> None:
        """Take note of one that may be none."""
        if not self._early:
            self._early_since = now
        self._early.append(seconds)
        if len(self._early) >= _EARLY and now - self._early_since > 2 * self.seconds:
            self._measured.clear()
            self.add(median(self._early))

    def is_early(self, seconds: float) -> bool:
        """Whether a packet can hardly have come that soon because it was asked for."""
        return seconds < self.seconds / 2


class Repair:
    """Knows what is missing of one source."""

    def __init__(self, round_trip_s: float | None = None) -> None:
        """`round_trip_s` is what is known of the network's; None for nothing."""
        self.repaired = 0
        """Packets that came because they were asked for."""
        self.patience_s = inf
        """How long a missing packet is waited for."""
        self.overwhelmed = False
        """More was missing than is asked for. Whoever reads it may set it back."""
        self._round_trip = RoundTrip(round_trip_s)
        self._lateness = Lateness()
        self._missing: dict[int, _Missing] = {}
        self._came: dict[int, _Missing] = {}
        self._highest: int | None = None
        self._fruitless = 0

    @property
    def missing(self) -> int:
        """How many packets may still come."""
        return len(self._missing)

    @property
    def round_trip_s(self) -> float:
        """From asking for a packet to its arrival."""
        return self._round_trip.seconds

    @property
    def in_vain(self) -> bool:
        """The sender was asked often enough, and has never sent anything again."""
        return self._fruitless >= _IN_VAIN and not self.repaired

    @property
    def deadline(self) -> float | None:
        """When `due` has something to ask for; None while there is nothing."""
        ask_at = min((each.ask_at for each in self._missing.values()), default=inf)
        return None if ask_at == inf else ask_at

    def packet(self, sequence: int, now: float) -> bool:
        """Take note that a packet came; returns whether it seems to because it was asked for."""
        highest = self._highest
        if highest is None:
            self._highest = sequence
        elif sequence <= highest:
            return self._late(sequence, now)
        elif sequence - highest <= _MAX_JUMP:
            self.notice(range(highest + 1, sequence), now)
            self._highest = sequence
        return False

    def forget(self, following: int) -> None:
        """What comes before the packet `following` is here, or was given up."""
        if self._highest is None or not -_MAX_JUMP <= following - 1 - self._highest <= 0:
            self._highest = following - 1
        for sequence in [each for each in self._missing if each < following]:
            if self._missing.pop(sequence).asked:
                self._fruitless += 1

    def due(self, now: float) -> tuple[int, ...]:
        """The packets to ask for now, in order; they count as asked for."""
        sequences = []
        interval_s = max(_MIN_INTERVAL_S, _MARGIN * self.round_trip_s + _MARGIN_S)
        for sequence, missing in self._missing.items():
            if missing.ask_at > now + _TOGETHER_S:
                continue
            sequences.append(sequence)
            if not missing.asked:
                missing.first_asked = now
            missing.asked += 1
            slowed = 1 if missing.asked == 1 else 2.0 ** (max(_EAGER, missing.asked) - _EAGER - 1)
            missing.ask_at = now + interval_s * slowed if missing.asked < MAX_ASKED else inf
        return tuple(sorted(sequences))

    def notice(self, sequences: Collection[int], now: float) -> None:
        """Take note that these packets are missing, although `packet` could not tell."""
        if not sequences or self.in_vain:
            return
        if len(sequences) > MAX_MISSING - len(self._missing):
            self.overwhelmed = True
            return
        # Where there is little time, it is better to ask too often than too late.
        spare_s = max(0.0, self.patience_s - 2 * self.round_trip_s)
        ask_at = now + min(self._lateness.most_s(now), spare_s)
        for sequence in sequences:
            self._missing[sequence] = _Missing(now, ask_at)

    def _late(self, sequence: int, now: float) -> bool:
        if known := self._came.get(sequence):
            self._again(known, now)
            return False
        missing = self._missing.pop(sequence, None)
        if missing is None:
            return False  # a duplicate, or given up
        missing.late_s = now - missing.noticed
        if not missing.asked:
            self._lateness.add(missing.late_s, now)
            return False
        missing.came = 1
        self._came[sequence] = missing
        if len(self._came) > _REMEMBERED:
            del self._came[next(iter(self._came))]
        self.repaired += 1
        round_trip_s = now - missing.first_asked
        if missing.asked == 1 and self._round_trip.is_early(round_trip_s):
            self._round_trip.add_early(round_trip_s, now)
        else:
            self._round_trip.add(round_trip_s)
        return True

    def _again(self, known: _Missing, now: float) -> None:
        """It has come before: if more often than it was asked for, once by itself."""
        known.came += 1
        if known.came == known.asked + 1:
            self.repaired -= 1
            self._lateness.add(known.late_s, now)
            if known.asked == 1:
                self._round_trip.add(now - known.first_asked)
