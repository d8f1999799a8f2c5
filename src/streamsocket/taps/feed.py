"""The server's end of the line to a child process that takes what streams flush.

Where the child is in no hurry, what comes is gathered and written together. A child that does not
keep up is waited for within bounds; past them it is for those who write to leave things out.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from contextlib import suppress

GATHER_BYTES = 1 << 16
"""So much is written at once, however short a time it has been gathered."""

_SEND_BUFFER = 1 << 20
_DRAIN_POLL_S = 0.02


class Feed:
    """Owns the writing side of the socket; the socket itself is for its owner to close."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        connection: socket.socket,
        *,
        gather_s: float | None,
        max_age_s: float,
        max_bytes: int,
    ) -> None:
        """Take our end, non-blocking. `gather_s` is the longest that anything waits for company.

        With None, nothing is written before `flush`. The child may be behind by `max_age_s` and
        `max_bytes`.
        """
        self.overrun = False
        """It is too far behind: it should get nothing more until it has caught up by half."""
        self.max_age_s = max_age_s
        self.max_bytes = max_bytes
        self._gather_s = gather_s
        self._loop = loop
        self._socket = connection
        self._gathered: list[bytes | bytearray] = []
        self._gathered_bytes = 0
        self._timer: TimerHandle | None = None
        self._waiting: deque[tuple[float, memoryview]] = deque()
        self._waiting_bytes = 0
        self._closed = False
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    @property
    def waiting_bytes(self) -> int:
        """What the system has not taken yet."""
        return self._waiting_bytes

    def gather(self, head: bytes, body: bytes | bytearray = b"") -> None:
        """Take one message, which may be in two parts; it is written soon."""
        if self._closed:
            return
        if self._timer is None and self._gather_s is not None:
            self._timer = self._loop.call_later(self._gather_s, self.flush)
        self._gathered += (head, body)
        self._gathered_bytes += len(head) + len(body)
        if self._gathered_bytes >= GATHER_BYTES:
            self.flush()

    def close(self) -> None:
        """Write nothing more."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        if self._waiting:
            self._loop.remove_writer(self._socket)
            self._waiting.clear()

    def flush(self) -> None:
        """Write what has been gathered, as much of it as the system takes."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._gathered:
            return
        data = memoryview(b"".join(self._gathered))
        self._gathered.clear()
        self._gathered_bytes = 0
        sent = 0
        if not self._waiting:
            sent = self._send(data)
            if self._closed or sent == len(data):
                return
            self._loop.add_writer(self._socket, self._writable)
        self._waiting.append((self._loop.time(), data[sent:]))
        self._waiting_bytes += len(data) - sent
        self._judge()
        if self._waiting_bytes > 2 * self.max_bytes:
            # Not even what has to be said about the streams fits any more: begin anew.
            self.close()
            self._socket.shutdown(socket.SHUT_RDWR)

    async def drain(self, within_s: float) -> None:
        """Return when everything is written, or after that time."""
        self.flush()
        deadline = self._loop.time() + within_s
        while self._waiting and self._loop.time() < deadline:  # noqa: ASYNC110 - ends either way
            await asyncio.sleep(_DRAIN_POLL_S)

    def _writable(self) -> None:
        waiting = self._waiting
        while waiting:
            since, data = waiting[0]
            sent = self._send(data)
            if self._closed:
                return
            self._waiting_bytes -= sent
            if sent < len(data):
                waiting[0] = since, data[sent:]
                break
            waiting.popleft()
        else:
            self._loop.remove_writer(self._socket)
        self._judge()

    def _send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()  # it is gone, which its owner notices when reading
            return 0

    def _judge(self) -> None:
        """Say whether the child is too far behind, or near enough again."""
        age = self._loop.time() - self._waiting[0][0] if self._waiting else 0.0
        share = 0.5 if self.overrun else 1.0
        self.overrun = self._waiting_bytes > share * self.max_bytes or age > share * self.max_age_s
