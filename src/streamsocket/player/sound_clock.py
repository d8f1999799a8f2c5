"""When is it heard? The sound device's clock, and what was written for when."""

from __future__ import annotations

import math
from collections import deque

_AVERAGED_S = 1.0
"""Long against the device's buffers, 10 to 40 ms; short against drift: 200 ppm are 0.2 ms of it."""
_PIECES = 4096


class DeviceClock:
    """Tells when the device takes what, from how much is queued.

    The device takes sound in blocks, so that what is queued falls in steps; what it has taken is
    averaged against the clock. A speaker's latency is therefore that of the samples on average,
    not that of a block's first. Positions are seconds of sound since the beginning.
    """

    def __init__(self) -> None:
        self._zero: float | None = None  # when position 0 was taken, or would have been
        self._updated_at = 0.0
        self._began_at = 0.0

    def update(self, now: float, taken_s: float) -> None:
        """Take in how much the device has taken so far."""
        observed = now - taken_s
        if self._zero is None:
            self._zero = observed
            self._began_at = now
        else:
            # A plain mean at first, so that the first steps count alike.
            known_s = min(now - self._began_at, _AVERAGED_S)
            passed_s = max(0.0, now - self._updated_at)
            weight = -math.expm1(-passed_s / max(known_s, passed_s, 1e-6))
            self._zero += (observed - self._zero) * weight
        self._updated_at = now

    def restart(self) -> None:
        """The device has run dry: nothing is known of when it takes what comes now."""
        self._zero = None

    def taken_at(self, position: float) -> float:
        """When the sound at that position is taken. `update` has to be called before."""
        assert self._zero is not None
        return self._zero + position

    def position(self, now: float) -> float | None:
        """Which position is taken now; None while that isn't known."""
        return None if self._zero is None else now - self._zero


class Written:
    """Which capture times were written where, until they are heard.

    Positions are as in `DeviceClock`. What isn't noted is silence.
    """

    def __init__(self) -> None:
        self._pieces: deque[tuple[float, float, float, float]] = deque(maxlen=_PIECES)

    def note(self, begin: float, end: float, capture_time: float, speed: float) -> None:
        """From `begin` to `end` is sound captured from `capture_time` on, played at `speed`."""
        self._pieces.append((begin, end, capture_time, speed))

    def capture_time(self, position: float) -> float | None:
        """When the sound at that position was captured; None: it is silence. Never go back."""
        pieces = self._pieces
        while pieces and pieces[0][1] <= position:
            pieces.popleft()
        if not pieces or position < pieces[0][0]:
            return None
        begin, _, capture_time, speed = pieces[0]
        return capture_time + (position - begin) * speed
