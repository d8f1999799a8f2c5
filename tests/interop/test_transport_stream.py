"""MPEG transport streams over UDP, sent by FFmpeg and GStreamer, watched by FFmpeg."""

from __future__ import annotations

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from statistics import median

import pytest
from tests.interop import players
from tests.interop.movies import Movie, make
from tests.interop.players import Played
from tests.interop.serving import RunningServer, serving, streamsocket
from tests.interop.sync import sound_minus_picture_s
from tests.interop.witness import MIXED, Witness

SECONDS = 5.0
MOVIE = Movie(Fraction(25), seconds=Fraction(60), b_frames=2)
WITHIN_S = 10.0
"""How long anything may take that should happen at once, on a busy machine."""
RETURN_S = 2.0
"""Viewers get pictures again so soon after a sender sends again."""
RECODED = {
    "h264_aac": ("-c", "copy"),
    "h265_aac": (
        *("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error:keyint=25"),
        *("-c:a", "copy"),
    ),
    "h264_opus": ("-c:v", "copy", "-c:a", "libopus"),
}
"""What the movie becomes before it is sent, by the names of the streams."""
CODECS = {
    "h264_aac": ["h264", "aac"],
    "h265_aac": ["hevc", "aac"],
    "h264_opus": ["h264", "opus"],
    "gstreamer": ["h264", "aac"],
}


def udp_port() -> int:
    """A UDP port that is free at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A sender, until the block ends."""
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def ffmpeg(movie: Path, port: int, *, options: str = "?pkt_size=1316") -> list[str]:
    """FFmpeg, which sends a file at its own pace."""
    to = f"udp://127.0.0.1:{port}{options}"
    return f"ffmpeg -v error -re -i {movie} -map 0 -c copy -f mpegts {to}".split()


def gstreamer(port: int) -> list[str]:
    """GStreamer, which encodes and sends live."""
    return f"""
        gst-launch-1.0 -q
            mpegtsmux name=mux alignment=7 ! udpsink host=127.0.0.1 port={port}
            videotestsrc is-live=true ! video/x-raw,width=320,height=180,framerate=25/1
                ! x264enc tune=zerolatency key-int-max=25 ! h264parse ! queue ! mux.
            audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2
                ! avenc_aac ! aacparse ! queue ! mux.
    """.split()


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The movie in all its codecs."""
    folder = tmp_path_factory.mktemp("transport_streams")
    original = folder / "movie.mp4"
    make(MOVIE, original)
    found = {}
    for name, options in RECODED.items():
        found[name] = folder / f"{name}.mkv"
        command = ["ffmpeg", "-v", "error", "-i", str(original), *options, str(found[name])]
        subprocess.run(command, check=True, timeout=120)
    return found


@dataclass
class Studio:
    """A server, and senders that send to it for as long as the tests run."""

    server: RunningServer
    ports: dict[str, int]


@pytest.fixture(scope="module")
def studio(shelf: dict[str, Path]) -> Iterator[Studio]:
    ports = {name: udp_port() for name in CODECS}
    with ExitStack() as stack:
        stack.enter_context(running(gstreamer(ports["gstreamer"])))
        for name, movie in shelf.items():
            # FFmpeg's own size of datagrams, 1,472 bytes, cuts packets in two.
            options = "" if name == "h264_opus" else "?pkt_size=1316"
            stack.enter_context(running(ffmpeg(movie, ports[name], options=options)))
        sources = [f"{name}=udp://127.0.0.1:{port}" for name, port in ports.items()]
        yield Studio(stack.enter_context(serving(*sources)), ports)


@dataclass
class Watched:
    """What FFmpeg has made of a stream."""

    codecs: list[str]
    played: Played
    recording: Path


@pytest.fixture(scope="module")
def watched(studio: Studio, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Watched]:
    """Every stream, watched at the same time."""
    folder = tmp_path_factory.mktemp("watched")

    def watch(name: str) -> Watched:
        url, recording = studio.server.url(name), folder / f"{name}.mkv"
        players.ffmpeg_record(url, "tcp", SECONDS, recording)
        return Watched(codecs(url), players.ffmpeg(url, "tcp", SECONDS), recording)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(CODECS, pool.map(watch, CODECS), strict=True))


def codecs(url: str) -> list[str]:
    """What FFmpeg says that the tracks are."""
    command = f"ffprobe -v error -rtsp_transport tcp -show_streams -of json {url}".split()
    said = subprocess.run(command, capture_output=True, timeout=20, check=True).stdout
    return [track["codec_name"] for track in json.loads(said)["streams"]]


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


@pytest.mark.parametrize("name", CODECS)
def test_every_picture_and_all_sound_arrive(name: str, watched: dict[str, Watched]) -> None:
    found = watched[name]
    assert found.codecs == CODECS[name]
    assert found.played.frame_rate == pytest.approx(25, rel=0.01)
    assert found.played.pictures >= 24 * SECONDS
    assert found.played.sound_s == pytest.approx(SECONDS, abs=0.6)
    assert not found.played.complaints


@pytest.mark.parametrize("name", RECODED)
def test_sound_and_picture_are_in_sync(name: str, watched: dict[str, Watched]) -> None:
    found = sound_minus_picture_s(watched[name].recording)
    assert len(found) >= 2
    assert abs(median(found)) < 0.025, found


def test_what_is_published_is_told(studio: Studio) -> None:
    stream = studio.server.stream("h265_aac")
    assert stream["state"] == "live"
    assert stream["source"] == f"udp://127.0.0.1:{studio.ports['h265_aac']}"
    assert stream["message"] is None


def test_a_sender_that_stops_may_return_with_whatever_it_has(shelf: dict[str, Path]) -> None:
    port = udp_port()
    first = running(ffmpeg(shelf["h264_aac"], port))
    with ExitStack() as stack:
        sender = stack.enter_context(first)
        server = stack.enter_context(serving(f"cam=udp://127.0.0.1:{port}"))
        witness = stack.enter_context(Witness(server.url("cam"), MIXED))
        video = witness.tracks["video"]
        wait_until(lambda: len(video.arrivals) > 50, "no picture")
        sender.kill()
        wait_until(lambda: "Nothing has come" in server.output(), server.output())
        before = len(video.arrivals)

        begun = time.monotonic()
        with running(ffmpeg(shelf["h264_aac"], port)):
            wait_until(lambda: len(video.arrivals) > before + 50, "no picture any more")
        assert video.arrivals[before] - begun < RETURN_S
        witness_is_undisturbed(witness)

        time.sleep(RETURN_S)  # until the server believes that it has gone
        with running(ffmpeg(shelf["h265_aac"], port)):
            witness.wait_for_end(WITHIN_S)
            server.wait_until_live(["cam"])
            assert codecs(server.url("cam")) == ["hevc", "aac"]


def witness_is_undisturbed(witness: Witness) -> None:
    """Assert that nothing is missing or going back for who watched all the time."""
    for kind, track in witness.tracks.items():
        assert (track.missing, track.disordered, len(track.ssrcs)) == (0, 0, 1), kind
        times = track.packet_times_s
        assert all(later - earlier > -0.2 for earlier, later in pairwise(times))
        # The pause is as long for the player as it was by the clock.
        shown = times[-1] - times[0]
        assert shown == pytest.approx(track.arrivals[-1] - track.arrivals[0], abs=1.5), kind


def test_a_port_that_is_taken_is_told_in_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        done = streamsocket(
            *("serve", f"cam=udp://127.0.0.1:{port}", "--host", "127.0.0.1"),
            *("--rtsp-port", "0", "--http-port", "0", "--udp-port", "0"),
        )
    assert done.returncode == 1
    assert f"UDP port {port} is in use already" in done.stderr
    assert "Traceback" not in done.stderr
