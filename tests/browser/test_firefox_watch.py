"""Firefox watches by WHEP. It has no H.264 of its own, and doesn't send to 127.0.0.1."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.browser.pages import watching
from tests.interop.movies import Movie, make
from tests.interop.ports import free_ports
from tests.interop.serving import serving

from streamsocket.webrtc.addresses import own_address


@pytest.fixture
def firefox(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("firefox") or cannot_test("Firefox is not installed")


@pytest.fixture
def own_host(cannot_test: Callable[[str], NoReturn]) -> str:
    host = own_address(socket.AF_INET, "192.0.2.1")
    return host or cannot_test("this machine has no address but its own for itself")


def test_vp8_and_opus_play(firefox: str, own_host: str, tmp_path: Path) -> None:
    movie = tmp_path / "movie.mkv"
    make(Movie(video="libvpx", audio="libopus"), movie)
    _, _, port = free_ports()
    options = ("--webrtc-port", str(port), "--rtmp-port", "0")
    with serving(f"movie={movie}", options=options, host="0.0.0.0") as server:
        http = f"http://{own_host}:{server.http_port}"
        with showing(firefox, watching(http, "movie", host=own_host, port=port)) as page:
            frames = "framesDecoded"
            first = page.wait_for(lambda report: report.get("video", {}).get(frames, 0) > 0, 30)
            begun = first["video"]
            last = page.wait_for(lambda report: report["video"][frames] >= begun[frames] + 125, 20)
            video, sound = last["video"], last["audio"]
            seconds = (video["timestamp"] - begun["timestamp"]) / 1000
            rate = (video[frames] - begun[frames]) / seconds
            assert 22 < rate < 28
            assert video["packetsLost"] == sound["packetsLost"] == 0
            assert sound["packetsReceived"] > 200
            assert last["time"] > 3
