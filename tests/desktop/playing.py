"""Windows of the command line, as their users see them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tests.desktop.desktop import Display, wait_for
from tests.interop.serving import COMMAND

from streamsocket.sources import yardstick

END_S = 10.0


class Command:
    """A command that runs, with all that it has printed."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        """Both streams."""
        return self._log.read_text(errors="replace")

    def says(self, words: str) -> bool:
        return words in self.output()

    def wait_for_words(self, words: str) -> None:
        wait_for(lambda: self.says(words), f"'{words}' among:\n{self.output()}")

    def wait_for_end(self, timeout_s: float = END_S) -> int:
        """Its exit code; there must be no traceback, and no process left of its own."""
        children = descendants(self.process.pid)
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"it does not end:\n{self.output()}") from None
        assert "Traceback" not in self.output(), self.output()
        wait_for(lambda: not any(map(is_running, children)), f"the end of {children}", END_S)
        return code

    def interrupt(self) -> int:
        """Ctrl-C; returns the exit code."""
        self.process.send_signal(signal.SIGINT)
        return self.wait_for_end()


@contextlib.contextmanager
def command(*arguments: str, environment: Mapping[str, str] | None = None) -> Iterator[Command]:
    """`streamsocket …`, until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*COMMAND, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=os.environ | (environment or {}) | {"PYTHONUNBUFFERED": "1"},
            )
        running = Command(process, log)
        try:
            yield running
        except BaseException:
            print(running.output(), file=sys.stderr)
            raise
        finally:
            children = descendants(process.pid)
            if process.poll() is None:
                process.kill()
                process.wait()
            for child in filter(is_running, children):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """The process's children, and theirs."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in map(int, task.read_text().split()):
                found += [child, *descendants(child)]
    return found


def is_running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


class Seen:
    """A window on a screen, as who sits before it sees it."""

    def __init__(self, display: Display, title: str) -> None:
        self.display = display
        self.id = display.window(title)

    def picture(self) -> NDArray[np.uint8]:
        """Height by width by 3."""
        return self.display.picture_of(self.id)

    def press(self, *keys: str) -> None:
        self.display.press(self.id, *keys)

    def reading(self) -> yardstick.Reading | None:
        """What the test pattern's code says, where one is shown."""
        return read(self.picture())

    def wait_for_picture(self, after: int = -1) -> yardstick.Reading:
        """A picture of the test pattern, of a higher number than that."""

        def look() -> yardstick.Reading | None:
            reading = self.reading()
            return reading if reading and reading.frame_number > after else None

        return wait_for(look, "the test pattern")

    def wait_for_fresh_picture(self, since: float) -> yardstick.Reading:
        """A picture that was captured after that time (of `time.time()`)."""

        def look() -> yardstick.Reading | None:
            reading = self.reading()
            return reading if reading and reading.capture_time > since else None

        return wait_for(look, "a new picture")

    def wait_for_none(self) -> None:
        """That no picture of the test pattern is shown any more; a flash has no code."""

        def look() -> bool:
            picture = self.picture()
            return read(picture) is None and not yardstick.is_flash(luma(picture))

        wait_for(look, "the picture's end")

    def stands_still(self, seconds: float = 0.4) -> bool:
        """Whether the picture is the same all the while; its edges, with notices, don't count."""
        first = self.picture()[80:640]
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if changed(first, self.picture()[80:640]):
                return False
        return True

    def save(self, path: Path) -> None:
        """For whoever wants to look at it."""
        import PIL.Image

        PIL.Image.fromarray(self.picture()).save(path)


def luma(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return picture.mean(axis=2).astype(np.uint8)


def read(picture: NDArray[np.uint8]) -> yardstick.Reading | None:
    """The code of a test pattern that fills the picture."""
    return yardstick.read(luma(picture))


def changed(before: NDArray[np.uint8], after: NDArray[np.uint8]) -> float:
    """Which part of the pixels is another."""
    different = np.abs(before.astype(int) - after.astype(int)).max(axis=2) > 24
    return float(different.mean())
