"""Decoded sound that waits to be played, in runs without holes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

import numpy as np

from streamsocket.player.stretch import AFTER, BEFORE

if TYPE_CHECKING:
    from numpy.typing import NDArray

FADE_S = 0.005
"""How long sound takes to come and go where it is interrupted, so that nothing clicks."""
_HOLE_S = 0.008
"""What capture times may be off by without anything being missing: more than timestamps in
milliseconds jitter, less than nearly every frame of sound lasts."""
_WAITING_S = 2.0


class Run:
    """Sound without a hole. Positions are samples since the beginning of the queue."""

    def __init__(self, start: int, rate: int) -> None:
        self.start = start
        self.position: float = start
        """What is to be played next."""
        self.end: int | None = None
        """Where it ends, once it can't go on, after having faded away."""
        self._rate = rate
        self._marks: deque[tuple[int, float]] = deque()

    def mark(self, position: int, capture_time: float) -> None:
        """What is at that position was captured then."""
        self._marks.append((position, capture_time))

    def capture_time(self, position: float) -> float:
        """When what is there was captured. Not to be asked about what was played before."""
        marks = self._marks
        while len(marks) > 1 and marks[1][0] <= self.position:
            marks.popleft()
        at, capture_time = marks[0]
        for mark in marks:
            if mark[0] > position:
                break
            at, capture_time = mark
        return capture_time + (position - at) / self._rate

    def expected(self, position: int) -> float:
        """The capture time of what would follow there, by the newest mark."""
        at, capture_time = self._marks[-1]
        return capture_time + (position - at) / self._rate


class SoundQueue:
    """Holds at most 2 s of sound; of more, the oldest is dropped."""

    def __init__(self, rate: int, channels: int) -> None:
        self.runs: deque[Run] = deque()
        """In the order in which they came. Only the last can still grow."""
        self.dropped_s = 0.0
        """How much was dropped because nobody played it."""
        self._rate = rate
        self._most = round(_WAITING_S * rate)
        self._fade = round(FADE_S * rate)
        self._kept = max(BEFORE, self._fade)  # of what was played
        self._gap = np.zeros((channels, BEFORE + AFTER), np.float32)
        self._buffer = np.zeros((channels, 3 * self._most + 2 * self._kept), np.float32)
        self._first = 0  # the position of the buffer's first sample
        self._next = self._kept  # … and of the one that comes next

    @property
    def waiting_s(self) -> float:
        """How much sound waits."""
        return (self._next - self.runs[0].position) / self._rate if self.runs else 0.0

    def put(self, samples: NDArray[np.float32], capture_time: float) -> None:
        """Add sound, channels by samples, whose first sample was captured then."""
        excess = samples.shape[1] - self._most
        if excess > 0:
            samples = samples[:, excess:]
            capture_time += excess / self._rate
        run = self.runs[-1] if self.runs and self.runs[-1].end is None else None
        if run and abs(capture_time - run.expected(self._next)) > _HOLE_S:
            self.end_run()
            run = None
        if run is None:
            self._append(self._gap)
            run = Run(self._next, self._rate)
            self.runs.append(run)
        run.mark(self._next, capture_time)
        self._append(samples)
        self._drop_before(self._next - self._most)

    def end_run(self) -> None:
        """Nothing follows the newest run: let it fade away.

        What fades is its end, backwards, so that what comes next is still on time.
        """
        run = self.runs[-1]
        count = min(self._fade, self._next - run.start)
        fading = np.linspace(1, 0, count, dtype=np.float32)
        self._append(self._window(self._next - count, self._next)[:, ::-1] * fading)
        run.end = self._next
        self._append(self._gap)

    def playable(self, run: Run) -> int:
        """How many samples from its position on can be played, at their own speed."""
        end = self._next - AFTER - 1 if run.end is None else run.end
        return max(0, int(end - run.position))

    def window(self, run: Run, last: float) -> tuple[NDArray[np.float32], float]:
        """What is needed to play from the run's position to `last`, and the position in that."""
        start = int(run.position) - BEFORE
        return self._window(start, int(last) + AFTER + 2), run.position - start

    def _window(self, start: int, end: int) -> NDArray[np.float32]:
        return self._buffer[:, start - self._first : end - self._first]

    def _append(self, samples: NDArray[np.float32]) -> None:
        size = samples.shape[1]
        if self._next + size - self._first > self._buffer.shape[1]:
            kept = int(self.runs[0].position if self.runs else self._next) - self._kept
            count = self._next - kept
            self._buffer[:, :count] = self._window(kept, self._next).copy()
            self._first = kept
        self._window(self._next, self._next + size)[:] = samples
        self._next += size

    def _drop_before(self, position: int) -> None:
        runs = self.runs
        if runs[0].position >= position:
            return
        self.dropped_s += (position - runs[0].position) / self._rate
        while (end := runs[0].end) is not None and end <= position:
            runs.popleft()
        runs[0].position = max(runs[0].position, position)
