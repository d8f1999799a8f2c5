"""The examples, run as their readers run them, against a real server."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.interop.movies import MovieShelf
from tests.interop.ports import free_ports
from tests.interop.serving import RunningServer, serving

import streamsocket as ss

EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE_S = 20.0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving("a=test:640x360", "b=test:640x360") as running:
        yield running


class Example:
    """An example that runs, and what it has said."""

    def __init__(self, process: subprocess.Popen[bytes], log: Path) -> None:
        self.process = process
        self._log = log

    def output(self) -> str:
        return self._log.read_text()

    def says(self, pattern: str, times: int = 1) -> list[re.Match[str]]:
        """Wait until it has said that, so many times."""
        deadline = time.monotonic() + PATIENCE_S
        while len(found := list(re.finditer(pattern, self.output(), re.MULTILINE))) < times:
            assert self.process.poll() is None, f"it has ended:\n{self.output()}"
            assert time.monotonic() < deadline, f"it doesn't say {pattern!r}:\n{self.output()}"
            time.sleep(0.02)
        return found

    def ends(self) -> str:
        """Wait for its end, and return what it has said."""
        assert self.process.wait(PATIENCE_S) == 0, self.output()
        return self.output()


@contextmanager
def running(tmp_path: Path, name: str, *arguments: str | Path) -> Iterator[Example]:
    """Run an example; at the end Ctrl-C, which it has to take as people expect."""
    log = tmp_path / f"{name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, arguments)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=tmp_path,
            start_new_session=True,
        )
    example = Example(process, log)
    try:
        yield example
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            example.ends()
            assert "Traceback" not in example.output()
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_there_is_a_test_for_each() -> None:
    tested = re.findall(r'running\(\s*tmp_path, "(\w+)"', Path(__file__).read_text())
    assert set(tested) == {path.stem for path in EXAMPLES.glob("*.py")}


def test_file_server(movies: MovieShelf, tmp_path: Path) -> None:
    movie = movies["film"]
    ports = "--rtsp-port=0", "--http-port=0"
    with running(tmp_path, "file_server", movie, f"again={movie}", *ports) as example:
        [url] = example.says(r"^again (rtsp://\S+)$")
        [page] = example.says(r"^the page (http://\S+)$")
        with ss.Subscriber(url[1]) as subscriber:
            # Once a second it flashes: then all is white.
            assert max(subscriber.read(10).image.std() for _ in range(3)) > 10
        with urllib.request.urlopen(page[1] + "api/streams", timeout=5) as answer:
            names = [stream["name"] for stream in json.load(answer)]
        assert names == [movie.stem, "again"]


def test_webcam(server: RunningServer, tmp_path: Path) -> None:
    url = server.url("drawn")
    with running(tmp_path, "webcam", url, "--drawn") as example:
        example.says(r"state='live'")
        with ss.Subscriber(url) as subscriber:
            frames = [subscriber.read(10) for _ in range(20)]
    # Blue comes first: what has been drawn is dark, and bluish.
    assert np.abs(np.median(frames[-1].image, (0, 1)) - (16, 32, 64)).max() < 8
    bars = {round(float(frame.image[180].max(1).argmax()) / 10) for frame in frames}
    assert len(bars) > 5, "the bar walks"


def test_webcam_without_a_camera(server: RunningServer, tmp_path: Path) -> None:
    with running(tmp_path, "webcam", server.url("none"), "--camera", "77") as example:
        example.ends()


def test_process_stream(server: RunningServer, tmp_path: Path) -> None:
    source, destination = server.url("a"), server.url("dated")
    with (
        running(tmp_path, "process_stream", source, destination),
        ss.Subscriber(source) as before,
        ss.Subscriber(destination, audio=True, timeout=PATIENCE_S) as after,
    ):
        frame = after.read(10)
        latest = before.read(10)
        assert after.tracks == {"video": "h264", "audio": "opus"}
    clock = frame.image[:20, :150].astype(int)
    assert np.median(clock) < 30, "a black rectangle"
    assert clock.max() > 150, "with something white in it"
    assert abs(frame.capture_time - latest.capture_time) < 1


def test_several_cameras(server: RunningServer, tmp_path: Path) -> None:
    both = tmp_path / "both.jpg"
    urls = server.url("a"), server.url("b")
    with running(tmp_path, "several_cameras", *urls) as example:
        spreads = [float(line[1]) for line in example.says(r"([\d.]+) ms apart$", 20)]
    assert np.median(spreads) < 17, "half a picture"
    with running(tmp_path, "several_cameras", *urls, "--save", both) as example:
        example.ends()
    with Image.open(both) as saved:
        assert saved.size == (1280, 360)


def test_with_opencv(server: RunningServer, tmp_path: Path) -> None:
    saved = tmp_path / "moved.jpg"
    with running(tmp_path, "with_opencv", server.url("a"), saved) as example:
        assert re.search(r"something moved between \(\d+, \d+\) and", example.ends())
    with Image.open(saved) as image:
        red, green, blue = np.moveaxis(np.asarray(image.convert("RGB")).astype(int), 2, 0)
    assert image.size == (640, 360)
    assert ((red > 180) & (green < 90) & (blue < 90)).sum() > 50, "the box"


def test_in_fastapi(tmp_path: Path) -> None:
    port = free_ports()[0]
    with running(tmp_path, "in_fastapi", "test:640x360", str(port)) as example:
        example.says("Uvicorn running on")  # also: our server has not silenced theirs
        for _ in range(2):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/newest.jpg", timeout=5) as answer:
                assert answer.headers["Content-Type"] == "image/jpeg"
                with Image.open(io.BytesIO(answer.read())) as image:
                    assert image.size == (640, 360)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/streams", timeout=5) as answer:
            [url] = json.load(answer).values()
        with ss.Subscriber(url) as subscriber:
            assert subscriber.read(10).width == 640


def test_newest_frame(server: RunningServer, tmp_path: Path) -> None:
    pattern = r"of 640x360 pixels; (-?\d+) ms old when it came, (\d+) left out"
    with running(tmp_path, "newest_frame", server.url("a")) as example:
        told = example.says(pattern, 25)[10:]
    assert np.median([int(line[1]) for line in told]) < 100
    assert sum(int(line[2]) for line in told) >= 15, "of three pictures, two were left out"


def test_sound_level(server: RunningServer, tmp_path: Path) -> None:
    with running(tmp_path, "sound_level", server.url("a")) as example:
        lines = example.says(r"^([\d.]+) +(-?[\d.]+) dB  (#*)$", 25)
    levels = [float(line[2]) for line in lines]
    assert max(levels) > -20, "the beep"
    assert min(levels) == -60, "the silence between"
    assert all(abs(len(line[3]) - float(line[2]) - 60) < 0.6 for line in lines)
    assert float(lines[-1][1]) - float(lines[0][1]) == pytest.approx(2.6, abs=0.8)


def test_snapshot(server: RunningServer, tmp_path: Path) -> None:
    saved = tmp_path / "picture.png"
    with running(tmp_path, "snapshot", server.url("a"), saved) as example:
        assert "picture.png: 640x360, captured" in example.ends()
    with Image.open(saved) as image:
        assert image.size == (640, 360)
        assert np.asarray(image).std() > 20 or np.asarray(image).mean() > 250, "or the flash"
    with running(tmp_path, "snapshot", server.url("nothing"), saved) as example:
        assert example.process.wait(PATIENCE_S) == 1
    assert "Traceback" not in example.output()
    assert "nothing" in example.output()
