"""Firefox in a network that blocks UDP watches over TCP."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.browser.pages import watching
from tests.interop.impaired import CannotImpairError, ImpairedNetwork, impaired_network
from tests.interop.movies import Movie, make
from tests.interop.serving import serving

pytestmark = pytest.mark.slow

OPTIONS = ("--webrtc-port", "8189", "--rtmp-port", "0")


@pytest.fixture
def firefox(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("firefox") or cannot_test("Firefox is not installed")


@pytest.fixture
def network(cannot_test: Callable[[str], NoReturn]) -> Iterator[ImpairedNetwork]:
    """The server is at "b"; the browser, at "a", gets no datagram through."""
    try:
        with impaired_network(delay_s=0.01, loss=1.0, loss_protocols=("udp",)) as made:
            # Firefox takes the address that it would go to the Internet by.
            route = ["ip", "-n", made.namespaces["a"], "route", "add", "default", "dev", "tun0"]
            subprocess.run(route, check=True, timeout=10)
            yield made
    except CannotImpairError as error:
        cannot_test(str(error))


def test_vp8_and_opus_play(firefox: str, network: ImpairedNetwork, tmp_path: Path) -> None:
    movie = tmp_path / "movie.mkv"
    make(Movie(video="libvpx", audio="libopus"), movie)
    host, prefix = network.addresses["b"], network.prefix("b")
    with serving(f"movie={movie}", options=OPTIONS, host=host, prefix=prefix) as server:
        text = watching(f"http://{host}:{server.http_port}", "movie", host=host, port=8189)
        with showing(firefox, text, namespace=network.namespaces["a"]) as page:
            frames = "framesDecoded"
            first = page.wait_for(lambda report: report.get("video", {}).get(frames, 0) > 0, 30)
            begun = first["video"]
            last = page.wait_for(lambda report: report["video"][frames] >= begun[frames] + 125, 20)
            video, sound = last["video"], last["audio"]
            seconds = (video["timestamp"] - begun["timestamp"]) / 1000
            assert 22 < (video[frames] - begun[frames]) / seconds < 28
            assert video["packetsLost"] == sound["packetsLost"] == 0
            assert sound["packetsReceived"] > 200
