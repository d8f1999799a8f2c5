"""A thread that decodes a track, and the shelf from which what it made is taken."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Generic, Protocol, TypeVar

from streamsocket.frames.coded_queue import Coded, CodedQueue, Connection
from streamsocket.media.codec import Codec

AHEAD = 4
"""Decoded pictures or blocks on the shelf; the others wait as they came, which is smaller."""
_CLOSE_S = 2.0
_SLICE_S = 0.25
"""The longest wait in one piece: on Windows, Ctrl-C is only seen between two."""


class Made(Protocol):
    """What is handed out."""

    dropped: int
    handed_out: float


T = TypeVar("T", bound=Made)


class TrackDecoder(Protocol[T]):
    """Decodes one connection's track."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def decode(self, coded: Coded) -> list[T]:
        """What is ready now."""
        ...

    def flush(self) -> list[T]:
        """What still waits."""
        ...


class Decoding(Generic[T]):
    """Decodes from `start` to `close`, through any number of connections. For any thread."""

    def __init__(
        self,
        name: str,
        make_decoder: Callable[[Codec], TrackDecoder[T]],
        queue: CodedQueue,
        *,
        newest: bool,
    ) -> None:
        """With `newest`, only the newest is kept on the shelf; else `AHEAD`, and none is lost."""
        self.decoder = ""
        """The name of the decoder at work."""
        self.failure: Exception | None = None
        """What ended the thread, though it should not have."""
        self._make_decoder = make_decoder
        self._queue = queue
        self.newest = newest
        """Only the newest is kept."""
        self._newest_connection: Connection | None = None
        self._lost_connection: Connection | None = None
        self._shelf: deque[T] = deque()
        self._left_out = 0
        self._handed_out_any = False
        self._changed = threading.Condition()
        self._wakers: list[Callable[[], object]] = []
        self._finished = False
        self._closed = False
        self._over = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, coded: Coded) -> None:
        """Have it decoded; never waits."""
        with self._changed:
            self._newest_connection = coded.connection
            self._queue.put(coded)
            self._changed.notify_all()

    def clear(self) -> None:
        """Throw away what is here, because the connection is lost: it gets old."""
        with self._changed:
            self._queue.clear()
            self._left_out += sum(1 + made.dropped for made in self._shelf)
            self._shelf.clear()
            self._lost_connection = self._newest_connection

    def finish(self) -> None:
        """Nothing more will come; what is here can still be taken."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing can be taken any more; the thread ends, which is not waited for."""
        with self._changed:
            self._closed = True
            self._shelf.clear()
            self._changed.notify_all()

    def close(self) -> None:
        """End, and wait for the thread."""
        self.end()
        self._thread.join(_CLOSE_S)

    @property
    def over(self) -> bool:
        """Nothing will ever be on the shelf again."""
        with self._changed:
            return self._closed or (self._over and not self._shelf)

    def take(self, waker: Callable[[], object] | None = None) -> T | None:
        """Take what is on the shelf; if nothing is, have `waker` called once there may be."""
        with self._changed:
            if self._closed or not self._shelf:
                if waker and not self._closed and not self._over:
                    self._wakers.append(waker)
                return None
            made = self._shelf.popleft()
            made.dropped += self._left_out
            self._left_out = 0
            if not self._handed_out_any:
                made.dropped = 0
                self._handed_out_any = True
            made.handed_out = time.time()
            self._changed.notify_all()
            return made

    async def next(self) -> T | None:
        """Wait for what comes next; None if nothing ever will."""
        loop = asyncio.get_running_loop()
        while True:
            ready = asyncio.Event()
            waker = partial(loop.call_soon_threadsafe, ready.set)
            made = self.take(waker)
            if made is not None:
                return made
            if self.over:
                return None
            try:
                await ready.wait()
            finally:
                self._forget(waker)

    def wait(self, timeout_s: float | None) -> T | None:
        """As `next`, for a thread that blocks; None also when it took too long."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            ready = threading.Event()
            waker = ready.set
            made = self.take(waker)
            if made is not None or self.over:
                return made
            try:
                while not ready.wait(_SLICE_S if deadline is None else _until(deadline)):
                    if deadline is not None and time.monotonic() >= deadline:
                        return None
            finally:
                self._forget(waker)

    def _forget(self, waker: Callable[[], object]) -> None:
        with self._changed:
            if waker in self._wakers:
                self._wakers.remove(waker)

    def _run(self) -> None:
        try:
            self._decode_all()
        except Exception as error:  # for whoever waits: not to be lost with the thread
            self.failure = error
        finally:
            with self._changed:
                self._over = True
                self._wake()

    def _decode_all(self) -> None:
        decoder: TrackDecoder[T] | None = None
        connection: Connection | None = None
        while (coded := self._next_coded()) is not None:
            if coded.connection is not connection:
                if decoder:
                    self._shelve(decoder.flush(), connection)
                connection = coded.connection
                decoder = self._make_decoder(connection.codec)
                self.decoder = decoder.name
            assert decoder
            self._shelve(decoder.decode(coded), connection)
        if decoder:
            self._shelve(decoder.flush(), connection)

    def _next_coded(self) -> Coded | None:
        with self._changed:
            while not self._closed:
                if self._queue and (self.newest or len(self._shelf) < AHEAD):
                    return self._queue.pop()
                if self._finished and not self._queue:
                    return None
                self._changed.wait()
            return None

    def _shelve(self, ready: list[T], connection: Connection | None) -> None:
        if not ready:
            return
        with self._changed:
            if self._closed:
                return
            if connection is self._lost_connection:
                self._left_out += sum(1 + made.dropped for made in ready)
                return
            for made in ready:
                if self.newest and self._shelf:
                    made.dropped += 1 + self._shelf.pop().dropped
                self._shelf.append(made)
            self._wake()

    def _wake(self) -> None:
        wakers, self._wakers = self._wakers, []
        for waker in wakers:
            try:
                waker()
            except RuntimeError:
                pass  # whoever waited is gone, and its loop too


def _until(deadline: float) -> float:
    return max(0.0, min(_SLICE_S, deadline - time.monotonic()))
