"""Chromium watches by WHEP."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
from tests.browser.browsers import Page, find, showing
from tests.browser.lossy import lossy_relay
from tests.browser.pages import watching
from tests.interop.movies import MovieShelf
from tests.interop.ports import free_ports
from tests.interop.serving import RunningServer, serving


def options(port: int) -> tuple[str, ...]:
    return ("--webrtc-port", str(port), "--rtmp-port", "0")


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


def page_of(server: RunningServer, name: str, port: int) -> str:
    return watching(f"http://127.0.0.1:{server.http_port}", name, port=port)


def check_playing(page: Page, rate: float) -> dict[str, Any]:
    """Wait until the picture has played for five seconds, smoothly; return the last report."""
    first = page.wait_for(lambda report: report.get("video", {}).get("framesDecoded", 0), 15)
    begun = first["video"]
    frames = begun["framesDecoded"] + 5 * rate
    last = page.wait_for(lambda report: report["video"]["framesDecoded"] >= frames, 15)
    video = last["video"]
    seconds = (video["timestamp"] - begun["timestamp"]) / 1000
    measured = (video["framesDecoded"] - begun["framesDecoded"]) / seconds
    assert 0.9 * rate < measured < 1.1 * rate, measured
    assert (video["packetsLost"], video["freezeCount"], video.get("nackCount", 0)) == (0, 0, 0)
    return last


def test_the_test_picture_plays_at_its_rate(chromium: str) -> None:
    _, _, port = free_ports()
    with (
        serving("live/test=test:1280x720@30", options=options(port)) as server,
        showing(chromium, page_of(server, "live/test", port)) as page,
    ):
        last = check_playing(page, 30)
        assert last["width"] == 1280
        assert last["audio"]["totalAudioEnergy"] > 0
        assert server.stream("live/test")["viewers"] == 1


def test_a_movie_plays_with_its_sound(chromium: str, movies: MovieShelf) -> None:
    _, _, port = free_ports()
    with (
        serving(f"movie={movies['opus']}", options=options(port)) as server,
        showing(chromium, page_of(server, "movie", port)) as page,
    ):
        sound = check_playing(page, 25)["audio"]
        assert sound["packetsLost"] == 0
        assert sound["totalAudioEnergy"] > 0
        assert sound["concealedSamples"] < 0.05 * sound["totalSamplesReceived"]


NTP_EPOCH = 2_208_988_800
"""Seconds from 1900, where the times of capture that browsers tell begin, to 1970."""


def test_it_is_told_when_things_were_captured(chromium: str, movies: MovieShelf) -> None:
    _, _, port = free_ports()
    with (
        serving(f"movie={movies['opus']}", options=options(port)) as server,
        showing(chromium, page_of(server, "movie", port)) as page,
    ):
        last = page.wait_for(
            lambda report: len([t for t in report.get("captured", {}).values() if t]) == 2, 20
        )
        for captured in last["captured"].values():
            assert 0 <= time.time() - (captured / 1000 - NTP_EPOCH) < 3
        # What it believes to get through to it, which is told by the times that packets were sent.
        deadline = time.monotonic() + 10
        while not (estimated := server.stream("movie")["estimated_bps"]):
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert estimated > 100_000


@pytest.mark.slow
def test_what_is_lost_is_repaired_before_it_is_missed(chromium: str) -> None:
    _, _, port = free_ports()
    with (
        serving("test=test:1280x720@30", options=options(port)) as server,
        lossy_relay(("127.0.0.1", port), loss=0.03) as relay,
        showing(chromium, page_of(server, "test", relay.port)) as page,
    ):
        last = page.wait_for(
            lambda report: report.get("video", {}).get("framesDecoded", 0) > 300, 30
        )
        video = last["video"]
        assert relay.lost > 20
        assert video["retransmittedPacketsReceived"] > 0.8 * relay.lost
        assert video["framesDropped"] < 10
        assert video["totalFreezesDuration"] < 1
        assert server.stream("test")["resent_packets"] > 0.8 * relay.lost
