"""What has arrived and waits to be read: bounded, and live again after it was full."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from streamsocket.client.receiver import Received
from streamsocket.media.codec import Kind

MAX_UNITS = 2_000
"""About 20 s of a picture at 50 a second with its sound."""
MAX_BYTES = 64 << 20


class Backlog:
    """Access units between the network and a reader who may be slower.

    When it is full, everything before the newest keyframe goes; if that is not enough, everything,
    and pictures go on with the next keyframe. A reader never sees a picture it cannot decode.
    """

    def __init__(
        self, kinds: Sequence[Kind], *, max_units: int = MAX_UNITS, max_bytes: int = MAX_BYTES
    ) -> None:
        self._kinds = kinds
        self._max_units = max_units
        self._max_bytes = max_bytes
        self._waiting: deque[Received] = deque()
        self._bytes = 0
        self._broken: set[int] = set()  # tracks that have to go on with a keyframe
        self._changed = asyncio.Event()
        self._closed = False
        self.dropped: Counter[int] = Counter()
        """Access units that the reader was too slow for, by track."""

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, arrived: Iterable[Received]) -> None:
        """Add what has arrived."""
        for received in arrived:
            if received.track in self._broken and not received.unit.keyframe:
                self.dropped[received.track] += 1
                continue
            self._broken.discard(received.track)
            self._waiting.append(received)
            self._bytes += _size(received)
            if self._full():
                self._shed()
        self._changed.set()

    def close(self) -> None:
        """Nothing will come any more; what waits can still be read."""
        self._closed = True
        self._changed.set()

    async def get(self) -> Received | None:
        """Wait for the oldest and take it; None once the backlog is closed and empty."""
        while not self._waiting:
            if self._closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        received = self._waiting.popleft()
        self._bytes -= _size(received)
        return received

    def _full(self) -> bool:
        return len(self._waiting) > self._max_units or self._bytes > self._max_bytes

    def _shed(self) -> None:
        newest = next(
            (
                place
                for place in range(len(self._waiting) - 1, 0, -1)
                if self._is_keyframe(self._waiting[place])
            ),
            len(self._waiting),
        )
        for _ in range(newest):
            self._drop()
        if self._full():
            while self._waiting:
                self._drop()
        if not self._waiting:
            self._broken |= {track for track, kind in enumerate(self._kinds) if kind == "video"}

    def _is_keyframe(self, received: Received) -> bool:
        return self._kinds[received.track] == "video" and received.unit.keyframe

    def _drop(self) -> None:
        received = self._waiting.popleft()
        self._bytes -= _size(received)
        self.dropped[received.track] += 1


def _size(received: Received) -> int:
    return sum(map(len, received.unit.units))
