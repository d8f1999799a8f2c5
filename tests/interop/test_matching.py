"""Streams in one codec, players of another: what is made for whom, and for how long."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from serving import COMMAND, RunningServer, serving

from movies import MovieShelf

SECONDS = 4
RATE = 25


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(
        f"movie={movies['b_frames']}", f"surround={movies['surround']}", "test=test:320x180@25"
    ) as running:
        yield running


def probe(url: str, seconds: int = SECONDS) -> dict[str, Any]:
    done = subprocess.run(
        [*COMMAND, "probe", url, "--seconds", str(seconds), "--json"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def eventually(holds: Callable[[], bool], within_s: float, what: str) -> None:
    deadline = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("query", "codecs"),
    [
        ("movie?audio=opus", ["h264", "opus"]),
        ("movie?video=vp8", ["vp8", "aac"]),
        ("movie?video=vp8&audio=opus", ["vp8", "opus"]),
        ("surround?audio=opus", ["h264", "opus"]),
        ("test?audio=aac", ["h264", "aac"]),
    ],
)
def test_everybody_gets_what_is_asked_for_whole_and_in_sync(
    server: RunningServer, query: str, codecs: list[str]
) -> None:
    report = probe(server.url(query))
    picture, sound = report["tracks"]
    assert [picture["codec"], sound["codec"]] == codecs
    assert picture["size"] == [320, 180]
    assert picture["media_frame_rate"] == pytest.approx(RATE, rel=0.01)
    assert picture["frame_rate"] == pytest.approx(RATE, rel=0.1)
    for track in report["tracks"]:
        assert track["lost"] == track["malformed"] == track["decode_errors"] == 0
        assert track["damaged_frames"] == 0
    assert report["sync"]["n"] >= 2
    assert report["sync"]["p95_ms"] <= 20


def test_a_rendition_is_shown_and_made_only_while_somebody_takes_it(server: RunningServer) -> None:
    assert probe(server.url("test?video=vp8"), 2)["tracks"][0]["codec"] == "vp8"
    stream = server.stream("test")
    (made,) = [each for each in stream["renditions"] if each["track"]["codec"] == "vp8"]
    assert made["made_of"] == "h264"
    assert "H.264 is transcoded to VP8 for those who can't play it." in stream["message"]
    eventually(
        lambda: (
            not any(each["track"]["codec"] == "vp8" for each in server.stream("test")["renditions"])
        ),
        20,
        "the transcoder goes on without viewers",
    )


def test_all_who_need_it_share_one(server: RunningServer) -> None:
    with ThreadPoolExecutor(3) as pool:
        playing = [pool.submit(probe, server.url("movie?audio=opus"), 6) for _ in range(3)]
        eventually(
            lambda: any(each["viewers"] == 3 for each in server.stream("movie")["renditions"]),
            10,
            "the three don't share a rendition",
        )
        opus = [each for each in server.stream("movie")["renditions"] if each["made_of"] == "aac"]
        assert len(opus) == 1
        for each in playing:
            assert each.result()["tracks"][1]["lost"] == 0


def test_a_transcoder_that_dies_comes_back_and_nobody_else_notices(server: RunningServer) -> None:
    with ThreadPoolExecutor(2) as pool:
        converted = pool.submit(probe, server.url("movie?video=vp8"), 8)
        plain = pool.submit(probe, server.url("movie"), 8)
        eventually(lambda: bool(_transcoders(server)), 10, "no transcoder has started")
        eventually(
            lambda: any(
                each["viewers"] and each["track"]["packets"] > 100
                for each in server.stream("movie")["renditions"]
            ),
            10,
            "nothing is made",
        )
        os.kill(_transcoders(server)[0], signal.SIGKILL)
        picture = converted.result()["tracks"][0]
        assert picture["damaged_frames"] == 0
        assert picture["units"] > 4 * RATE
        whole = plain.result()["tracks"]
        assert [track["lost"] for track in whole] == [0, 0]
        assert whole[0]["frame_rate"] == pytest.approx(RATE, rel=0.1)


def test_strangers_play_what_is_made(server: RunningServer) -> None:
    url = server.url("test?video=vp8&audio=aac")
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "csv=p=0", url],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.split() == ["vp8", "aac"]


def test_a_codec_that_nobody_knows_is_refused_in_words(server: RunningServer) -> None:
    done = subprocess.run(
        [*COMMAND, "probe", server.url("movie?video=theora")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "'theora' is no video codec" in done.stderr


def test_where_transcoding_is_off_the_refusal_says_what_would_help(tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text("[transcoding]\nenabled = false\n")
    with serving("test=test:320x180@25", options=("--config", str(settings))) as server:
        done = subprocess.run(
            [*COMMAND, "probe", server.url("test?video=vp8&audio=aac")],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1
        assert "The video is H.264, which the player doesn't take." in done.stderr
        assert "switch transcoding on" in done.stderr


def _transcoders(server: RunningServer) -> list[int]:
    """The processes of the server's that make renditions."""
    children = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").parent.parent
    found = []
    for task in children.glob("*/children"):
        for child in task.read_text().split():
            command = Path(f"/proc/{child}/cmdline").read_bytes()
            if b"streamsocket.transcode.worker" in command:
                found.append(int(child))
    return found
