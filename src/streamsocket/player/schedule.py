"""How long after its capture everything is shown: the adaptive jitter buffer."""

from __future__ import annotations

import threading
from collections import deque
from math import inf, nan

from streamsocket.media.codec import Kind

WINDOW_S = 8.0
"""What was late longer ago than this no longer counts."""
MARGIN_S = 0.004
"""On top of what was seen, for what comes a little later than anything before it."""
LONGEST_S = 5.0
"""Nothing is held back for longer: a track that is further behind comes when it comes."""

_IN_TIME = {"video": 0.98, "audio": 0.995}
"""Which part shall be ready when it is due. A picture may come a moment late; sound breaks off."""
_LOOK_S = 0.25
_JUMP_S = 1.0
_SETTLING_S = 2.0
_JOINING_S = 0.5
"""What comes first comes in a burst, to a decoder that just opens: it tells little of the rest."""
_FALL: dict[bool, float] = {True: 0.003, False: 0.03}
"""In seconds a second, with sound and without: sound then plays that much faster, unheard."""
_VALUES = 2_000


class Schedule:
    """Learns how long after their capture things are ready, and says when they are due.

    The delay is as small as lets nearly everything be ready in time, or as asked for. It is the
    same for all tracks, so that they stay in sync; it rises at once and falls slowly. All times are
    seconds since the epoch by a clock that never steps; the capture's clock may be another one,
    since only differences count. For any thread.
    """

    def __init__(self, latency_s: float | None = None) -> None:
        """`latency_s` is how much is held in store beyond what most of it takes anyway."""
        self._latency_s = latency_s
        self._lock = threading.Lock()
        self._offsets: dict[Kind, deque[tuple[float, float]]] = {}
        self._delay_s = nan
        self._began = inf
        self._looked = -inf

    @property
    def is_known(self) -> bool:
        """Whether anything has come yet."""
        return self._delay_s == self._delay_s

    def ready(self, kind: Kind, capture_time: float, at: float) -> None:
        """Take in when something of this capture time was ready, or will be at the earliest."""
        offset = at - capture_time
        with self._lock:
            offsets = self._offsets.setdefault(kind, deque(maxlen=_VALUES))
            if offsets and abs(offset - offsets[-1][1]) > _JUMP_S:
                # The source's clock was set, or another source goes on in its place.
                self._forget()
                offsets = self._offsets.setdefault(kind, deque(maxlen=_VALUES))
            offsets.append((at, offset))
            self._began = min(self._began, at)
            if at - self._began < _SETTLING_S or at - self._looked >= _LOOK_S:
                self._look(at)

    def delay_s(self, now: float) -> float:
        """What was captured at c is due at c + this. Not a number before anything has come."""
        with self._lock:
            if now - self._looked >= _LOOK_S:
                self._look(now)
            return self._delay_s

    def stored_s(self) -> float:
        """How long what has come lately waits, most of the time, until it is due."""
        with self._lock:
            typical = [
                sorted(offset for _, offset in offsets)[len(offsets) // 2]
                for offsets in self._offsets.values()
                if offsets
            ]
            return self._delay_s - max(typical) if typical else nan

    def reset(self) -> None:
        """Begin anew, with the next thing that comes."""
        with self._lock:
            self._forget()

    def _forget(self) -> None:
        self._offsets.clear()
        self._began = inf
        self._delay_s = nan

    def _look(self, now: float) -> None:
        since, self._looked = now - self._looked, now
        age_s = now - self._began
        window_s = min(WINDOW_S, max(_JOINING_S, age_s - _JOINING_S))
        needs: list[float] = []
        least = inf
        for kind, offsets in self._offsets.items():
            while offsets and offsets[0][0] < now - window_s:
                offsets.popleft()
            if not offsets:
                continue
            ordered = sorted(offset for _, offset in offsets)
            least = min(least, ordered[0])
            if self._latency_s is None:
                in_time = min(len(ordered) - 1, int(_IN_TIME[kind] * len(ordered)))
                needs.append(ordered[in_time] + MARGIN_S)
            else:
                needs.append(ordered[len(ordered) // 2] + self._latency_s)
        if not needs:
            return
        target_s = min(max(needs), least + LONGEST_S + (self._latency_s or 0.0))
        fall_s = _FALL["audio" in self._offsets] * min(since, 1.0)
        if not self.is_known or age_s < _SETTLING_S:
            self._delay_s = target_s
        else:
            self._delay_s = max(target_s, self._delay_s - fall_s)
