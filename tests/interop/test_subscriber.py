"""Subscribers, synchronized cameras and processing against the real server."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import aclosing, contextmanager, suppress
from itertools import pairwise

import numpy as np
import pytest
from tests.interop.serving import RunningServer, serving

import streamsocket as ss
from streamsocket.frames.frame import Frame

SIZE = 320, 240


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving("a=test", "b=test") as running:
        yield running


def level(number: int) -> int:
    """The gray that stands for a picture's number: far enough apart to survive coding."""
    return 20 + number % 20 * 10


@contextmanager
def numbered(url: str, *, fps: float = 30, ago_s: float = 0.0) -> Iterator[dict[int, float]]:
    """Publishes gray pictures; yields their times of capture by the number that was published."""
    captured: dict[int, float] = {}
    stop = threading.Event()

    def publish() -> None:
        with ss.Publisher(url, fps=fps, size=SIZE) as publisher:
            number = 0
            began = time.time()
            while not stop.wait(max(0.0, began + number / fps - time.time())):
                captured[number] = time.time() - ago_s
                image = np.full((SIZE[1], SIZE[0]), level(number), np.uint8)
                publisher.write(image, captured[number], format="gray")
                number += 1

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        yield captured
    finally:
        stop.set()
        thread.join(10)


def error_of(frame: Frame, captured: dict[int, float]) -> float:
    """How far a picture's time is from that of the newest picture of its gray, in seconds."""
    gray = float(frame.image[:, :, 1].mean())
    shown = [time for number, time in list(captured.items()) if abs(level(number) - gray) < 5]
    return min(abs(frame.capture_time - time) for time in shown)


def test_pictures_and_sound_by_one_clock(server: RunningServer) -> None:
    with ss.Subscriber(server.url("a"), audio=True) as sub:
        frames = [sub.read(10) for _ in range(30)]
        blocks = [sub.audio.read(10) for _ in range(30)]
    assert frames[0].image.shape == (720, 1280, 3)
    assert {frame.capture_clock for frame in frames} == {"sender"}
    assert {block.capture_clock for block in blocks} == {"sender"}
    # Without a gap, whatever the network did.
    for before, after in pairwise(blocks[5:]):
        assert abs(before.capture_time + before.duration - after.capture_time) < 0.005
    assert abs(blocks[-1].capture_time - frames[-1].capture_time) < 2
    # The pattern flashes white and beeps at once, at full seconds: it is not always the same gray.
    assert frames[-1].image.std() > 20


def test_every_picture_comes_once_at_its_own_time(server: RunningServer) -> None:
    url = server.url("numbered")
    with numbered(url, ago_s=0.05) as captured:
        time.sleep(1)
        with ss.Subscriber(url, every_frame=True) as sub:
            frames = [sub.read(10) for _ in range(120)]
            errors = [error_of(frame, captured) for frame in frames[60:]]
    assert not any(frame.dropped for frame in frames)
    assert np.median(errors) < 0.005
    assert max(errors) < 0.02
    values = [float(frame.image[:, :, 1].mean()) for frame in frames[60:]]
    steps = {round(after - before) for before, after in pairwise(values)}
    assert all(abs(step - 10) <= 3 or abs(step + 190) <= 5 for step in steps), steps


@pytest.mark.slow
def test_who_is_slow_never_sees_an_old_picture(server: RunningServer) -> None:
    url = server.url("slowly")
    with numbered(url), ss.Subscriber(url) as sub:
        sub.read(10)
        time.sleep(2.5)  # joined by then
        ages, dropped = [], []
        for _ in range(25):
            time.sleep(0.1)
            frame = sub.read(10)
            ages.append(time.time() - frame.capture_time)
            dropped.append(frame.dropped)
    assert np.median(ages) < 0.1
    assert sum(dropped) > 25, "of three pictures, two were left out"


@pytest.mark.slow
def test_a_server_that_ends_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    changes: list[ss.StateChange] = []
    with serving("a=test") as first:
        ports = first.rtsp_port, first.http_port, first.udp_port
        with ss.Subscriber(first.url("a"), on_state=changes.append) as sub:
            sub.read(10)
            first.stop()
            until(lambda: sub.state in ("lost", "ended"))
            with pytest.raises(ss.TimedOutError, match=r"the stream is (lost|ended)"):
                sub.read(0.2)
            monkeypatch.setattr("tests.interop.serving.free_ports", lambda: ports)
            with serving("a=test"):
                assert sub.read(20).image.shape == (720, 1280, 3)
                assert sub.state == "live"
    assert [change.state for change in changes].count("live") == 2


def until(condition: Callable[[], object], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("name", "coder"),
    [
        ("h265", ["libx265", "-x265-params", "log-level=none:keyint=15"]),
        ("vp8", ["libvpx", "-deadline", "realtime", "-g", "15"]),
        ("vp9", ["libvpx-vp9", "-deadline", "realtime", "-g", "15", "-strict", "experimental"]),
        ("mjpeg", ["mjpeg", "-pix_fmt", "yuvj420p", "-huffman", "default"]),
        ("h264", ["libx264", "-bf", "2", "-g", "15"]),
    ],
)
def test_pictures_of_all_codecs_have_their_colours(
    server: RunningServer, name: str, coder: list[str]
) -> None:
    url = server.url(f"coded-{name}")
    command = ["ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i"]
    command += [f"color=0xD2961E:size={SIZE[0]}x{SIZE[1]}:rate=15", "-c:v", *coder]
    command += ["-f", "rtsp", "-rtsp_transport", "tcp", url]
    publishing = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        with ss.Subscriber(url) as sub:
            for _ in range(10):
                frame = sub.read(10)
            assert sub.tracks == {"video": name}
            assert sub.decoder == name
        assert frame.image.shape == (SIZE[1], SIZE[0], 3)
        assert np.abs(frame.image[50, 50].astype(int) - (0xD2, 0x96, 0x1E)).max() <= 6
    finally:
        publishing.kill()
        publishing.communicate(timeout=5)


@pytest.mark.slow
def test_synchronized_cameras(server: RunningServer) -> None:
    urls = [server.url("left"), server.url("right")]
    with numbered(urls[0]), numbered(urls[1], fps=15, ago_s=0.2):
        spreads = []
        for frames in ss.synchronized(urls, timeout=20):
            left, right = frames
            assert left is not None
            assert right is not None
            assert abs(abs(left.capture_time - right.capture_time) - frames.spread) < 1e-6
            spreads.append(frames.spread)
            if len(spreads) == 60:
                break
        assert max(spreads[30:]) < 0.02
        assert np.median(spreads[30:]) <= 0.5 / 30 + 0.002

        async def same() -> list[float]:
            async with (
                ss.aio.Subscriber(urls[0]) as sub,
                aclosing(ss.aio.synchronized([sub, urls[1]])) as sets,
            ):
                return [(await anext(sets)).spread for _ in range(30)]

        assert len(asyncio.run(same())) == 30


def test_synchronized_tells_who_is_missing(server: RunningServer) -> None:
    urls = [server.url("a"), server.url("nobody")]
    with pytest.raises(ss.TimedOutError, match=r"nothing comes from rtsp://\S+/nobody\.$"):
        next(ss.synchronized(urls, timeout=1.5))
    sets = ss.synchronized(urls, timeout=5, missing="none")
    present, missing = next(sets)
    sets.close()
    assert present is not None
    assert missing is None
    with pytest.raises(ss.ArgumentError, match=r"^cameras: "):
        ss.synchronized("rtsp://one/string")
    with pytest.raises(ss.ArgumentError, match=r"^missing: "):
        ss.synchronized(urls, missing="perhaps")  # type: ignore[arg-type]
    with pytest.raises(ss.ArgumentError, match=r"^cameras: one of them is there twice"):
        ss.synchronized([urls[0], urls[0]])
    with pytest.raises(ss.ClosedError, match="within its 'with'"):
        ss.synchronized([ss.Subscriber(urls[0])])


@pytest.mark.slow
def test_a_function_between_two_streams_keeps_the_time_of_capture(server: RunningServer) -> None:
    source, made = server.url("source"), server.url("made")
    stop = threading.Event()
    failures: list[Exception] = []

    def brighter(frame: Frame) -> object:
        return frame.image + np.uint8(20)

    def run() -> None:
        try:
            ss.process(source, made, brighter, stop=stop)
        except Exception as error:
            failures.append(error)

    with numbered(source, ago_s=0.1) as captured:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            with ss.Subscriber(made, timeout=20) as sub:
                time.sleep(3)
                sub.read(10)
                errors = []
                for _ in range(30):
                    frame = sub.read(10)
                    frame.image[:] -= 20
                    errors.append(error_of(frame, captured))
                    assert frame.latency > 0.1
        finally:
            stop.set()
            thread.join(10)
    assert not thread.is_alive()
    assert not failures
    assert np.median(errors) < 0.01


@pytest.mark.slow
def test_sound_goes_along(server: RunningServer) -> None:
    async def scenario() -> None:
        work = asyncio.create_task(
            ss.aio.process(server.url("a"), server.url("loud"), lambda frame: frame, size=SIZE)
        )
        try:
            async with ss.aio.Subscriber(server.url("loud"), audio=True, timeout=20) as sub:
                assert sub.tracks["video"] == "h264"
                began = time.monotonic()
                loudest = 0.0
                while loudest < 0.05:
                    assert time.monotonic() - began < 10, "no beep is heard"
                    loudest = max(loudest, float(np.abs((await sub.audio.read(5)).samples).max()))
                frame = await sub.read(5)
                assert (frame.width, frame.height) == SIZE
        finally:
            work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    asyncio.run(scenario())


def test_what_the_function_raises_ends_it_all(server: RunningServer) -> None:
    def fail(frame: Frame) -> object:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        ss.process(server.url("a"), server.url("never"), fail)
    with pytest.raises(ss.ArgumentError, match=r"^fn: "):
        ss.process(server.url("a"), server.url("never"), None)  # type: ignore[arg-type]
    with pytest.raises(ss.ArgumentError, match=r"^src: "):
        ss.process(7, server.url("never"), fail)  # type: ignore[arg-type]


def test_opening_and_closing_leaves_nothing_behind(server: RunningServer) -> None:
    def once() -> None:
        with ss.Subscriber(server.url("a"), audio=True) as sub:
            sub.latest()

    for _ in range(5):
        once()
    threads, descriptors = threading.active_count(), len(os.listdir("/proc/self/fd"))
    for _ in range(30):
        once()
    gc.collect()
    assert threading.active_count() == threads
    assert len(os.listdir("/proc/self/fd")) == descriptors
