"""Chromium with several connections at once."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import av
import pytest
from tests.browser.browsers import Page, find, showing
from tests.browser.several import several
from tests.interop import players
from tests.interop.movies import Movie, MovieShelf, make
from tests.interop.serving import RunningServer, serving
from tests.interop.sync import sound_minus_picture_s

MOVIE_RATE = 25
FLUENT = 0.9
"""How much of a stream's rate a browser has to show."""

IN_SYNC_S = 0.08

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")


@pytest.fixture
def chromium(cannot_test: Callable[[str], NoReturn]) -> str:
    return find("chromium") or cannot_test("Chromium is not installed")


def http(server: RunningServer) -> str:
    return f"http://{server.host}:{server.http_port}"


Moments = list[tuple[dict[str, Any], dict[str, Any]]]
"""What each connection told at two moments."""


def watched(page: Page, count: int, is_smooth: Callable[[Moments], bool]) -> Moments:
    """What so many connections told, four seconds apart, pictures on all.

    A busy machine may be too slow for a while: of three times, one has to be smooth.
    """

    def all_have_pictures(report: dict[str, Any]) -> bool:
        told = report["connections"]
        return len(told) == count and all(pictures(each) for each in told)

    found: Moments = []
    before = page.wait_for(all_have_pictures, 40)["connections"]
    for _ in range(3):
        end = before[0]["video"]["timestamp"] + 4000
        after = page.wait_for(
            lambda report, end=end: (
                len(report["connections"]) == count
                and report["connections"][0]["video"]["timestamp"] >= end
            ),
            24,
        )["connections"]
        found = list(zip(before, after, strict=True))
        if is_smooth(found):
            break
        before = after
    return found


def pictures(told: dict[str, Any]) -> int:
    """How many pictures a connection has shown or sent."""
    video = told.get("video", {})
    shown: int = video.get("framesDecoded" if told["role"] == "watch" else "framesSent", 0)
    return shown


def rate(before: dict[str, Any], after: dict[str, Any]) -> float:
    seconds = (after["video"]["timestamp"] - before["video"]["timestamp"]) / 1000
    return (pictures(after) - pictures(before)) / seconds


def test_eight_viewers_on_one_page_miss_nothing(chromium: str, movies: MovieShelf) -> None:
    with serving(f"movie={movies['opus']}", options=OPTIONS) as server:
        page_text = several(http(server), watches=["movie"] * 8)
        with showing(chromium, page_text) as page:
            seen = watched(
                page, 8, lambda seen: all(rate(*each) > FLUENT * MOVIE_RATE for each in seen)
            )
            status = server.stream("movie")
    assert status["viewers"] == 8
    assert status["skipped_packets"] == status["resent_packets"] == 0
    for before, after in seen:
        assert after["video"]["packetsLost"] == after["audio"]["packetsLost"] == 0
        assert rate(before, after) > FLUENT * MOVIE_RATE


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_a_page_publishes_and_watches_at_once(chromium: str, codec: str) -> None:
    with serving(options=OPTIONS, wait_for=()) as server:
        page_text = several(http(server), publishes={"desk": codec}, watches=["desk"])
        with showing(chromium, page_text) as page:
            sent, seen = watched(page, 2, lambda told: rate(*told[1]) > FLUENT * rate(*told[0]))
            tracks = server.stream("desk")["tracks"]
    assert [track["codec"] for track in tracks] == [codec.lower(), "opus"]
    assert seen[1]["video"]["packetsLost"] == seen[1]["audio"]["packetsLost"] == 0
    assert sent[1]["remote video"]["packetsLost"] == 0
    assert rate(*seen) > FLUENT * rate(*sent)
    assert seen[1]["audio"]["totalAudioEnergy"] > seen[0]["audio"]["totalAudioEnergy"]


def test_vp8_plays_with_its_sound(chromium: str, tmp_path: Path) -> None:
    movie = tmp_path / "movie.mkv"
    make(Movie(Fraction(MOVIE_RATE), video="libvpx", audio="libopus"), movie)
    with (
        serving(f"movie={movie}", options=OPTIONS) as server,
        showing(chromium, several(http(server), watches=["movie"])) as page,
    ):
        ((before, after),) = watched(page, 1, lambda seen: rate(*seen[0]) > FLUENT * MOVIE_RATE)
    assert FLUENT * MOVIE_RATE < rate(before, after) < 1.1 * MOVIE_RATE
    assert after["video"]["packetsLost"] == after["audio"]["packetsLost"] == 0
    assert after["audio"]["totalAudioEnergy"] > before["audio"]["totalAudioEnergy"]


@pytest.mark.parametrize("codec", ["H264", "VP8"])
def test_what_a_page_publishes_plays_in_ffmpeg_in_sync(
    chromium: str, codec: str, tmp_path: Path
) -> None:
    recording = tmp_path / "recording.mkv"
    with serving(options=OPTIONS, wait_for=()) as server:
        text = several(http(server), publishes={"desk": codec}, flashes=True)
        with showing(chromium, text) as page:
            page.wait_for(lambda told: pictures(told["connections"][0]) > 60, 30)
            # Chromium on a busy machine drops sound, and only slowly makes good for it.
            for _ in range(3):
                before = page.reports[-1]["connections"][0]
                players.ffmpeg_record(server.url("desk"), "tcp", 7, recording)
                sent = rate(before, page.reports[-1]["connections"][0])
                offsets = sound_minus_picture_s(recording)
                if abs(statistics.median(offsets)) < IN_SYNC_S:
                    break
    with av.open(str(recording)) as movie:
        times = [frame.time for frame in movie.decode(video=0) if frame.time is not None]
    shown = [time for time in times if time > 2]  # before, it catches up with live
    assert (len(shown) - 1) / (shown[-1] - shown[0]) == pytest.approx(sent, rel=0.15)
    assert len(offsets) >= 3
    assert abs(statistics.median(offsets)) < IN_SYNC_S, offsets
