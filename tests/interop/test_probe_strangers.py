"""`streamsocket probe` of a server that is not ours: gst-rtsp-server."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

from streamsocket.client.probe import probe
from streamsocket.client.report import Report
from streamsocket.client.session import TransportWish

PYTHON = "/usr/bin/python3"
"""The system's, which has gi."""
SCRIPT = Path(__file__).parent / "peers" / "gst_server.py"
SECONDS = 2.0


@pytest.fixture(scope="module", autouse=True)
def gst_is_there(cannot_test: Callable[[str], NoReturn]) -> None:
    imports = "import gi; gi.require_version('GstRtspServer', '1.0')"
    if subprocess.run([PYTHON, "-c", imports], capture_output=True, check=False).returncode:
        cannot_test("gst-rtsp-server as a stranger, as its Python bindings are not installed")


@contextmanager
def gst_server(**options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Run it while the block lasts; yields the stream's URL and the process."""
    arguments = [f"--{name}={value}" for name, value in options.items()]
    with subprocess.Popen(
        [PYTHON, str(SCRIPT), *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout
        try:
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def probed(url: str, transport: TransportWish = "auto") -> Report:
    return asyncio.run(probe(url, seconds=SECONDS, transport=transport))


def assert_plays(report: Report) -> None:
    assert report.error is None, report.findings
    picture, sound = report.tracks
    assert picture.size == (320, 240)
    assert picture.declared_frame_rate == 25
    assert picture.frame_rate == pytest.approx(25, rel=0.1)
    assert picture.media_frame_rate == pytest.approx(25, rel=0.01)
    assert picture.keyframes >= 2
    assert (sound.sample_rate, sound.channels) == (48_000, 2)
    for track in report.tracks:
        assert track.lost == 0
        assert track.decoded >= track.units - 1 > 0
        assert track.decode_errors == track.damaged_frames == 0
    times = report.times
    assert times.connected_s is not None
    assert times.first_picture_s is not None
    assert times.connected_s < times.first_picture_s < SECONDS + 2
    assert report.server == "GStreamer RTSP server"


@pytest.mark.parametrize("audio", ["aac", "opus"])
def test_picture_over_udp_and_sound_over_tcp(audio: str) -> None:
    with gst_server(audio=audio) as (url, _):
        report = probed(url)
    assert_plays(report)
    assert [track.codec for track in report.tracks] == ["h264", audio]
    assert [track.transport for track in report.tracks] == ["udp", "tcp"]
    assert report.fallback is None


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_h265(transport: TransportWish) -> None:
    with gst_server(video="h265") as (url, _):
        report = probed(url, transport)
    assert_plays(report)
    assert report.tracks[0].codec == "h265"
    assert report.tracks[0].profile == "Main"


@pytest.mark.parametrize(("protocols", "other"), [("tcp", "udp"), ("udp", "tcp")])
def test_what_the_server_refuses_is_not_insisted_on(
    protocols: TransportWish, other: TransportWish
) -> None:
    with gst_server(protocols=protocols) as (url, _):
        report = probed(url)
        assert_plays(report)
        assert {track.transport for track in report.tracks} == {protocols}
        assert report.fallback
        assert report.fallback in report.findings
        refused = probed(url, other)
    assert refused.error
    assert f"over {other.upper()} (461 " in refused.error


def test_a_picture_of_another_codec_is_named_and_the_sound_is_played() -> None:
    with gst_server(video="mpeg4") as (url, _):
        report = probed(url)
    assert report.error is None
    assert [track.played for track in report.tracks] == [True, False]
    assert any("MP4V-ES" in sentence for sentence in report.findings)


def test_a_server_that_is_killed_has_vanished() -> None:
    async def scenario(url: str, process: subprocess.Popen[str]) -> Report:
        asyncio.get_running_loop().call_later(SECONDS, process.kill)
        return await probe(url, seconds=60)

    with gst_server() as (url, process):
        report = asyncio.run(scenario(url, process))
    assert report.error
    assert report.error.endswith("closed the connection.")
    assert report.findings[0].startswith("The server vanished after ")
    assert report.tracks[0].units > 10
