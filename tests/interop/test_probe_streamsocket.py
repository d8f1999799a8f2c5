"""`streamsocket probe` of `streamsocket serve`, as users run both."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from serving import COMMAND, RunningServer, serving

SECONDS = 4


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving("test=test:640x360@25") as running:
        yield running


def probe(url: str, *options: str) -> tuple[int, str, str]:
    """Run it; returns the exit code, stdout and stderr."""
    done = subprocess.run(
        [*COMMAND, "probe", url, "--seconds", str(SECONDS), *options],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    ("transport", "expected"),
    [("auto", ["udp", "tcp"]), ("udp", ["udp", "udp"]), ("tcp", ["tcp", "tcp"])],
)
def test_the_test_source_arrives_whole_and_in_sync(
    server: RunningServer, transport: str, expected: list[str]
) -> None:
    code, out, error = probe(server.url("test"), "--json", "--transport", transport)
    assert (code, error) == (0, "")
    report: dict[str, Any] = json.loads(out)
    assert [track["transport"] for track in report["tracks"]] == expected
    assert report["fallback"] is None
    picture, sound = report["tracks"]
    assert picture["size"] == [640, 360]
    assert picture["media_frame_rate"] == pytest.approx(25, rel=0.001)
    assert picture["frame_rate"] == pytest.approx(25, rel=0.05)
    assert sound["codec"] == "opus"
    for track in report["tracks"]:
        assert track["lost"] == track["malformed"] == track["decode_errors"] == 0
        assert track["damaged_frames"] == 0
        assert 0 <= track["latency"]["arrival_ms"]["p50"] < 200
    assert report["sync"]["n"] >= 2
    assert report["sync"]["p95_ms"] <= 20


def test_the_table_is_for_people(server: RunningServer) -> None:
    code, out, error = probe(server.url("test"))
    assert (code, error) == (0, "")
    for words in ("Picture", "Sound", "640×360", "sound − picture", "connected after"):
        assert words in out


def test_an_unknown_stream_is_named(server: RunningServer) -> None:
    assert probe(server.url("nothing")) == (
        1,
        "",
        f"streamsocket: There is no stream 'nothing' on 127.0.0.1:{server.rtsp_port}.\n",
    )


def test_the_wrong_port_is_recognised(server: RunningServer) -> None:
    code, out, error = probe(f"rtsp://127.0.0.1:{server.http_port}/test")
    assert (code, out) == (1, "")
    assert "does not speak RTSP: is it the right port?" in error
    assert error.count("\n") == 1
