"""An asyncio loop in a thread of its own, on which the blocking forms do their work."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
import time
import weakref
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from streamsocket.errors import ClosedError, TimedOutError

_T = TypeVar("_T")

_SLICE_S = 0.25
"""The longest wait in one piece: on Windows, Ctrl-C is only seen between two."""
_CLOSE_S = 2.0


class Background:
    """Runs coroutines on behalf of callers that block. For any number of threads.

    It belongs to the process that made it: in a forked child its thread does not exist, and using
    it raises ClosedError; closing it there does nothing.
    """

    def __init__(self, name: str = "streamsocket") -> None:
        """Start the thread, which bears this name."""
        self._name = name
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name=name, daemon=True)
        self._thread.start()
        started.wait()
        _OPEN.add(self)

    @property
    def closed(self) -> bool:
        """It has been closed, or this is not the process it belongs to."""
        return self._stopping is None or self.forked

    @property
    def forked(self) -> bool:
        """It belongs to the process that this one was forked from."""
        return self._pid != os.getpid()

    @property
    def inside(self) -> bool:
        """This is called from the thread itself, which must not wait for itself."""
        return threading.current_thread() is self._thread

    def run(
        self, coroutine: Coroutine[Any, Any, _T], timeout: float | None = None, what: str = ""
    ) -> _T:
        """Run a coroutine to its end and return what it returns.

        Whatever ends the wait early, KeyboardInterrupt too, cancels the coroutine. Raises what it
        raises, TimedOutError after `timeout` seconds (`what` is the sentence that it says), and
        ClosedError where the thread is no more.
        """
        try:
            self.check()
            assert self._loop
            future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except BaseException:
            coroutine.close()
            raise
        deadline = None if timeout is None else time.monotonic() + timeout
        try:
            while True:
                left = _SLICE_S if deadline is None else deadline - time.monotonic()
                try:
                    return future.result(max(0.0, min(_SLICE_S, left)))
                except TimeoutError:
                    if future.done():
                        return future.result()  # it was the coroutine's own error, or just done
                if left <= 0:
                    raise TimedOutError(what or f"It took longer than {timeout:g} s.")
                if not self._thread.is_alive():
                    raise ClosedError(f"'{self._name}' was closed meanwhile.")
        except CancelledError:
            raise ClosedError(f"'{self._name}' was closed meanwhile.") from None
        finally:
            future.cancel()

    def call(self, function: Callable[[], object]) -> None:
        """Have a function called soon on the thread, without waiting. ClosedError if it can't."""
        self.check()
        assert self._loop
        try:
            self._loop.call_soon_threadsafe(function)
        except RuntimeError:
            raise ClosedError(f"'{self._name}' was closed meanwhile.") from None

    def close(self) -> None:
        """Cancel what runs and end the thread, in two seconds at most. Safe to call again."""
        if self.forked:
            return
        stopping, self._stopping = self._stopping, None
        if stopping:
            assert self._loop
            self._loop.call_soon_threadsafe(stopping.set)
        if not self.inside:
            self._thread.join(_CLOSE_S)

    def check(self) -> None:
        """Raise ClosedError where it cannot be used, or not from here."""
        if self.forked:
            raise ClosedError(
                f"'{self._name}' belongs to the process that this one was forked from: make a new "
                "one here."
            )
        if self.inside:
            raise ClosedError(
                f"'{self._name}' cannot be waited for by its own callback: do it in another thread."
            )
        if self._stopping is None:
            raise ClosedError(f"'{self._name}' is closed.")

    def _run(self, started: threading.Event) -> None:
        async def main() -> None:
            self._loop = asyncio.get_running_loop()
            stopping = self._stopping = asyncio.Event()
            started.set()
            await stopping.wait()

        # A selector loop on Windows too: the proactor reads no datagrams in batches.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            runner.run(main())


_OPEN: weakref.WeakSet[Background] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Nothing may run on when the interpreter is taken apart."""
    for background in list(_OPEN):
        background.close()
