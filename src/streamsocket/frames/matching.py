"""Which pictures of several cameras belong together, by when they were captured. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import Generic, TypeVar

_F = TypeVar("_F")

MAX_WAITING = 48
"""Pictures of one camera that wait for the others': 1.6 s at 30 a second."""
ABSENT_S = 1.0
"""A camera that has brought nothing for so long, or for three of its intervals, is away."""
_INTERVALS = 9
_NEAR = 0.6
"""Of the slowest camera's interval: what is further away belongs to another of its pictures. A
little more than half, as no camera is quite regular."""
_SOON = 0.4
"""Of a camera's own interval: its next picture will not be nearer than one that is this near."""
_SLOWER = 1.2


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[_F]):
    capture_time: float
    frame: _F


class _Camera(Generic[_F]):
    def __init__(self) -> None:
        self.waiting: deque[_Waiting[_F]] = deque(maxlen=MAX_WAITING)
        self.newest = float("-inf")
        self.arrival = float("-inf")
        self.interval: float | None = None
        self._times: deque[float] = deque(maxlen=_INTERVALS)

    def put(self, capture_time: float, frame: _F, now: float) -> None:
        self.arrival = now
        if capture_time <= self.newest:
            # Its clock was set back, or it is another source now: what was known is worth nothing.
            self.waiting.clear()
            self._times.clear()
        self.newest = capture_time
        self._times.append(capture_time)
        self.waiting.append(_Waiting(capture_time, frame))
        if len(self._times) > 1:
            # The median: a few that were lost don't make a camera a slow one.
            self.interval = median(after - before for before, after in pairwise(self._times))

    def nearest(self, capture_time: float) -> _Waiting[_F] | None:
        return min(
            self.waiting, key=lambda each: abs(each.capture_time - capture_time), default=None
        )

    def is_settled(self, capture_time: float) -> bool:
        """No picture will come any more that is nearer to that time than those that are here."""
        assert self.interval is not None
        return capture_time - self.newest <= _SOON * self.interval

    def is_away(self, now: float) -> bool:
        return now - self.arrival > max(ABSENT_S, 3 * (self.interval or 0.0))

    def forget(self, until: float) -> None:
        while self.waiting and self.waiting[0].capture_time <= until:
            self.waiting.popleft()


class Matcher(Generic[_F]):
    """Makes sets of pictures, one of each camera, each picture at most in one set.

    The slowest camera's pictures decide: to each of them belong the others' that were captured
    nearest to it, within half of its interval. As soon as no nearer one can come, the set is
    complete. All times are seconds; captures are by one clock, as far as it can be had.
    """

    def __init__(
        self, count: int, *, tolerance: float | None = None, partial: bool = False
    ) -> None:
        """`tolerance` bounds a set's spread; with `partial`, who is away is done without."""
        self._cameras = [_Camera[_F]() for _ in range(count)]
        self._tolerance = tolerance
        self._partial = partial
        self._reference: _Camera[_F] | None = None

    def put(self, camera: int, capture_time: float, frame: _F, now: float) -> None:
        """Take in a picture that has arrived."""
        self._cameras[camera].put(capture_time, frame, now)

    def match(self, now: float) -> list[_F | None] | None:
        """The newest complete set; None if there is none. None takes the place of who is away."""
        present = self._present(now)
        if not present or any(camera.interval is None for camera in present):
            return None
        reference = self._choose_reference(present)
        assert reference.interval is not None
        for candidate in reversed(reference.waiting):
            when = candidate.capture_time
            if not all(camera.is_settled(when) for camera in present):
                continue
            chosen = {
                camera: candidate if camera is reference else camera.nearest(when)
                for camera in present
            }
            if self._belong_together(list(chosen.values()), when, reference.interval):
                return self._taken(chosen)
        return None

    def away(self, now: float) -> list[int]:
        """The cameras that have brought nothing for a while."""
        return [place for place, camera in enumerate(self._cameras) if camera.is_away(now)]

    def _present(self, now: float) -> list[_Camera[_F]]:
        if not self._partial:
            return self._cameras
        return [camera for camera in self._cameras if not camera.is_away(now)]

    def _choose_reference(self, present: list[_Camera[_F]]) -> _Camera[_F]:
        slowest = max(present, key=lambda camera: camera.interval or 0.0)
        current = self._reference
        if (
            current not in present
            or current is None
            or (slowest.interval or 0.0) > _SLOWER * (current.interval or 0.0)
        ):
            self._reference = current = slowest
        return current

    def _belong_together(
        self, chosen: list[_Waiting[_F] | None], when: float, interval: float
    ) -> bool:
        times = [each.capture_time for each in chosen if each is not None]
        if len(times) < len(chosen):
            return False
        if any(abs(time - when) > _NEAR * interval for time in times):
            return False
        return self._tolerance is None or max(times) - min(times) <= self._tolerance

    def _taken(self, chosen: dict[_Camera[_F], _Waiting[_F] | None]) -> list[_F | None]:
        frames: list[_F | None] = []
        for camera in self._cameras:
            picked = chosen.get(camera)
            frames.append(picked.frame if picked else None)
            if picked:
                camera.forget(picked.capture_time)
        return frames
