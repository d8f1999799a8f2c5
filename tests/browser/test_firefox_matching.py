"""Firefox, which has no H.264 of its own, watches a film that is nothing but H.264 and AAC."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import pytest
from tests.browser.browsers import find, showing
from tests.browser.matched import check_smooth, page_of
from tests.interop.impaired import CannotImpairError, ImpairedNetwork, impaired_network
from tests.interop.movies import Movie, make
from tests.interop.serving import serving

pytestmark = pytest.mark.slow


@pytest.fixture
def firefox(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("firefox") or cannot_test("Firefox is not installed")


@pytest.fixture
def network(cannot_test: Callable[[str], NoReturn]) -> Iterator[ImpairedNetwork]:
    """The server is at "b", the browser at "a": Firefox doesn't send to 127.0.0.1."""
    try:
        with impaired_network(delay_s=0.005) as made:
            # It takes the address that it would go to the Internet by.
            route = ["ip", "-n", made.namespaces["a"], "route", "add", "default", "dev", "tun0"]
            subprocess.run(route, check=True, timeout=10)
            yield made
    except CannotImpairError as error:
        cannot_test(str(error))


def test_h264_and_aac_play_as_vp8_and_opus(
    firefox: str, network: ImpairedNetwork, tmp_path: Path
) -> None:
    path = tmp_path / "film.mp4"
    make(Movie(b_frames=2), path)
    host, prefix = network.addresses["b"], network.prefix("b")
    options = ("--webrtc-port", "8189", "--rtmp-port", "0")
    with serving(f"film={path}", options=options, host=host, prefix=prefix) as server:
        text = page_of(f"http://{host}:{server.http_port}", "film", host=host, port=8189)
        with showing(firefox, text, namespace=network.namespaces["a"]) as page:
            check_smooth(page, 25, {"video/VP8", "audio/opus"})
            made = {each["track"]["codec"] for each in server.stream("film")["renditions"]}
            assert made == {"vp8", "opus"}
