"""Reading ahead in a thread, so that neither disk nor codec keeps a source from its clock."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from streamsocket.media.codec import Kind
from streamsocket.sources.schedule import Schedule, Unit

# The thread sleeps from one second ahead until half a second is left.
_FULL_S = 1.0
_REFILL_S = 0.5

# Where one track lies far behind the other in the file, or has ended, this is far enough.
_PATIENCE_S = 5.0
_MAX_BYTES = 32 << 20

# FFmpeg may be in the middle of something long.
_JOIN_S = 0.5


class ReadAhead:
    """Fills a schedule from an iterable of units, bounded in time and bytes, until it is left."""

    def __init__(self, units: Iterable[Unit], kinds: Sequence[Kind]) -> None:
        self._units = units
        self._kinds = kinds
        self._schedule = Schedule()
        self._lock = threading.Lock()
        self._room = threading.Event()
        self._room.set()
        self._error: BaseException | None = None
        self._ended = False
        self._closed = False
        self._thread = threading.Thread(target=self._fill, name="read-ahead", daemon=True)
        self._thread.start()

    def __enter__(self) -> ReadAhead:
        return self

    def __exit__(self, *exception: object) -> None:
        self._closed = True
        self._room.set()
        self._thread.join(_JOIN_S)

    def ready(self) -> bool:
        """Whether `pop` knows what leaves next: all tracks are there, or waiting is of no use."""
        with self._lock:
            return self._ended or not self._room.is_set() or self._has_all(0.0)

    def settled(self) -> bool:
        """Whether as much has been read ahead as ever will be."""
        return self._ended or not self._room.is_set()

    def reorder_delay_s(self) -> float:
        """The longest time from a picture's decoding to its showing, of those read ahead."""
        with self._lock:
            pictures = self._schedule.units("video")
        return max((unit.batch.capture_time - unit.due_s for unit in pictures), default=0.0)

    def pop(self) -> tuple[float, list[Unit]] | None:
        """What leaves next and when; None at the end. Raises what reading raised, at its place."""
        with self._lock:
            group = self._schedule.pop()
            if not self._is_full(_REFILL_S):
                self._room.set()
        if group is None and self._error:
            raise self._error
        return group

    def _fill(self) -> None:
        try:
            for unit in self._units:
                with self._lock:
                    self._schedule.push(unit)
                    if self._is_full(_FULL_S):
                        self._room.clear()
                self._room.wait()
                if self._closed:
                    return
        except BaseException as error:
            self._error = error
        self._ended = True

    def _has_all(self, seconds: float) -> bool:
        return all(self._schedule.span_s(kind) > seconds for kind in self._kinds)

    def _is_full(self, seconds: float) -> bool:
        schedule = self._schedule
        return (
            self._has_all(seconds)
            or schedule.bytes > _MAX_BYTES
            or any(schedule.span_s(kind) > _PATIENCE_S for kind in self._kinds)
        )
