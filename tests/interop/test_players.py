"""Players that others wrote play what we serve: picture and sound, over UDP and TCP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.interop import players
from tests.interop.movies import MovieShelf
from tests.interop.players import Played, Protocol
from tests.interop.raw_rtsp import RawRtsp
from tests.interop.serving import RunningServer, serving
from tests.interop.sync import sound_minus_picture_s

STREAMS = ("pal", "opus")
"""H.264 with AAC, and with Opus; 25 pictures a second."""

PROTOCOLS: tuple[Protocol, ...] = ("udp", "tcp")
SECONDS = 5.0
LONGEST_GOP = 25
"""Pictures that are older than the viewer, and that he gets nevertheless."""
AT_ONCE = 4
"""So many players run at the same time: more would be a test of this machine."""

Results = dict[tuple[str, str, str], Future[Any]]


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(*(f"{name}={movies[name]}" for name in STREAMS)) as running:
        yield running


@pytest.fixture(scope="module")
def results(server: RunningServer, tmp_path_factory: pytest.TempPathFactory) -> Results:
    """What every player has played of every stream over every transport."""
    folder = tmp_path_factory.mktemp("played")
    for each in (folder, *folder.parents[:2]):
        each.chmod(0o755)  # VLC runs as another user

    def vlc(url: str, protocol: Protocol, seconds: float) -> Played | None:
        pictures = folder / f"vlc-{url.rpartition('/')[2]}-{protocol}"
        return players.vlc(url, protocol, seconds, pictures) if players.vlc_has_rtsp() else None

    def recorded(url: str, protocol: Protocol, seconds: float) -> Path:
        path = folder / f"{url.rpartition('/')[2]}-{protocol}.mkv"
        players.ffmpeg_record(url, protocol, seconds, path)
        return path

    runs: dict[str, Callable[[str, Protocol, float], object]] = {
        "ffmpeg": players.ffmpeg,
        "gstreamer": players.gstreamer,
        "opencv": players.opencv,
        "vlc": vlc,
        "recorded": recorded,
    }
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {
            (player, stream, protocol): pool.submit(run, server.url(stream), protocol, SECONDS)
            for player, run in runs.items()
            for stream in STREAMS
            for protocol in PROTOCOLS
        }


@pytest.fixture(params=STREAMS)
def stream(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_ffmpeg_plays_every_picture_and_all_sound(
    results: Results, stream: str, protocol: str
) -> None:
    played: Played = results["ffmpeg", stream, protocol].result()
    assert played.frame_rate == pytest.approx(25, rel=0.01)
    assert played.pictures >= 24 * SECONDS
    assert played.sound_s == pytest.approx(SECONDS, abs=0.5)
    assert not played.complaints


def test_gstreamer_plays_picture_and_sound(results: Results, stream: str, protocol: str) -> None:
    played: Played = results["gstreamer", stream, protocol].result()
    # No frame rate: without a DTS, its decoders give some pictures their neighbours' timestamps.
    assert 24 * (SECONDS - 1) <= played.pictures <= 25 * (SECONDS + 2) + LONGEST_GOP
    assert played.sound_s == pytest.approx(SECONDS, abs=1)
    assert "ERROR" not in played.complaints


def test_opencv_reads_every_picture(results: Results, stream: str, protocol: str) -> None:
    played: Played = results["opencv", stream, protocol].result()
    assert played.frame_rate == pytest.approx(25, rel=0.01)
    assert played.pictures >= 24 * SECONDS


def test_vlc_plays_picture_and_sound(
    results: Results, stream: str, protocol: str, cannot_test: Callable[[str], NoReturn]
) -> None:
    played: Played | None = results["vlc", stream, protocol].result()
    if played is None:
        cannot_test("VLC, as this one was built without RTSP (live555), like all of Debian's")
    assert played.pictures >= 20 * (SECONDS - 1)
    assert played.sound_s == pytest.approx(SECONDS, abs=1.5)


def test_the_beep_begins_with_the_flash(results: Results, stream: str, protocol: str) -> None:
    offsets = sound_minus_picture_s(results["recorded", stream, protocol].result())
    assert len(offsets) >= 2
    assert all(abs(offset) <= 0.02 for offset in offsets), offsets


@pytest.mark.parametrize("transport", ["mixed", "auto"])
def test_our_own_probe_takes_the_picture_over_udp_and_the_sound_over_tcp(
    server: RunningServer, transport: str
) -> None:
    report = players.probe(server.url("pal"), transport, 3)
    tracks = {track["kind"]: track for track in report["tracks"]}
    assert tracks["video"]["transport"] == "udp"
    assert tracks["audio"]["transport"] == "tcp"
    assert tracks["video"]["lost"] == tracks["audio"]["lost"] == 0


def test_a_player_built_on_live555_is_understood(server: RunningServer) -> None:
    """The requests of VLC 3, with its headers: Debian's own cannot be asked."""
    agent = {"User-Agent": "LibVLC/3.0.18 (LIVE555 Streaming Media v2016.11.28)"}
    with RawRtsp(server.url("pal")) as rtsp:
        assert rtsp.ask("OPTIONS", **agent).status == 200
        assert rtsp.describe().status == 200
        for index, media in enumerate(rtsp.medias):
            transport = f"RTP/AVP/TCP;unicast;interleaved={2 * index}-{2 * index + 1}"
            assert rtsp.setup(media, transport).status == 200
        answer = rtsp.ask("PLAY", Range="npt=0.000-", **agent)
        assert answer.status == 200
        assert answer.headers["range"].startswith("npt=")
        assert answer.headers["rtp-info"].count("seq=") == len(rtsp.medias)
