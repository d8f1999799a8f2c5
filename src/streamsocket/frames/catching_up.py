"""Is it live yet? A server first sends the pictures since the last keyframe. No I/O."""

from __future__ import annotations

LONGEST_S = 2.0
"""A server like ours takes 1.5 s at most."""
LIVE_S = 0.1
"""What arrives so soon after its capture is live in any case."""
_STEADY_S = 0.1
_JITTER_S = 0.005


class CatchingUp:
    """Tells the pictures that are sent faster than they were captured from the live ones.

    While it catches up, each picture arrives less late than those before it. All times are seconds
    since the epoch.
    """

    def __init__(self) -> None:
        self.over = False
        self._began: float | None = None
        self._least = 0.0
        self._improved = 0.0

    def is_stale(self, capture_time: float, arrival: float) -> bool:
        """Take in the next picture; is it one of those that come too late?"""
        if self.over:
            return False
        late = arrival - capture_time
        if self._began is None:
            self._began = self._improved = arrival
            self._least = late
        elif late < self._least - _JITTER_S:
            self._least = late
            self._improved = arrival
        self.over = (
            late <= LIVE_S
            or arrival - self._improved >= _STEADY_S
            or not 0 <= arrival - self._began < LONGEST_S
        )
        return not self.over
