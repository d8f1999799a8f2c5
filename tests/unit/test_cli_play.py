"""`streamsocket play` as it is called, rightly and wrongly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streamsocket.cli.main import app
from streamsocket.errors import DeviceError
from streamsocket.player import session
from streamsocket.player.player import Loudness
from streamsocket.player.reception import Wishes
from streamsocket.webrtc.ice_server import IceServer

URL = "rtsp://127.0.0.1:8554/lobby"


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Wishes, Loudness, dict[str, Any]]]:
    """What was played, without a window."""
    calls: list[tuple[Wishes, Loudness, dict[str, Any]]] = []

    def play(wishes: Wishes, loudness: Loudness, **options: Any) -> None:
        options.pop("say")("Playing.")
        calls.append((wishes, loudness, options))

    monkeypatch.setattr(session, "play_in_window", play)
    return calls


def play(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["play", *arguments])


def test_as_it_is(played: list[Any]) -> None:
    done = play(URL)
    assert (done.exit_code, done.stdout) == (0, "Playing.\n")
    [(wishes, loudness, options)] = played
    assert wishes == Wishes(URL)
    assert wishes.kinds == ("video", "audio")
    assert loudness == Loudness(1.0, False, 0.0)
    assert options == {"title": None, "full_screen": False, "snapshots": None}


def test_with_everything(played: list[Any], tmp_path: Path) -> None:
    options = ["--latency", "250", "--transport", "tcp", "--no-audio", "--audio-offset", "-120"]
    options += ["--volume", "150", "--mute", "--full-screen", "--title", "Lobby"]
    assert play(URL, *options, "--snapshots", str(tmp_path)).exit_code == 0
    [(wishes, loudness, options)] = played
    assert wishes == Wishes(URL, kinds=("video",), transport="tcp", latency_s=0.25)
    assert loudness == Loudness(1.5, True, -0.12)
    assert options == {"title": "Lobby", "full_screen": True, "snapshots": tmp_path}


def test_ice_servers_come_from_options_or_the_environment(
    played: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMSOCKET_ICE_SERVERS", "stun:a turn:anna:se:cret@b:5000")
    assert play(URL).exit_code == 0
    assert play(URL, "--ice-server", "stun:c", "--ice-server", "stun:d").exit_code == 0
    of_environment, of_options = (wishes.ice_servers for wishes, _, _ in played)
    assert of_environment == (
        IceServer("stun", "a", 3478),
        IceServer("turn", "b", 5000, "anna", "se:cret"),
    )
    assert [each.host for each in of_options] == ["c", "d"]


def test_no_latency_is_not_the_usual_latency(played: list[Any]) -> None:
    assert play(URL, "--latency", "0").exit_code == 0
    assert played[0][0].latency_s == 0.0


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        [URL, "more"],
        [URL, "--latency", "-1"],
        [URL, "--latency", "10001"],
        [URL, "--latency", "much"],
        [URL, "--volume", "151"],
        [URL, "--audio-offset", "2001"],
        [URL, "--transport", "pigeon"],
        [URL, "--loud"],
    ],
)
def test_wrong_usage(played: list[Any], arguments: list[str]) -> None:
    done = play(*arguments)
    assert done.exit_code == 2
    assert played == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([URL, "--no-audio", "--no-video"], "drop one of the two options"),
        ([URL, "--snapshots", "nowhere/at/all"], "no folder 'nowhere/at/all'"),
    ],
)
def test_what_cannot_be_meant(played: list[Any], arguments: list[str], words: str) -> None:
    done = play(*arguments)
    assert done.exit_code == 1
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("streamsocket: ")
    assert words in sentence
    assert played == []


@pytest.mark.parametrize("url", ["lobby", "ftp://127.0.0.1/lobby", "rtsp://user:word@/lobby"])
def test_what_is_no_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SdlWindow", _no_window)
    done = play(url)
    assert done.exit_code == 1
    [sentence] = done.stderr.splitlines()
    assert "cannot be played" in sentence
    assert "word@" not in sentence


def test_where_no_window_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "SdlWindow", _no_window)
    done = play(URL)
    assert done.exit_code == 1
    assert done.stderr == "streamsocket: No window can be opened.\n"


def _no_window(title: str) -> None:
    raise DeviceError("No window can be opened.")
