"""Pictures that wait to be decoded, and what is left out of them to be live. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple

from streamsocket.media.access_unit import AccessUnit

_LIVE_S = 0.25
_MANY = 4
"""Whoever is behind by more decodes without encoding, which other pictures may need."""

_SKIP_S = 1.0
"""Whoever is behind by more goes on at the newest keyframe, if one is there."""

MAX_WAIT_S = 3.0
MAX_BYTES = 16 << 20
"""Where not even decoding keeps up, everything is left out until the next keyframe."""


class _Waiting(NamedTuple):
    unit: AccessUnit
    newest: int
    """The latest timestamp so far: with B-frames, what comes later may be shown sooner."""
    since: float
    size: int


class Backlog:
    """A queue of pictures, in the order in which they are decoded. Times are arguments."""

    def __init__(self, clock_rate: int) -> None:
        self.skipped = 0
        """Pictures that were left out, all in all."""
        self.wants_keyframe = False
        """Nothing is taken in until one comes."""
        self._clock_rate = clock_rate
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._newest = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, unit: AccessUnit, now: float) -> None:
        """Take a picture."""
        if self.wants_keyframe and not unit.keyframe:
            self.skipped += 1
            return
        self.wants_keyframe = False
        size = sum(map(len, unit.units))
        # A keyframe begins a new order: after a jump back, everything would seem to be late.
        is_later = unit.timestamp > self._newest or unit.keyframe
        self._newest = unit.timestamp if is_later else self._newest
        self._waiting.append(_Waiting(unit, self._newest, now, size))
        self._bytes += size
        if self._bytes > MAX_BYTES or now - self._waiting[0].since > MAX_WAIT_S:
            self._give_up(keep=unit.keyframe)

    def next(self) -> tuple[AccessUnit, bool] | None:
        """The next picture to decode, and whether it is to be encoded too."""
        if self._behind_s() > _SKIP_S:
            self._skip_to_keyframe()
        if not self._waiting:
            return None
        is_live = len(self._waiting) <= _MANY or self._behind_s() <= _LIVE_S
        first = self._waiting.popleft()
        self._bytes -= first.size
        self.skipped += not is_live
        return first.unit, is_live

    def _behind_s(self) -> float:
        if not self._waiting:
            return 0.0
        return (self._waiting[-1].newest - self._waiting[0].newest) / self._clock_rate

    def _skip_to_keyframe(self) -> None:
        places = range(len(self._waiting) - 1, 0, -1)
        newest = next((at for at in places if self._waiting[at].unit.keyframe), 0)
        for _ in range(newest):
            self._bytes -= self._waiting.popleft().size
        self.skipped += newest

    def _give_up(self, *, keep: bool) -> None:
        last = self._waiting.pop()
        self.skipped += len(self._waiting)
        self._waiting.clear()
        self._bytes = 0
        if keep:
            self._waiting.append(last)
            self._bytes = last.size
        else:
            self.skipped += 1
            self.wants_keyframe = True
