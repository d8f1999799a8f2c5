"""What every test of the desktop may ask for."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NoReturn

import pytest
from tests.desktop.desktop import Display, PulseAudio, pulse_server, x_server
from tests.desktop.shown import Open, Shown


@pytest.fixture(scope="session")
def _x_server(cannot_test: Callable[[str], NoReturn]) -> Iterator[Display]:
    for tool in ("Xvfb", "import", "xdotool"):
        if shutil.which(tool) is None:
            cannot_test(f"the desktop window: {tool} is not installed")
    with x_server() as display:
        yield display


@pytest.fixture
def x_display(_x_server: Display, monkeypatch: pytest.MonkeyPatch) -> Display:
    """An X server of 1280 × 800, which windows opened from now on go to."""
    monkeypatch.setenv("DISPLAY", _x_server.name)
    for other in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(other, raising=False)
    return _x_server


@pytest.fixture
def open_window(x_display: Display) -> Iterator[Open]:
    """Opens windows on that server, of 640 × 360 if nothing else is said."""
    shown: list[Shown] = []

    def open_one(width: int = 640, height: int = 360) -> Shown:
        shown.append(Shown(x_display, width, height))
        return shown[-1]

    yield open_one
    for each in shown:
        each.window.close()


@pytest.fixture
def pulse(
    cannot_test: Callable[[str], NoReturn], monkeypatch: pytest.MonkeyPatch
) -> Iterator[PulseAudio]:
    """A sound server with a speaker and a microphone, which sound goes through from now on."""
    for tool in ("pulseaudio", "pactl", "parec", "pacat"):
        if shutil.which(tool) is None:
            cannot_test(f"sound: {tool} is not installed")
    # A socket's path may have a hundred characters at most: pytest's own folders are too deep.
    with TemporaryDirectory(prefix="pulse-") as folder, pulse_server(Path(folder)) as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        yield server
