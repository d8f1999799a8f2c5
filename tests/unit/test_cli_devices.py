"""`streamsocket devices`."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from streamsocket.cli import devices as command
from streamsocket.cli.main import app
from streamsocket.sources.devices import listing
from streamsocket.sources.devices.listing import Device

_THERE = [
    Device("camera", "camera", "Webcam", "/dev/video0"),
    Device("microphone", "mic:USB Audio", "USB Audio"),
    Device("screen", "screen", "HDMI-1", "1920x1080"),
]


@pytest.fixture(autouse=True)
def _devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "list_devices", lambda: _THERE)


def test_lines_for_programs_that_read_lines() -> None:
    result = CliRunner().invoke(app, ["devices"])
    assert result.exit_code == 0
    assert result.stdout.splitlines() == [
        "camera\tcamera\tWebcam\t/dev/video0",
        "microphone\tmic:USB Audio\tUSB Audio",
        "speaker\tThere is no speaker here.",
        "screen\tscreen\tHDMI-1\t1920x1080",
    ]


def test_json() -> None:
    result = CliRunner().invoke(app, ["devices", "--json"])
    assert json.loads(result.stdout)[0] == {
        "kind": "camera",
        "word": "camera",
        "name": "Webcam",
        "detail": "/dev/video0",
    }


def test_a_table_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command.sys.stdout, "isatty", lambda: True)
    command.devices()
    shown = capsys.readouterr().out
    assert "Cameras" in shown
    assert "'mic:USB Audio'" in shown  # to be copied into a shell
    assert "There is no speaker here." in shown
    assert "1920x1080" in shown
