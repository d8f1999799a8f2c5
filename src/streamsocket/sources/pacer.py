"""Letting batches go at their time: the source's time line against the monotonic clock."""

from __future__ import annotations

import time
from math import ceil

from streamsocket.sources.link import TrackBatch
from streamsocket.sources.outlet import Outlet

# Later than this, the machine slept: what was missed is not made up for in a rush.
_MAX_LATE_S = 1.0


class Pacer:
    """Sends batches when they are due. Times are never added up, so none drift."""

    def __init__(self, outlet: Outlet, start_s: float, delay_s: float, at: float) -> None:
        """`start_s` of the source's time line is at the moment `at` of `time.monotonic()`.

        `delay_s` is how much later than captured a unit may leave: it keeps capture times
        from being later than the units themselves.
        """
        self._outlet = outlet
        self._base = at - start_s
        self._delay_s = delay_s

    def wait(self, due_s: float) -> None:
        """Wait until that time of the source's time line."""
        self._outlet.wait_until(self._base + due_s)
        late_s = self.late_s(due_s)
        if late_s > _MAX_LATE_S:
            self._base += ceil(late_s)  # whole seconds: the test pattern flashes on the second
            self._outlet.wait_until(self._base + due_s)

    def capture_time(self, time_s: float) -> float:
        """Seconds since the epoch at that time of the source's time line."""
        return time_s + time.time() - time.monotonic() + self._base - self._delay_s

    def late_s(self, due_s: float) -> float:
        """How long ago that time of the source's time line was, in seconds."""
        return time.monotonic() - self._base - due_s

    def send(self, batches: list[TrackBatch]) -> None:
        """Send batches whose capture times are on the source's time line, all in one write."""
        since_epoch = self.capture_time(0.0)
        for _, batch in batches:
            batch.capture_time += since_epoch
        self._outlet.batches(batches)
