"""Arrays published to the real server, watched by FFmpeg and by our Subscriber; and bad endings."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.interop.rtmp_serving import RtmpUnderTest
from tests.interop.serving import READY_S, RunningServer, serving

import streamsocket as ss

WIDTH, HEIGHT = 640, 360
_BITS, _SQUARE = 12, 32


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(wait_for=()) as running:
        yield running


def numbered(number: int, width: int = WIDTH, height: int = HEIGHT) -> npt.NDArray[np.uint8]:
    """A picture with its number in squares, a bit each, over a red ground."""
    image = np.full((height, width, 3), (200, 0, 0), np.uint8)
    for bit in range(_BITS):
        image[:_SQUARE, bit * _SQUARE : (bit + 1) * _SQUARE] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: npt.NDArray[np.uint8]) -> int:
    middles = image[_SQUARE // 2, _SQUARE // 2 :: _SQUARE][:_BITS].mean(axis=1)
    return sum(1 << bit for bit, middle in enumerate(middles) if middle > 128)


@contextmanager
def publishing(url: str, **options: object) -> Iterator[ss.Publisher]:
    """Thirty pictures a second, and as much sound, until the block ends."""
    over = threading.Event()
    tone = (np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000) * 0.5).astype(np.float32)

    def write() -> None:
        number = 0
        while not over.is_set():
            publisher.write(numbered(number % (1 << _BITS)), block=True)
            if "audio" in options:
                first = number * 1_600 % 48_000
                publisher.write_audio(tone[first : first + 1_600])
            number += 1

    with ss.Publisher(url, fps=30, **options) as publisher:  # type: ignore[arg-type]
        thread = threading.Thread(target=write)
        thread.start()
        try:
            yield publisher
        finally:
            over.set()
            thread.join()


def until_live(server: RunningServer, name: str, *, gone: bool = False) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        states = {each["name"]: each["state"] for each in json.loads(server.get("/api/streams"))}
        if (states.get(name) == "live") is not gone:
            return
        assert time.monotonic() < deadline, states
        time.sleep(0.05)


def ffmpeg(url: str, seconds: float, *options: str) -> subprocess.CompletedProcess[bytes]:
    command = ["ffmpeg", "-v", "warning", "-rtsp_transport", "tcp", "-i", url, "-t", str(seconds)]
    done = subprocess.run([*command, *options], capture_output=True, timeout=seconds + 20)
    assert done.returncode == 0, done.stderr.decode()
    return done


@pytest.mark.parametrize("codec", ["h264", "h265", "vp8", "vp9", "mjpeg"])
def test_ffmpeg_sees_and_hears_what_was_written(server: RunningServer, codec: str) -> None:
    url = server.url(f"seen/{codec}")
    with publishing(url, codec=codec, audio={"rate": 48_000, "channels": 1}):
        until_live(server, f"seen/{codec}")
        raw = [
            "-map",
            "0:v",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "rgb24",
            "-fps_mode",
            "passthrough",
            "-",
        ]
        done = ffmpeg(url, 1.5, *raw)
        images = np.frombuffer(done.stdout, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
        numbers = [number_of(image) for image in images]
        assert len(numbers) > 20
        assert sorted(set(numbers)) == numbers
        assert np.abs(images[-1][HEIGHT // 2, WIDTH // 2].astype(int) - (200, 0, 0)).max() < 20
        sound = ["-map", "0:a", "-f", "f32le", "-ac", "1", "-ar", "48000", "-"]
        samples = np.frombuffer(ffmpeg(url, 1.0, *sound).stdout, np.float32)
        steady = samples[24_000:36_000]
        spectrum = np.abs(np.fft.rfft(steady * np.hanning(len(steady))))
        assert abs(np.argmax(spectrum) * 4 - 440) <= 8
        # FFmpeg takes Opus for stereo, and two channels for louder than one by 3 dB.
        assert 0.4 < np.abs(steady).max() < 0.8


def test_pictures_are_as_fresh_and_as_well_dated_as_they_are_said_to_be(
    server: RunningServer,
) -> None:
    written: dict[int, float] = {}
    url = server.url("fresh")
    over = threading.Event()

    def write() -> None:
        for number in range(1, 150):
            captured = time.time()
            written[number] = captured
            publisher.write(numbered(number), captured)
            if over.wait(max(0.0, captured + 1 / 30 - time.time())):
                return

    with ss.Publisher(url, fps=30) as publisher:
        publisher.write(numbered(0))
        thread = threading.Thread(target=write)
        with ss.Subscriber(url) as subscriber:
            thread.start()
            delays, errors = [], []
            for frame in subscriber:
                number = number_of(frame.image)
                if number >= 40:  # who joins is behind at first
                    delays.append(time.time() - written[number])
                    errors.append(abs(frame.capture_time - written[number]))
                if number >= 120:
                    break
        over.set()
        thread.join()
    assert np.median(delays) < 0.1
    assert np.median(errors) < 0.005


def test_viewers_follow_a_change_of_size(server: RunningServer) -> None:
    url = server.url("sizes")
    sizes = [(640, 360), (1280, 720), (320, 240)]
    with ss.Publisher(url, repeat_after=0.1) as publisher, ss.Subscriber(url, wait=False) as sub:
        publisher.write(numbered(0))
        until_live(server, "sizes")
        command = ["ffmpeg", "-v", "warning", "-rtsp_transport", "tcp", "-i", url]
        command += ["-vf", "showinfo", "-t", "4", "-f", "null", "-"]
        viewer = subprocess.Popen(
            [*command, "-loglevel", "info"], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        try:
            seen: list[tuple[int, int]] = []
            for number, size in enumerate(sizes, 1):
                time.sleep(1.0)
                publisher.write(numbered(number, *size))
                for frame in sub:
                    if (frame.width, frame.height) not in seen:
                        seen.append((frame.width, frame.height))
                    if number_of(frame.image) == number:
                        break
            assert seen == sizes
            _, said = viewer.communicate(timeout=20)
        finally:
            viewer.kill()
            viewer.wait()
    shown = dict.fromkeys(re.findall(r" s:(\d+x\d+) ", said.decode()))
    assert list(shown) == [f"{width}x{height}" for width, height in sizes], said.decode()[-3000:]


def test_over_rtmp_too() -> None:
    with RtmpUnderTest() as rtmp:
        with publishing(rtmp.url("live/x"), audio={"codec": "aac"}) as publisher:
            assert publisher.state == "connecting"
            time.sleep(1.5)
            assert publisher.state == "live"
        [received] = rtmp.finished()
        frames = received.frames("video")
        assert len(frames) > 25
        numbers = [number_of(frame.to_ndarray(format="rgb24")) for frame in frames]
        assert sorted(set(numbers)) == numbers
        assert received.frames("audio")


def test_it_outlives_its_server() -> None:
    with serving(wait_for=()) as first:
        options = ["--rtsp-port", str(first.rtsp_port)]
        with publishing(first.url("cam")) as publisher:
            until_live(first, "cam")
            first.process.send_signal(signal.SIGKILL)
            first.process.wait()
            until_state(publisher, "lost")
            with serving(wait_for=(), options=options) as second:
                until_state(publisher, "live")
                until_live(second, "cam")
                with ss.Subscriber(f"rtsp://127.0.0.1:{first.rtsp_port}/cam") as subscriber:
                    assert number_of(subscriber.read(10).image) > 0
        # Its end is no orderly one, and nobody looks at it.
        first.stop = lambda: None  # type: ignore[method-assign]


def until_state(publisher: ss.Publisher, state: str) -> None:
    deadline = time.monotonic() + 15
    while publisher.state != state:
        assert time.monotonic() < deadline, publisher.state
        time.sleep(0.02)


_SCRIPT = """
import numpy as np, sys, time
import streamsocket as ss
image = np.zeros((360, 640, 3), np.uint8)
pub = ss.Publisher(sys.argv[1], fps=30, audio=True)
{body}
"""


@pytest.mark.parametrize(
    ("body", "interrupted", "complaint"),
    [
        ("with pub:\n while True: pub.write(image, block=True)", True, "KeyboardInterrupt"),
        ("with pub:\n while True: pub.write(image); time.sleep(0.03)", True, "KeyboardInterrupt"),
        ("while True: pub.write(image, block=True)", True, "KeyboardInterrupt"),
        ("pub.write(image); time.sleep(0.5); sys.exit(3)", False, ""),
        ("pub.write(image); 1 / 0", False, "ZeroDivisionError"),
    ],
)
def test_however_a_program_ends_it_ends_soon_and_says_goodbye(
    server: RunningServer, tmp_path: Path, body: str, interrupted: bool, complaint: str
) -> None:
    name = f"ends/{abs(hash(body))}"
    script = tmp_path / "script.py"
    script.write_text(_SCRIPT.format(body=body))
    program = subprocess.Popen(
        [sys.executable, str(script), server.url(name)], stderr=subprocess.PIPE
    )
    try:
        if interrupted:
            until_live(server, name)
            time.sleep(0.5)
            program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=READY_S)
    finally:
        program.kill()
        program.wait()
    assert program.returncode != 0
    text = said.decode()
    assert complaint in text
    assert text.count("Traceback") <= bool(complaint), text
    assert "Fatal" not in text
    until_live(server, name, gone=True)


_SPAWNS = """
import multiprocessing, sys
import numpy as np
import streamsocket as ss

def publish(url, done):
    with ss.Publisher(url) as publisher:
        publisher.write(np.full((360, 640, 3), 77, np.uint8))
        done.wait(20)

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[2])
    done = context.Event()
    process = context.Process(target=publish, args=(sys.argv[1], done))
    process.start()
    with ss.Subscriber(sys.argv[1]) as subscriber:
        value = int(subscriber.read(10).image.mean())
    done.set()
    process.join(20)
    sys.exit(0 if (process.exitcode, abs(value - 77) < 3) == (0, True) else 1)
"""


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_in_a_process_of_its_own(server: RunningServer, tmp_path: Path, method: str) -> None:
    script = tmp_path / "spawns.py"
    script.write_text(_SPAWNS)
    command = [sys.executable, str(script), server.url(f"own/{method}"), method]
    done = subprocess.run(command, capture_output=True, text=True, timeout=40)
    assert (done.returncode, done.stderr) == (0, "")
