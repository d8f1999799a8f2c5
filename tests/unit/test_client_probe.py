"""Probing a server, good or bad, and how the command tells of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from client_helpers import CAPTURED_AGO_S, INTERVAL_S, FakeServer, refuse
from typer.testing import CliRunner

from streamsocket.cli.main import app
from streamsocket.cli.probe import render
from streamsocket.client import probe as probe_module
from streamsocket.client import session as session_module
from streamsocket.client.measure import TrackMeasure
from streamsocket.client.probe import probe
from streamsocket.client.receiver import Received
from streamsocket.client.report import Report
from streamsocket.media.access_unit import AccessUnit

SECONDS = 0.6


def probed(
    server: FakeServer, prepare: Callable[[FakeServer], None] = lambda _: None, **options: Any
) -> Report:
    async def scenario() -> Report:
        running: AbstractAsyncContextManager[FakeServer] = server.running()
        async with running:
            prepare(server)
            settings = {"seconds": SECONDS, "decode": False, **options}
            return await probe(server.url, **settings)

    return asyncio.run(scenario())


def test_what_arrives_is_measured() -> None:
    report = probed(FakeServer())
    assert report.error is None
    assert report.server == "Fake"
    assert report.sender_reports >= 2
    picture, sound = report.tracks
    assert (picture.kind, picture.codec, picture.size) == ("video", "h264", (352, 288))
    assert (sound.kind, sound.codec, sound.channels) == ("audio", "opus", 2)
    assert (picture.transport, sound.transport) == ("udp", "tcp")
    for track in report.tracks:
        # On a busy machine the loop sends late, but never early.
        assert track.media_frame_rate == pytest.approx(1 / INTERVAL_S, rel=0.001)
        assert track.frame_rate is not None
        assert track.frame_rate < 1.2 / INTERVAL_S
        assert track.lost == track.duplicates == track.malformed == 0
        assert track.latency is not None
        assert track.latency.arrival_ms.p50 == pytest.approx(CAPTURED_AGO_S * 1000, abs=60)
        assert track.latency.decoded_ms is None
        assert track.bitrate_bps is not None
    assert picture.bitrate_bps == pytest.approx(413 * 8 * (picture.frame_rate or 0), rel=0.2)
    reached = report.times
    assert reached.connected_s is not None
    assert reached.described_s is not None
    assert reached.playing_s is not None
    assert reached.first_keyframe_s is not None
    assert 0 <= reached.connected_s <= reached.described_s <= reached.playing_s < SECONDS


def test_a_fallback_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "UDP_PATIENCE_S", 0.2)
    report = probed(FakeServer(udp_is_lost=True))
    assert report.error is None
    assert [track.transport for track in report.tracks] == ["tcp", "tcp"]
    assert report.fallback
    assert report.fallback in report.findings


def test_a_stream_that_sends_nothing_is_an_error() -> None:
    report = probed(FakeServer(sends=False), transport="tcp")
    assert report.error
    assert report.error.endswith("plays, but nothing arrived within 0.6 s.")
    assert "No packet of the picture arrived within 0.6 s." in report.findings


def test_a_refusal_is_an_error() -> None:
    report = probed(FakeServer(answer=refuse("DESCRIBE", 404, "Not Found")))
    assert report.error
    assert report.error.startswith("There is no stream 'live' on 127.0.0.1:")
    assert report.tracks == ()


def after_a_while(action: Callable[[FakeServer], None]) -> Callable[[FakeServer], None]:
    def prepare(server: FakeServer) -> None:
        asyncio.get_running_loop().call_later(SECONDS / 2, action, server)

    return prepare


def test_a_server_that_vanishes_is_an_error_with_figures() -> None:
    def vanish(server: FakeServer) -> None:
        server.connections[0].transport.abort()

    report = probed(FakeServer(), after_a_while(vanish), seconds=20.0)
    assert report.error
    assert report.error.endswith("closed the connection.")
    assert report.findings[0].startswith("The server vanished after 0.")
    assert report.tracks[0].units > 0


def test_a_stream_that_ends_is_no_error() -> None:
    report = probed(
        FakeServer(),
        after_a_while(lambda server: server.connections[0].say_goodbye()),
        seconds=20.0,
    )
    assert report.error is None
    assert report.ended
    assert report.findings[0].startswith("The stream ended after 0.")


def test_the_password_is_in_no_report() -> None:
    async def scenario() -> Report:
        return await probe("rtsp://ada:secret@127.0.0.1:1/live")

    assert "secret" not in json.dumps(asyncio.run(scenario()).to_json())


def test_a_burst_at_the_beginning_does_not_count_as_pace() -> None:
    measure = TrackMeasure(90_000)
    for number in range(50):
        measure.add(Received(0, AccessUnit([b"x"], number * 100, number == 0), 10.0), settled=False)
    for number in range(101):
        unit = AccessUnit([b"x"], 90_000 + number * 3600, number % 50 == 0)
        measure.add(Received(0, unit, 11.0 + number * 0.04), settled=True)
    assert measure.frame_rate == pytest.approx(25)
    assert measure.media_frame_rate == pytest.approx(25)
    assert measure.keyframe_interval_s == pytest.approx(2)
    assert measure.keyframes == 4
    assert not measure.has_b_frames


def test_b_frames_do_not_change_the_pace() -> None:
    measure = TrackMeasure(90_000)
    for number in range(60):
        shown = number + (2, -1, -1)[number % 3]  # P, B, B
        unit = AccessUnit([b"x"], shown * 3600, number == 0)
        measure.add(Received(0, unit, 11.0 + number * 0.04), settled=True)
    assert measure.has_b_frames
    assert measure.media_frame_rate == pytest.approx(25, rel=0.005)


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run `streamsocket probe`, which finds this report."""

    def run(report: Report, *arguments: str) -> Any:
        async def found(url: str, **_: object) -> Report:
            return report

        monkeypatch.setattr(probe_module, "probe", found)
        return CliRunner().invoke(app, ["probe", "rtsp://h/live", *arguments])

    return run


def test_the_table_fits_eighty_columns(invoke: Callable[..., Any]) -> None:
    result = invoke(probed(FakeServer()))
    assert result.exit_code == 0
    assert "Picture" in result.stdout
    assert "352×288" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_json_is_printed(invoke: Callable[..., Any]) -> None:
    report = probed(FakeServer())
    result = invoke(report, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == report.to_json()


def test_a_failed_probe_is_one_sentence_and_status_1(invoke: Callable[..., Any]) -> None:
    result = invoke(Report(url="rtsp://h/live", error="There is no stream 'live' on h:554."))
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == "streamsocket: There is no stream 'live' on h:554.\n"


def test_a_failed_probe_prints_valid_json(invoke: Callable[..., Any]) -> None:
    result = invoke(Report(url="rtsp://h/live", error="Nobody is there."), "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["error"] == "Nobody is there."
    assert result.stderr == "streamsocket: Nobody is there.\n"


def test_a_report_without_any_figure_can_be_shown() -> None:
    render(Report(url="rtsp://h/live"))
