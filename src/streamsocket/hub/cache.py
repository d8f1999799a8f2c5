"""What a track remembers: the current group of pictures, and the last seconds for repair."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from operator import attrgetter

from streamsocket.rtp.batch import Batch


class KeyframeCache:
    """The batches since the newest keyframe: what a viewer who joins now is shown first.

    A group of pictures larger than `max_bytes` is not kept at all: half a group shows nothing.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._batches: list[Batch] = []
        self._overflowed = True  # nothing to show before the first keyframe

    def add(self, batch: Batch) -> None:
        """Take the track's next batch."""
        if batch.keyframe:
            # A new list rather than a cleared one: nobody's copy of the old group changes.
            self._batches = []
            self._bytes = 0
            self._overflowed = False
        if self._overflowed:
            return
        self._bytes += len(batch.buffer)
        if self._bytes > self._max_bytes:
            self._overflowed = True
            self._batches = []
            return
        self._batches.append(batch)

    def clear(self) -> None:
        """Forget the group: what follows does not continue it."""
        self._batches = []
        self._overflowed = True

    def group(self) -> list[Batch]:
        """Return the batches from the newest keyframe on, oldest first; empty if there is none."""
        return list(self._batches)

    @property
    def bytes(self) -> int:
        """How many bytes of packets are held."""
        return 0 if self._overflowed else self._bytes


_first_sequence = attrgetter("sequence")


class History:
    """The packets of the last seconds by sequence number, bounded in time and in bytes."""

    def __init__(self, max_age_s: float, max_bytes: int) -> None:
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._bytes = 0
        self._batches: deque[Batch] = deque()

    def add(self, batch: Batch) -> None:
        """Take the track's next batch and let go of what is too old or too much."""
        batches = self._batches
        batches.append(batch)
        self._bytes += len(batch.buffer)
        oldest = batch.arrived - self._max_age_s
        while batches[0].arrived < oldest or (self._bytes > self._max_bytes and len(batches) > 1):
            self._bytes -= len(batches.popleft().buffer)

    def since(self, arrived: float) -> list[Batch]:
        """The batches that arrived then or later, oldest first."""
        return [batch for batch in self._batches if batch.arrived >= arrived]

    def packet(self, sequence: int) -> tuple[Batch, int] | None:
        """Find a packet by its 16-bit sequence number: its batch and its place in it."""
        if not self._batches:
            return None
        newest = self._batches[-1].sequence
        # The unwrapped number nearest to the newest one is the one that was meant.
        wanted = newest + ((sequence - newest + 0x8000) & 0xFFFF) - 0x8000
        position = bisect_right(self._batches, wanted, key=_first_sequence) - 1
        if position < 0:
            return None
        batch = self._batches[position]
        index = wanted - batch.sequence
        return (batch, index) if index < len(batch.sizes) else None
