"""A thread that keeps a device open, and knows why nothing comes from it."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from streamsocket.sources.devices.errors import DeviceAwayError

_RETRY_S = 1.0
_PATIENCE_S = 5.0
_FAREWELL_S = 1.0


class DeviceThread(ABC):
    """Uses a device, again and again if need be. What it holds another thread reads."""

    def __init__(self, name: str, on_news: Callable[[], None]) -> None:
        """`on_news` is called by the thread when something has come, or the state is another."""
        self._on_news = on_news
        self._failure: Exception | None = None
        self._waiting_since = time.monotonic()
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    @abstractmethod
    def _use(self) -> None:
        """Open the device and take what comes, until closed. Raises `SourceError`."""

    @property
    @abstractmethod
    def _silence(self) -> str:
        """What has not come, and from where, for a sentence that says for how long."""

    def close(self) -> None:
        """Give the device back. One that hangs is left to the end of the process."""
        self._closed.set()
        self._thread.join(_FAREWELL_S)

    @property
    def trouble(self) -> Exception | None:
        """Why nothing comes; not a `DeviceAwayError` if nothing ever will."""
        if self._failure or time.monotonic() - self._waiting_since < _PATIENCE_S:
            return self._failure
        return DeviceAwayError(f"{self._silence} for {_PATIENCE_S:g} s: it is waited for.")

    def _came(self, now: float) -> None:
        """Something has come from the device, and is there to be read."""
        self._failure, self._waiting_since = None, now
        self._on_news()

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                self._use()
            except Exception as error:  # the thread that reads `trouble` will raise it
                self._failure = error
                self._on_news()
                if not isinstance(error, DeviceAwayError):
                    return
                self._closed.wait(_RETRY_S)
