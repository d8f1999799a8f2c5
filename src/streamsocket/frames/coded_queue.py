"""What waits for the decoder: bounded, and never a picture that cannot be decoded. No I/O."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamsocket.client.receiver import Received
from streamsocket.frames.frame import Clock
from streamsocket.media.codec import Codec

MAX_BYTES = 64 << 20
_TOO_LATE = 5
"""Times `late_s`: from then on a picture that stands still is better than one that old."""


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """What was connected to, once; another time it may be coded in another way."""

    codec: Codec


@dataclass(slots=True, eq=False)
class Coded:
    """A picture or a piece of sound that waits to be decoded."""

    received: Received
    clock: Clock
    connection: Connection
    stale: bool = False
    """It is decoded because others need it, but too old to be handed out."""
    dropped: int = 0
    """How many were left out just before it."""


class CodedQueue:
    """In the order of arrival; when it is full, it goes on with the newest keyframe.

    Sound, which needs no keyframes, loses its oldest.
    """

    def __init__(
        self,
        *,
        pictures: bool,
        max_units: int,
        max_bytes: int = MAX_BYTES,
        late_s: float | None = None,
    ) -> None:
        """With `late_s`, what has waited so many seconds goes when a keyframe has come.

        What has waited five times as long goes in any case.
        """
        self._pictures = pictures
        self._max_units = max_units
        self._max_bytes = max_bytes
        self._late_s = late_s
        self._waiting: deque[Coded] = deque()
        self._bytes = 0
        self._broken = False  # a picture was left out: go on with a keyframe
        self._left_out = 0  # … before the one that comes next

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, coded: Coded) -> None:
        """Add what has arrived."""
        keyframe = coded.received.unit.keyframe
        if self._broken and not keyframe:
            self._left_out += 1
            return
        self._broken = False
        if self._is_late(coded.received.arrival, keyframe=keyframe):
            self.clear()
            if not keyframe:
                self._broken = True
                self._left_out += 1
                return
        coded.dropped += self._left_out
        self._left_out = 0
        self._waiting.append(coded)
        self._bytes += _size(coded)
        if self._full():
            self._shed()

    def pop(self) -> Coded:
        """Take the oldest."""
        coded = self._waiting.popleft()
        self._bytes -= _size(coded)
        return coded

    def clear(self) -> None:
        """Leave out everything that waits."""
        self._drop(len(self._waiting))

    def _is_late(self, now: float, *, keyframe: bool) -> bool:
        if self._late_s is None or not self._waiting:
            return False
        allowed_s = self._late_s if keyframe else _TOO_LATE * self._late_s
        return now - self._waiting[0].received.arrival > allowed_s

    def _full(self) -> bool:
        return len(self._waiting) > self._max_units or self._bytes > self._max_bytes

    def _shed(self) -> None:
        if self._pictures:
            newest = len(self._waiting) - 1
            while newest and not self._waiting[newest].received.unit.keyframe:
                newest -= 1
            self._drop(newest or len(self._waiting))
            self._broken = not self._waiting
        while self._full():
            self._drop(1)
            self._broken = self._pictures

    def _drop(self, count: int) -> None:
        for _ in range(count):
            coded = self.pop()
            left_out = 1 + coded.dropped
            if self._waiting:
                self._waiting[0].dropped += left_out
            else:
                self._left_out += left_out


def _size(coded: Coded) -> int:
    return sum(map(len, coded.received.unit.units))
