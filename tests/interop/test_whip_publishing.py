"""Published by WebRTC on the real server, from the command line and from arrays; bad endings."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
from tests.interop import players
from tests.interop.impaired import ADDRESSES, CannotImpairError, impaired_network
from tests.interop.movies import Movie, make
from tests.interop.ports import free_ports
from tests.interop.serving import COMMAND, RunningServer, serving, streamsocket
from tests.interop.sync import sound_minus_picture_s
from tests.interop.test_publisher import number_of, numbered, until_state
from tests.interop.test_publisher import publishing as publishing_arrays

import streamsocket as ss
from streamsocket.auth.passwords import hash_password

OPTIONS = ("--webrtc-port", "0", "--rtmp-port", "0")
SECONDS = 4.0
LIVE_S = 20.0

_AIORTC = Path(__file__).parent / "peers" / "aiortc_whip_server.py"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(wait_for=(), options=OPTIONS) as running:
        yield running


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """H.264 with B-frames and AAC: nothing of it as WebRTC wants it."""
    path = tmp_path_factory.mktemp("whip_publishing") / "movie.mp4"
    make(Movie(Fraction(25), b_frames=2, seconds=Fraction(30)), path)
    return path


def whip(server: RunningServer, name: str, login: str = "") -> str:
    return f"http://{login}{server.host}:{server.http_port}/{name}/whip"


class Publishing:
    """`streamsocket publish` or `forward`, and what it says."""

    def __init__(self, process: subprocess.Popen[str], log: Path) -> None:
        self.process = process
        self._log = log

    def said(self) -> str:
        return self._log.read_text()

    def wait_for(self, sentence: str) -> None:
        deadline = time.monotonic() + LIVE_S
        while not re.search(sentence, self.said()):
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.05)


@contextmanager
def publishing(
    folder: Path, *arguments: str, verb: str = "publish", prefix: tuple[str, ...] = ()
) -> Iterator[Publishing]:
    """Publish until the block ends, which is to be an orderly end."""
    log = folder / "said"
    with log.open("w") as output:
        process = subprocess.Popen(
            [*prefix, *COMMAND, verb, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    under_test = Publishing(process, log)
    try:
        yield under_test
        process.send_signal(signal.SIGINT)
        assert process.wait(5) == 0, under_test.said()
        assert "Traceback" not in under_test.said()
    finally:
        process.kill()
        process.wait()


def wait_for_state(server: RunningServer, name: str, state: str | None) -> None:
    """None: it is not there."""
    deadline = time.monotonic() + LIVE_S
    while True:
        streams: list[dict[str, Any]] = json.loads(server.get("/api/streams"))
        states = {stream["name"]: stream["state"] for stream in streams}
        if states.get(name) == state:
            return
        assert time.monotonic() < deadline, f"{states}\n{server.output()}"
        time.sleep(0.05)


def tracks_of(report: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    picture, sound = report["tracks"]
    for track in report["tracks"]:
        assert track["lost"] == track["malformed"] == track["decode_errors"] == 0, track
        assert track["damaged_frames"] == 0
    return picture, sound


def test_what_is_published_arrives_whole_and_in_sync(server: RunningServer, tmp_path: Path) -> None:
    with publishing(tmp_path, "test:640x360@30", whip(server, "test")) as publisher:
        wait_for_state(server, "test", "live")
        report = players.probe(server.url("test"), "auto", SECONDS)
        picture, sound = tracks_of(report)
        assert (picture["codec"], sound["codec"]) == ("h264", "opus")
        assert picture["media_frame_rate"] == pytest.approx(30, rel=0.01)
        assert picture["frame_rate"] > 0.8 * 30
        assert picture["latency"]["clock"] == "sender_report"
        assert picture["latency"]["arrival_ms"]["p50"] < 100
        assert report["sync"]["p95_ms"] <= 20
        recording = tmp_path / "recorded.mkv"
        players.ffmpeg_record(server.url("test"), "tcp", SECONDS, recording)
        differences = sound_minus_picture_s(recording)
        assert len(differences) >= 2
        assert max(map(abs, differences)) < 0.045
        assert "live, H.264 640x360, Opus 48 kHz stereo" in publisher.said()
    wait_for_state(server, "test", None)


@pytest.mark.slow
def test_a_movie_becomes_what_webrtc_carries(
    server: RunningServer, movie: Path, tmp_path: Path
) -> None:
    with publishing(tmp_path, str(movie), whip(server, "movie")) as publisher:
        wait_for_state(server, "movie", "live")
        report = players.probe(server.url("movie"), "tcp", SECONDS)
        picture, sound = tracks_of(report)
        assert (picture["codec"], sound["codec"]) == ("h264", "opus")
        assert picture["b_frames"] is False
        assert picture["media_frame_rate"] == pytest.approx(25, rel=0.01)
        assert report["sync"]["p95_ms"] <= 45
        assert "The sound is transcoded to Opus" in publisher.said()


@pytest.mark.slow
def test_a_stream_of_another_server_is_forwarded(
    server: RunningServer, movie: Path, tmp_path: Path
) -> None:
    """From a server that knows nothing of WebRTC, as from a camera."""
    with serving(f"cam={movie}", options=OPTIONS) as camera:
        url = camera.url("cam")
        with publishing(tmp_path, url, whip(server, "forwarded"), verb="forward"):
            wait_for_state(server, "forwarded", "live")
            picture, sound = tracks_of(players.probe(server.url("forwarded"), "tcp", SECONDS))
            assert (picture["codec"], sound["codec"]) == ("h264", "opus")
            assert picture["media_frame_rate"] == pytest.approx(25, rel=0.01)


@pytest.mark.slow
def test_a_server_forwards_what_it_has(server: RunningServer, movie: Path, tmp_path: Path) -> None:
    settings = tmp_path / "streamsocket.toml"
    url = whip(server, "from/{name}")
    settings.write_text(f'[[forward]]\nstreams = "cam"\nurl = "{url}"\n')
    with serving(f"cam={movie}", options=[*OPTIONS, "--config", str(settings)]):
        wait_for_state(server, "from/cam", "live")
        picture, sound = tracks_of(players.probe(server.url("from/cam"), "tcp", SECONDS))
        assert (picture["codec"], sound["codec"]) == ("h264", "opus")
    wait_for_state(server, "from/cam", None)


@pytest.mark.slow
def test_what_the_network_loses_is_sent_again(
    cannot_test: Callable[[str], NoReturn], tmp_path: Path
) -> None:
    settings = tmp_path / "streamsocket.toml"
    settings.write_text('[users.any]\npublish = ["*"]\nwatch = ["*"]\n')
    try:
        with (
            impaired_network(delay_s=0.02, loss=0.03, loss_protocols=("udp",), seed=7) as network,
            serving(
                wait_for=(),
                options=[*OPTIONS, "--config", str(settings)],
                host=ADDRESSES["b"],
                prefix=network.prefix("b"),
            ) as server,
        ):
            url = whip(server, "lossy")
            prefix = tuple(network.prefix("a"))
            with publishing(tmp_path, "test:640x360@30", url, prefix=prefix):
                wait_for_state(server, "lossy", "live")
                probe = [*COMMAND, "probe", server.url("lossy"), "--json", "--seconds", "6"]
                done = subprocess.run(
                    [*network.prefix("b"), *probe, "--transport", "tcp"],
                    capture_output=True,
                    text=True,
                    timeout=40,
                )
                picture, _ = json.loads(done.stdout)["tracks"]
                assert picture["frame_rate"] > 0.8 * 30
                # A repair may be lost, too: what refers to it is damaged up to the next keyframe.
                assert picture["intact_units"] > 0.7 * picture["units"]
                assert network.counts()["a"].lost > 20
    except CannotImpairError as error:
        cannot_test(f"a network that loses datagrams ({error})")


@pytest.mark.slow
def test_it_comes_back_when_its_server_does(tmp_path: Path) -> None:
    with serving(wait_for=(), options=OPTIONS) as first:
        url = whip(first, "cam")
        with publishing(tmp_path, "test:320x180@25", url) as publisher:
            wait_for_state(first, "cam", "live")
            first.stop()
            publisher.wait_for("ended the session|refuses the connection")
            ports = ("--rtsp-port", str(first.rtsp_port), "--http-port", str(first.http_port))
            with _again(first, ports):
                wait_for_state(first, "cam", "live")
                picture, _ = players.probe(first.url("cam"), "tcp", 2)["tracks"]
                assert picture["frame_rate"] > 0.8 * 25


@contextmanager
def _again(first: RunningServer, ports: tuple[str, ...]) -> Iterator[None]:
    command = [*COMMAND, "serve", *OPTIONS, *ports, "--udp-port", str(free_ports()[2])]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as second:
        process, first.process = first.process, second  # type: ignore[assignment]
        try:
            first.wait_until_live([])
            yield
        finally:
            second.send_signal(signal.SIGINT)
            first.process = process
            second.wait(10)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    """A server where only ann may publish."""
    settings = tmp_path_factory.mktemp("guarded") / "streamsocket.toml"
    settings.write_text(
        f'[users.ann]\npassword = "{hash_password("s3cret")}"\npublish = ["*"]\n'
        '[users.any]\nwatch = ["*"]\n'
    )
    with serving(
        wait_for=(), options=[*OPTIONS, "--config", str(settings)], host="0.0.0.0"
    ) as running:
        running.host = "127.0.0.1"
        yield running


@pytest.mark.parametrize(
    ("login", "complaint"),
    [("", "asks for a user and a password"), ("ann:wr0ng@", "does not accept this")],
)
def test_who_may_not_publish_is_told(guarded: RunningServer, login: str, complaint: str) -> None:
    done = streamsocket("publish", "test", whip(guarded, "cam", login))
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1
    assert "wr0ng" not in done.stdout + done.stderr


def test_with_the_right_password_it_is_published_and_the_password_not_shown(
    guarded: RunningServer, tmp_path: Path
) -> None:
    with publishing(tmp_path, "test", whip(guarded, "cam", "ann:s3cret@")) as publisher:
        wait_for_state(guarded, "cam", "live")
        publisher.wait_for("live, H.264")
        assert "s3cret" not in publisher.said()
        done = streamsocket("publish", "test", whip(guarded, "cam", "ann:s3cret@"))
        assert done.returncode == 1
        assert "'cam'" in done.stderr
        assert "s3cret" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("test", "http://127.0.0.1:9/cam"), "has to end with /whip"),
        (("test", "http://127.0.0.1:9/cam/whip"), "refuses the connection"),
        (("test", "http://127.0.0.1:9/cam/whip", "--codec", "aac"), "doesn't carry AAC"),
        (("test", "http://127.0.0.1:9/cam/whip", "--codec", "mjpeg"), "doesn't carry Motion JPEG"),
    ],
)
def test_what_cannot_be_meant_is_told_in_a_sentence(
    arguments: tuple[str, ...], complaint: str
) -> None:
    done = streamsocket("publish", *arguments)
    assert done.returncode == 1
    assert complaint in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("codec", ["h264+opus", pytest.param("vp8+pcma", marks=pytest.mark.slow)])
def test_aiortc_takes_what_we_publish(codec: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "ignore", str(_AIORTC), "3"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout
        try:
            url = server.stdout.readline().strip()
            with publishing(tmp_path, "test:320x180@25", url, "--codec", codec):
                came = json.loads(server.stdout.readline())
            assert server.wait(15) == 0, "nobody has said goodbye"
        finally:
            server.kill()
    picture, sound = came["video"], came["audio"]
    assert came["size"] == [320, 180]
    assert len(picture) > 2 * 25
    assert (len(picture) - 1) / (picture[-1] - picture[0]) == pytest.approx(25, rel=0.05)
    assert sound[-1] - sound[0] > 2


# Arrays.


@pytest.mark.parametrize(
    "codec", ["h264", *(pytest.param(c, marks=pytest.mark.slow) for c in ("vp8", "h265"))]
)
def test_arrays_in_and_out_with_their_times_of_capture(server: RunningServer, codec: str) -> None:
    name = f"arrays/{codec}"
    options: dict[str, Any] = {"fps": 30, "codec": codec, "audio": True}
    with ss.Publisher(whip(server, name), **options) as publisher:
        publisher.write(numbered(0))
        _in_and_out(publisher, server.url(name))
    wait_for_state(server, name, None)


def _in_and_out(publisher: ss.Publisher, url: str) -> None:
    written: dict[int, float] = {}
    with ss.Subscriber(url) as subscriber:
        errors, delays = [], []
        for number in range(1, 90):
            captured = time.time()
            written[number] = captured
            publisher.write(numbered(number), captured, block=True)
            publisher.write_audio(np.zeros((1600, 2), np.float32))
            if number < 30:
                continue
            frame = subscriber.read(10)
            if (seen := number_of(frame.image)) in written:
                errors.append(abs(frame.capture_time - written[seen]))
                delays.append(time.time() - written[seen])
        assert len(errors) > 40
        assert np.median(errors) < 0.005
        assert np.median(delays) < 0.15


@pytest.mark.slow
def test_a_publisher_outlives_its_server() -> None:
    with serving(wait_for=(), options=OPTIONS) as first:
        url = whip(first, "cam")
        with publishing_arrays(url) as publisher:
            wait_for_state(first, "cam", "live")
            first.stop()
            until_state(publisher, "lost")
            ports = ("--rtsp-port", str(first.rtsp_port), "--http-port", str(first.http_port))
            with _again(first, ports):
                until_state(publisher, "live")
                with ss.Subscriber(first.url("cam")) as subscriber:
                    assert number_of(subscriber.read(10).image) > 0
