"""A thread that keeps a microphone open and gathers what it hears."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamsocket.sources.devices.device_thread import DeviceThread
from streamsocket.sources.devices.errors import lost_error
from streamsocket.sources.devices.microphone import MicrophoneOpener

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Microphone, Samples

_READ_EVERY_S = 0.004

# Two seconds of reads; nobody waits longer than that for the sound to be encoded.
_MOST_READS = 500


@dataclass(frozen=True, slots=True)
class Heard:
    """What was read from a device at one time, of `time.monotonic()`."""

    device: int
    """Counts how many times one has been opened."""
    rate: int
    samples: Samples
    at: float


class Listener(DeviceThread):
    """Listens for as long as there is a microphone."""

    def __init__(self, name: str, opener: MicrophoneOpener, on_news: Callable[[], None]) -> None:
        super().__init__("sound", on_news)
        self._name = name
        self._opener = opener
        self._heard: deque[Heard] = deque(maxlen=_MOST_READS)
        self._opened = 0
        self.channels: int | None = None
        """Of the device that was opened last."""
        self._thread.start()

    def take(self) -> list[Heard]:
        """What has been heard since the last time."""
        heard = []
        while self._heard:
            heard.append(self._heard.popleft())
        return heard

    @property
    def _silence(self) -> str:
        return f"Nothing has come from the microphone {self._name}"

    def _use(self) -> None:
        microphone = self._opener()
        try:
            self._opened += 1
            self._read(microphone)
        finally:
            microphone.close()

    def _read(self, microphone: Microphone) -> None:
        while not microphone.lost:
            if self._closed.wait(_READ_EVERY_S):
                return
            samples = microphone.read()
            if len(samples):
                now = time.monotonic()
                self.channels = microphone.channels
                self._heard.append(Heard(self._opened, microphone.rate, samples, now))
                self._came(now)
        raise lost_error("microphone", self._name)
