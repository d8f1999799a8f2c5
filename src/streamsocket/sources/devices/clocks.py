"""When a picture was taken: the device's own times against the monotonic clock."""

from __future__ import annotations

from collections import deque

_BUCKET_S = 0.25
_BUCKETS = 8
_RECENT_BUCKETS = 2
# Half a second without any value as small as before: something was lost, or set anew.
_JUMP_S = 0.04

# A time that is as far as this from a clock's is not of that clock.
_OF_A_CLOCK_S = 5.0
_STEP_S = 0.0005


class LeastDelay:
    """The smallest of the values seen lately, over two seconds.

    What arrives is late by as much as the system was busy, and hardly ever late by nothing: among
    differences between arrival and a device's own time, the least is the one to believe. Where it
    grows all at once, what was before is forgotten after half a second.
    """

    def __init__(self) -> None:
        self._buckets: deque[tuple[int, float]] = deque(maxlen=_BUCKETS)

    def add(self, value: float, now: float) -> float:
        """Take a value that was seen `now`, in seconds; return the least there is now."""
        bucket = int(now / _BUCKET_S)
        if self._buckets and self._buckets[-1][0] == bucket:
            self._buckets[-1] = bucket, min(value, self._buckets[-1][1])
        else:
            self._buckets.append((bucket, value))
        while bucket - self._buckets[0][0] >= _BUCKETS:
            self._buckets.popleft()
        least = min(least for _, least in self._buckets)
        recent = min(least for _, least in list(self._buckets)[-_RECENT_BUCKETS:])
        if recent - least > _JUMP_S:
            self._buckets = deque(list(self._buckets)[-_RECENT_BUCKETS:], _BUCKETS)
            return recent
        return least

    def clear(self) -> None:
        """Begin anew."""
        self._buckets.clear()


class PictureClock:
    """Finds out when pictures were taken, in seconds of `time.monotonic()`.

    A device's time that is one of the wall clock or of the monotonic clock is believed; any other
    tells how far pictures are apart, and the quickest of them says when. Times always increase.
    """

    def __init__(self) -> None:
        self._delay = LeastDelay()
        self._last = float("-inf")

    def taken_at(self, device_s: float | None, arrival: float, wall: float) -> float:
        """When a picture was taken that has the device's time `device_s`, if it has one.

        `arrival` is when it came, of `time.monotonic()`; `wall` the same of `time.time()`.
        """
        at = arrival
        if device_s is not None:
            if abs(wall - device_s) < _OF_A_CLOCK_S:
                at = arrival - (wall - device_s)
            elif abs(arrival - device_s) < _OF_A_CLOCK_S:
                at = device_s
            else:
                at = device_s + self._delay.add(arrival - device_s, arrival)
        at = max(min(at, arrival), self._last + _STEP_S)
        self._last = at
        return at
