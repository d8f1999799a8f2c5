"""The command line around the server: options, exit codes, signals. The server is a fake."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import types
from pathlib import Path
from typing import ClassVar

import pytest
from status_helpers import live_stream, server_status
from typer.testing import CliRunner, Result

from streamsocket.cli import serve
from streamsocket.cli.main import app
from streamsocket.errors import SourceError, StreamSocketError
from streamsocket.settings import Settings
from streamsocket.status import Ports, ServerStatus
from streamsocket.version import __version__


class FakeServer:
    """Ends at once, unless a test makes it do something else."""

    ports = Ports(8554, 8080)
    notices: ClassVar[list[str]] = []
    failure: StreamSocketError | None = None
    made: FakeServer

    def __init__(self, settings: Settings) -> None:
        FakeServer.made = self
        self.settings = settings
        self.stopped = 0
        self.ended = threading.Event()

    def start(self) -> None:
        self.ended.set()

    def stop(self) -> None:
        self.stopped += 1

    def status(self) -> ServerStatus:
        return server_status(live_stream())


@pytest.fixture(autouse=True)
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[FakeServer]:
    """Put a subclass, which a test may change, in the place of the server."""
    fake = type("Fake", (FakeServer,), {})
    module = types.ModuleType("streamsocket.server")
    module.Server = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "streamsocket.server", module)
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("STREAMSOCKET_")]:
        monkeypatch.delenv(name)
    (tmp_path / "movie.mp4").touch()
    return fake


@pytest.fixture(autouse=True)
def _switch_interval() -> object:
    before = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_options_become_settings() -> None:
    ports = ["--rtsp-port=1", "--http-port=2", "--webrtc-port=3", "--udp-port=4"]
    result = call("serve", "movie.mp4", "yard=test:640x360", "--host=::1", *ports)
    assert result.exit_code == 0, result.output
    settings = FakeServer.made.settings
    assert settings.host == "::1"
    assert (settings.rtsp.port, settings.http.port, settings.webrtc.port) == (1, 2, 3)
    assert settings.rtsp.udp_port == 4
    assert {name: stream.source for name, stream in settings.streams.items()} == {
        "movie": "movie.mp4",
        "yard": "test:640x360@30",
    }


@pytest.mark.parametrize(
    ("options", "loop"),
    [([], (True, False)), (["--loop"], (True, True)), (["--once"], (False,) * 2)],
)
def test_once_and_loop_hold_for_the_streams_of_the_file_too(
    options: list[str], loop: tuple[bool, bool]
) -> None:
    Path("streamsocket.toml").write_text("[streams.yard]\nsource = 'test'\nloop = false\n")
    assert call("serve", "movie.mp4", *options).exit_code == 0
    streams = FakeServer.made.settings.streams
    assert (streams["movie"].loop, streams["yard"].loop) == loop


def test_the_environment_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STREAMSOCKET_RTSP__PORT", "99")
    assert call("serve").exit_code == 0
    assert FakeServer.made.settings.rtsp.port == 99


def test_a_server_that_ends_by_itself_is_stopped_and_all_is_well() -> None:
    result = call("serve", "movie.mp4", "--once")
    assert result.exit_code == 0
    assert FakeServer.made.stopped == 1
    assert "movie: rtsp://127.0.0.1:8554/movie" in result.stdout


def test_a_server_without_streams_says_so() -> None:
    assert "There is nothing to watch" in call("serve").stdout


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gone.mp4"], "There is no file 'gone.mp4'"),
        (["movie.mp4", "./movie.mp4"], "Two sources are called 'movie', movie.mp4 and ./movie.mp4"),
        (["--rtsp-port", "70000"], "--rtsp-port should be less than or equal to 65535"),
        (["--config", "gone.toml"], "The settings file gone.toml cannot be read"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments: list[str], sentence: str) -> None:
    result = call("serve", *arguments)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"streamsocket: {sentence}")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_source_that_cannot_be_opened_ends_the_command(server: type[FakeServer]) -> None:
    server.failure = SourceError("'movie.mp4' is empty.")
    result = call("serve", "movie.mp4")
    assert (result.exit_code, result.stderr) == (1, "streamsocket: 'movie.mp4' is empty.\n")
    assert server.made.stopped == 1


def test_a_source_that_fails_later_does_not_spoil_an_end_that_is_asked_for(
    server: type[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail_and_interrupt(_: FakeServer) -> ServerStatus:
        server.failure = SourceError("'movie.mp4' is gone.")
        os.kill(os.getpid(), signal.SIGINT)
        return server_status()

    monkeypatch.setattr(server, "start", lambda _: None)
    monkeypatch.setattr(server, "status", fail_and_interrupt)
    result = call("serve", "movie.mp4", "test")
    assert (result.exit_code, result.stderr, server.made.stopped) == (0, "", 1)


def test_sources_that_all_fail_later_end_the_command(
    server: type[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(fake: FakeServer) -> ServerStatus:
        server.failure = SourceError("'movie.mp4' is gone.")
        fake.ended.set()
        return server_status()

    monkeypatch.setattr(server, "start", lambda _: None)
    monkeypatch.setattr(server, "status", fail)
    result = call("serve", "movie.mp4")
    assert (result.exit_code, result.stderr) == (1, "streamsocket: 'movie.mp4' is gone.\n")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_everything_in_order(
    server: type[FakeServer], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(server, "start", lambda _: os.kill(os.getpid(), number))
    before = signal.getsignal(number)
    result = call("serve", "movie.mp4")
    assert (result.exit_code, FakeServer.made.stopped) == (0, 1)
    assert result.stdout.endswith("Stopping…\n")
    assert signal.getsignal(number) is before


def test_a_second_signal_forces_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    codes: list[int] = []
    monkeypatch.setattr(os, "_exit", codes.append)
    stop = serve._Stop()
    stop.request(signal.SIGINT, None)
    assert stop.requested
    assert codes == []
    stop.request(signal.SIGINT, None)
    assert codes == [130]


def test_an_interrupt_nobody_handles_is_quiet(
    server: type[FakeServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(server, "start", interrupted)
    result = call("serve")
    assert (result.exit_code, result.output) == (130, "")


def test_the_version_is_printed() -> None:
    assert call("--version").stdout == f"streamsocket {__version__}\n"


@pytest.mark.parametrize(
    "arguments", [["serv"], ["serve", "--prot", "1"], ["serve", "--rtsp-port=x"]]
)
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    assert call(*arguments).exit_code == 2


def test_help_loads_nothing_large() -> None:
    program = (
        "import sys, streamsocket.cli.main; "
        "print({'av', 'numpy', 'pydantic', 'fastapi', 'uvicorn'} & set(sys.modules))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert loaded.stdout == "set()\n"
