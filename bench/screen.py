"""What is seen and heard of a window: the screen read again and again, the speaker recorded.

The window is a real one on an X server nobody sees (Xvfb), the sound goes through a PulseAudio
nobody hears; both are what the desktop tests use.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, time

import av
import numpy as np
from tests.desktop.desktop import Display, end

from streamsocket.sources import yardstick

GRABS_A_SECOND = 250
"""A picture is found on the screen 2 ms after it got there, on average, which counts as late."""
SIZE = 1280, 720


@dataclass
class Sightings:
    """When each picture of the test pattern was first seen on the screen."""

    pictures: dict[int, tuple[float, float]] = field(default_factory=dict)
    """By number: when it was captured and when it was first seen, seconds since the epoch."""
    flashes: list[float] = field(default_factory=list)
    """When the whole picture became white, of `time.monotonic()`."""
    unreadable: int = 0
    """Grabs in which there was neither: damaged pictures, or none."""
    grabs: int = 0

    @property
    def latencies_ms(self) -> list[float]:
        """From capture to the screen."""
        return [(seen - captured) * 1000 for captured, seen in self.pictures.values()]


class Watcher:
    """Looks at the blocks along the bottom edge of a window's picture, from `start` to `stop`."""

    def __init__(self, display: Display, window: str | None = None) -> None:
        """Without a window, the picture is in the upper left corner of the screen."""
        x, y, width, height = display.geometry(window) if window else (0, 0, *SIZE)
        assert (width, height) == SIZE, f"the window is {width}x{height}"
        self._lines = yardstick.code_height(height)
        self._input = f"{display.name}+{x},{y + height - self._lines}"
        self.seen = Sightings()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watcher")

    def __enter__(self) -> Sightings:
        self._thread.start()
        return self.seen

    def __exit__(self, *exception: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        options = {
            "video_size": f"{SIZE[0]}x{self._lines}",
            "framerate": str(GRABS_A_SECOND),
            "draw_mouse": "0",
        }
        whole = np.zeros(SIZE[::-1], np.uint8)
        seen = self.seen
        white = False
        with av.open(self._input, format="x11grab", options=options) as screen:
            for packet in screen.demux(video=0):
                if self._over.is_set():
                    return
                # BGR0 of the grabbed strip; its green is as good as brightness for black and white.
                pixels = np.frombuffer(memoryview(packet), np.uint8)
                strip = pixels.reshape(self._lines, SIZE[0], 4)[:, :, 1]
                now, now_wall = monotonic(), time()
                seen.grabs += 1
                is_white = strip.min() > 200
                if is_white and not white:
                    seen.flashes.append(now)
                white = bool(is_white)
                if white:
                    continue
                whole[-self._lines :] = strip
                reading = yardstick.read(whole)
                if reading is None:
                    seen.unreadable += 1
                elif reading.frame_number not in seen.pictures:
                    seen.pictures[reading.frame_number] = reading.capture_time, now_wall


@contextmanager
def playing(
    url: str, *options: str, prefix: tuple[str, ...] = (), log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """`streamsocket play`, as users start it."""
    command = [*prefix, str(Path(sys.executable).with_name("streamsocket")), "play", url, *options]
    with open(log or os.devnull, "wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            yield process
        finally:
            end(process)
