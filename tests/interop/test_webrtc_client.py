"""Our client by WebRTC, against the real server: probe, record, Subscriber and pulled streams."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import pytest
from tests.interop import players
from tests.interop.impaired import CannotImpairError, impaired_network
from tests.interop.nat import SERVER, CannotHideError, nat_network
from tests.interop.ports import free_ports
from tests.interop.serving import COMMAND, RunningServer, serving, streamsocket

import streamsocket as ss
from streamsocket.auth.passwords import hash_password
from streamsocket.client.probe import probe

_AIORTC = Path(__file__).parent / "peers" / "aiortc_whep_server.py"
OPTIONS = ("--webrtc-port", "0")
SMALL = "test=test:320x240@30"
SECONDS = 3.0


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(SMALL, options=OPTIONS) as running:
        yield running


def whep(server: RunningServer, name: str = "test", login: str = "") -> str:
    return f"http://{login}{server.host}:{server.http_port}/{name}/whep"


def probed(
    url: str, *options: str, seconds: float = SECONDS, prefix: list[str] | None = None
) -> dict[str, Any]:
    done = subprocess.run(
        [*(prefix or []), *COMMAND, "probe", url, "--json", "--seconds", str(seconds), *options],
        capture_output=True,
        text=True,
        timeout=40,
    )
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_what_comes_is_measured(server: RunningServer) -> None:
    report = probed(whep(server), seconds=5)
    video, sound = report["tracks"]
    assert (video["codec"], sound["codec"]) == ("h264", "opus")
    assert (video["transport"], sound["transport"]) == ("webrtc", "webrtc")
    assert video["size"] == [320, 240]
    assert video["frame_rate"] == pytest.approx(30, abs=1.5)
    assert video["lost"] == sound["lost"] == 0
    assert video["damaged_frames"] == 0
    assert 0 < video["latency"]["arrival_ms"]["p50"] < 100
    assert 0 < sound["latency"]["arrival_ms"]["p50"] < 100
    assert abs(report["sync"]["p50_ms"]) < 40
    assert report["times"]["first_picture_s"] < 3


def test_the_table_says_how_it_came(server: RunningServer) -> None:
    done = streamsocket("probe", whep(server), "--seconds", "2")
    assert done.returncode == 0, done.stderr
    assert "WebRTC" in done.stdout


def test_frames_come_as_arrays(server: RunningServer) -> None:
    with ss.Subscriber(whep(server), audio=True) as subscriber:
        frame = subscriber.read(timeout=10)
        assert frame.image.shape == (240, 320, 3)
        assert abs(time.time() - frame.capture_time) < 2
        assert subscriber.tracks == {"video": "h264", "audio": "opus"}


def test_it_is_recorded(server: RunningServer, tmp_path: Path) -> None:
    file = tmp_path / "clip.mp4"
    done = streamsocket("record", whep(server), str(file), "--seconds", "3")
    assert done.returncode == 0, done.stderr
    told = subprocess.run(
        ["ffprobe", "-v", "error", "-show_entries", "stream=codec_name", "-of", "json", str(file)],
        capture_output=True,
        check=True,
        timeout=20,
    )
    codecs = {stream["codec_name"] for stream in json.loads(told.stdout)["streams"]}
    assert codecs == {"h264", "opus"}


def test_a_pulled_stream_is_watched_by_others(server: RunningServer) -> None:
    with serving(f"door={whep(server)}", options=OPTIONS) as second:
        played = players.ffmpeg(second.url("door"), "tcp", 6)
        assert played.frame_rate == pytest.approx(30, abs=1.5)
        assert played.sound_s > 4
        assert not played.complaints
        report = probed(whep(second, "door"), seconds=5)
        assert report["tracks"][0]["frame_rate"] == pytest.approx(30, abs=1.5)
        assert abs(report["sync"]["p50_ms"]) < 40
        assert second.stream("door")["viewers"] <= 1


@pytest.mark.slow
def test_a_stream_is_pulled_while_somebody_watches(server: RunningServer, tmp_path: Path) -> None:
    config = tmp_path / "server.toml"
    config.write_text(f'[streams.door]\nsource = "{whep(server)}"\non_demand = true\n')
    with serving(options=(*OPTIONS, "--config", str(config)), wait_for=()) as second:
        assert second.stream("door")["state"] == "waiting"
        assert probed(second.url("door"))["tracks"][0]["decoded"] > 30


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    config = tmp_path_factory.mktemp("guarded") / "server.toml"
    config.write_text(f'[users.anna]\npassword = "{hash_password("secret")}"\nwatch = ["*"]\n')
    with serving(SMALL, options=(*OPTIONS, "--config", str(config))) as running:
        yield running


def test_a_password_lets_in(guarded: RunningServer) -> None:
    assert probed(whep(guarded, login="anna:secret@"))["tracks"]
    source = f"door={whep(guarded, login='anna:secret@')}"
    with serving(source, options=OPTIONS) as second:
        assert "secret" not in second.get("/api/streams").decode()


@pytest.mark.parametrize(
    ("login", "sentence"),
    [("", "asks for a user and a password"), ("anna:mistaken@", "does not accept this login")],
)
def test_a_wrong_password_is_told(guarded: RunningServer, login: str, sentence: str) -> None:
    done = streamsocket("probe", whep(guarded, login=login))
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "mistaken" not in done.stderr
    with pytest.raises(ss.ConnectError, match=sentence):
        ss.Subscriber(whep(guarded, login=login)).__enter__()


def test_mistakes_are_told(server: RunningServer) -> None:
    host = f"http://{server.host}:{server.http_port}"
    for url, sentence in {
        whep(server, "hall"): "There is no stream 'hall'",
        f"{host}/test": "is it the address of a stream for WebRTC",
        f"{host}/": "is it the address of a stream for WebRTC",
        f"http://{server.host}:{server.rtsp_port}/test/whep": "does not speak HTTP",
        f"https://{server.host}:{server.http_port}/test/whep": "does not speak TLS",
        "http://127.0.0.1:9/test/whep": "refuses the connection",
    }.items():
        error = asyncio.run(probe(url, timeout_s=5)).error
        assert error
        assert sentence in error, url
    done = streamsocket("probe", whep(server), "--transport", "tcp")
    assert "WebRTC comes over UDP" in done.stderr
    done = streamsocket("serve", f"door={host}/test")
    assert "ends in /whep" in " ".join(done.stderr.split())


def test_a_stun_server_that_is_silent_costs_little_time(server: RunningServer) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        spec = f"stun:127.0.0.1:{silent.getsockname()[1]}"
        report = probed(whep(server), "--ice-server", spec)
        assert 1.5 < report["times"]["playing_s"] < 4


def test_an_ice_server_that_is_none_is_told(server: RunningServer) -> None:
    done = streamsocket("probe", whep(server), "--ice-server", "turn:anna:secret@")
    assert done.returncode == 1
    assert "turn:USER:PASSWORD@HOST:PORT" in " ".join(done.stderr.split())
    assert "secret" not in done.stderr


@contextmanager
def server_at(rtsp_port: int, http_port: int) -> Iterator[None]:
    """A server that is killed at the end."""
    command = [*COMMAND, "serve", SMALL, *OPTIONS]
    command += ["--rtsp-port", str(rtsp_port), "--http-port", str(http_port)]
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            with suppress(OSError):
                url = f"http://127.0.0.1:{http_port}/api/streams"
                states = json.loads(urllib.request.urlopen(url, timeout=5).read())
                if [each["state"] for each in states] == ["live"]:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_is_found_again() -> None:
    rtsp_port, http_port, _ = free_ports()
    url = f"http://127.0.0.1:{http_port}/test/whep"
    states: list[str] = []

    def note(change: ss.StateChange) -> None:
        states.append(change.state)

    with ExitStack() as stack:
        with server_at(rtsp_port, http_port):
            subscriber = stack.enter_context(ss.Subscriber(url, timeout=2, on_state=note))
            before = subscriber.read(timeout=10)
        until(lambda: states[-1] == "lost")
        with server_at(rtsp_port, http_port):
            until(lambda: states[-1] == "live")
            until(lambda: subscriber.read(timeout=10).capture_time > before.capture_time + 2)


def until(met: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("codec", ["VP8", pytest.param("H264", marks=pytest.mark.slow), None])
def test_a_strangers_server_is_watched(codec: str | None) -> None:
    """aiortc is no ICE-lite agent, begins the handshake, and may answer with several formats."""
    command = [sys.executable, str(_AIORTC), *([codec] if codec else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            url = process.stdout.readline().strip()
            video, sound = probed(url, "--timeout", "20")["tracks"]
            assert process.wait(20) == 0  # it was told that we have left
        finally:
            process.kill()
    assert (video["codec"], sound["codec"]) == ((codec or "h264").lower(), "opus")
    assert video["size"] == [320, 240]
    assert video["lost"] == sound["lost"] == video["damaged_frames"] == 0
    assert video["decoded"] > 10
    assert sound["decoded"] > 10


@pytest.mark.slow
def test_losses_are_repaired(cannot_test: Callable[[str], NoReturn]) -> None:
    try:
        with (
            impaired_network(
                delay_s=0.03, jitter_s=0.01, loss=0.03, loss_protocols=("udp",), seed=5
            ) as network,
            serving(
                "test=test:1280x720@30",
                options=OPTIONS,
                host=network.addresses["a"],
                prefix=network.prefix("a"),
            ) as running,
        ):
            report = probed(whep(running), prefix=network.prefix("b"))
    except CannotImpairError as refusal:
        cannot_test(f"a network that loses datagrams, as it can't be made here ({refusal})")
    video = report["tracks"][0]
    assert video["repaired"] > 0.01 * video["packets"]
    assert video["lost"] <= 0.002 * video["packets"]
    assert video["intact_units"] >= 0.85 * video["units"]


@pytest.mark.slow
def test_a_router_that_hides_us_is_passed(cannot_test: Callable[[str], NoReturn]) -> None:
    try:
        with (
            nat_network() as network,
            serving(
                SMALL, options=OPTIONS, host=SERVER, prefix=network.prefix(network.server)
            ) as running,
        ):
            report = probed(whep(running), prefix=network.prefix(network.client))
    except CannotHideError as refusal:
        cannot_test(f"a network behind a router, as it can't be made here ({refusal})")
    video, sound = report["tracks"]
    assert video["frame_rate"] == pytest.approx(30, abs=2)
    assert video["lost"] == sound["lost"] == 0


def test_the_server_loads_nothing_for_it_until_it_is_asked() -> None:
    """A server that pulls nothing has no use for HTTP's and ICE's clients."""
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys, streamsocket.server, streamsocket.cli.main;"
            "print(sorted({'httpx', 'aioice', 'av', 'numpy'} & set(sys.modules)))",
        ],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.stdout.strip() == "[]", done.stderr
