"""Chromium watches streams that it can't play as they are: the server makes what it can."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.browser.matched import check_smooth, page_of
from tests.interop.movies import Movie, make
from tests.interop.ports import free_ports
from tests.interop.serving import COMMAND, RunningServer, serving

pytestmark = pytest.mark.slow

H264_OPUS = {"video/H264", "audio/opus"}
RATE = 25


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


@contextmanager
def server_of(*sources: str) -> Iterator[tuple[RunningServer, int]]:
    """A server, and its port for WebRTC."""
    *_, port = free_ports()
    options = ("--webrtc-port", str(port), "--rtmp-port", "0")
    with serving(*sources, options=options) as server:
        yield server, port


@contextmanager
def running(*command: str) -> Iterator[None]:
    """A publisher, until the block ends."""
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


def check(chromium: str, server: RunningServer, port: int, name: str, codecs: set[str]) -> None:
    text = page_of(f"http://127.0.0.1:{server.http_port}", name, port=port)
    with showing(chromium, text) as page:
        check_smooth(page, RATE, codecs)


def made_of(server: RunningServer, name: str) -> dict[str, str]:
    """What is made of what, at the moment."""
    renditions = server.stream(name)["renditions"]
    return {each["made_of"]: each["track"]["codec"] for each in renditions}


def test_a_film_with_b_frames_and_surround_sound_plays(chromium: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make(Movie(b_frames=3, channels=6, size="640x360"), path)
    with server_of(f"film={path}") as (server, port):
        check(chromium, server, port, "film", H264_OPUS)
        assert made_of(server, "film") == {"h264": "h264", "aac": "opus"}


def test_what_ffmpeg_publishes_by_rtsp_plays(chromium: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make(Movie(b_frames=2), path)
    with server_of() as (server, port):
        publish = f"ffmpeg -v error -re -stream_loop -1 -i {path} -c copy -f rtsp".split()
        with running(*publish, "-rtsp_transport", "tcp", server.url("live/camera")):
            server.wait_until_live(["live/camera"])
            check(chromium, server, port, "live/camera", H264_OPUS)
            assert made_of(server, "live/camera") == {"h264": "h264", "aac": "opus"}


def test_h265_plays_as_h264(chromium: str, tmp_path: Path) -> None:
    film, path = tmp_path / "film.mkv", tmp_path / "h265.mp4"
    make(Movie(audio="libopus", suffix=".mkv"), film)
    coding = "-c:v libx265 -preset ultrafast -x265-params keyint=25:log-level=error -c:a copy"
    command = ["ffmpeg", "-v", "error", "-i", str(film), *coding.split(), str(path)]
    subprocess.run(command, check=True, timeout=60)
    with server_of(f"film={path}") as (server, port):
        check(chromium, server, port, "film", H264_OPUS)
        assert made_of(server, "film") == {"h265": "h264"}


def test_vp9_and_opus_pass_untouched(chromium: str, tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    make(Movie(), path)
    with server_of() as (server, port):
        publish = [*COMMAND, "publish", str(path), server.url("desk"), "--codec", "vp9+opus"]
        with running(*publish):
            server.wait_until_live(["desk"])
            check(chromium, server, port, "desk", {"video/VP9", "audio/opus"})
            assert made_of(server, "desk") == {}
