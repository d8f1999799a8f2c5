"""A thread that keeps a camera or a screen open and has its newest picture."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from av.video.frame import VideoFrame

from streamsocket.sources.devices.clocks import PictureClock
from streamsocket.sources.devices.device_thread import DeviceThread
from streamsocket.sources.devices.picture_device import Opener, PictureDevice, Wish


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture and when it was taken, in seconds of `time.monotonic()`."""

    frame: VideoFrame
    taken_at: float


class Grabber(DeviceThread):
    """Takes pictures while they are wanted, and keeps the newest alone."""

    def __init__(
        self, opener: Opener, wish: Wish, on_news: Callable[[], None], *, wanted: bool = True
    ) -> None:
        """Unless it is `wanted`, the device is not opened yet."""
        super().__init__("pictures", on_news)
        self._opener = opener
        self._wish = wish
        self._newest: Picture | None = None
        self._slot = threading.Lock()
        self._wanted = threading.Event()
        if wanted:
            self._wanted.set()
        self.device: PictureDevice | None = None
        """The device that was opened last; it need not be open any more."""
        self._thread.start()

    def close(self) -> None:
        """Give the device back. One that hangs is left to the end of the process."""
        self._closed.set()
        self._wanted.set()
        super().close()

    def take(self) -> Picture | None:
        """The newest picture, once."""
        with self._slot:
            newest, self._newest = self._newest, None
        return newest

    def want(self, wanted: bool) -> None:
        """Whether the device is to be open: else it is given back, and its lamp goes out."""
        if wanted:
            self._waiting_since = time.monotonic()
            self._wanted.set()
        else:
            self._wanted.clear()

    @property
    def _silence(self) -> str:
        it = f"the {self.device.kind} {self.device.name}" if self.device else "the device"
        return f"No picture has come from {it}"

    def _use(self) -> None:
        self._wanted.wait()
        if not self._closed.is_set():
            self._grab()

    def _grab(self) -> None:
        device = self._opener(self._wish)
        try:
            clock = PictureClock()
            for frame, device_s in device.frames():
                if not self._wanted.is_set() or self._closed.is_set():
                    break
                arrival = time.monotonic()
                at = clock.taken_at(device_s, arrival, time.time())
                self.device = device
                with self._slot:
                    self._newest = Picture(frame, at)
                self._came(arrival)
        finally:
            device.close()
            with self._slot:
                self._newest = None
