"""How a thread of a source's process wakes the one that waits in the outlet."""

from __future__ import annotations

import contextlib
import socket

_MOST_AT_ONCE = 4096


class Waker:
    """A bell: `wake` rings it, from any thread; a socket, since Windows waits for nothing else."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def fileno(self) -> int:
        """What `select` takes: readable once it has been rung."""
        return self._heard.fileno()

    def wake(self) -> None:
        """End the wait, now or when it begins."""
        with contextlib.suppress(OSError):  # rung more than enough already, or closed
            self._rung.send(b"!")

    def reset(self) -> None:
        """Forget that it has been rung."""
        with contextlib.suppress(BlockingIOError):
            self._heard.recv(_MOST_AT_ONCE)

    def close(self) -> None:
        """It is not used any more."""
        self._heard.close()
        self._rung.close()
