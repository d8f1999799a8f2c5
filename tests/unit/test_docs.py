"""The documentation against what there really is."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from pathlib import Path

import pytest
from typer.main import get_command

from streamsocket.cli.main import app
from streamsocket.settings import load_settings
from streamsocket.status import ForwardStatus, RecordingStatus, StreamStatus, TrackStatus

HASH = "$argon2id$v=19$m=32768,t=2,p=1$R4Oq0TEsB8M09CPHtXNaaw$" + "A" * 43
ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def indented_blocks(text: str) -> list[str]:
    """The code blocks of a document, without their indentation."""
    blocks = re.findall(r"(?:^ {4}.*\n|^\n(?= {4}))+", text, re.MULTILINE)
    return [re.sub(r"^ {4}", "", block, flags=re.MULTILINE) for block in blocks]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(document: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", document.read_text())
    missing = [
        link for link in links if "://" not in link and not (document.parent / link).exists()
    ]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_commands_that_are_shown_exist(document: Path) -> None:
    text = document.read_text()
    targets = set(re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    command = get_command(app)
    for line in re.findall(r"(?:^ {4}|`)streamsocket ([a-z].*?)(?:`|#|$)", text, re.MULTILINE):
        name, *arguments = line.split()
        subcommand = command.get_command(None, name)  # type: ignore[attr-defined]
        assert subcommand is not None, line
        if hasattr(subcommand, "commands"):  # `auth hash`: a command of a group
            subcommand = subcommand.get_command(None, arguments.pop(0))
            assert subcommand is not None, line
        known = {
            option for each in subcommand.params for option in (*each.opts, *each.secondary_opts)
        }
        assert {argument for argument in arguments if argument.startswith("--")} <= known, line


def test_the_settings_file_that_is_shown_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "lobby.mp4").write_bytes(b"a movie")
    shown = [
        block
        for block in indented_blocks((ROOT / "docs" / "settings.md").read_text())
        if "[streams.lobby]" in block
    ]
    assert len(shown) == 1
    (tmp_path / "streamsocket.toml").write_text(shown[0])
    settings = load_settings()
    assert settings.rtsp.port == 554
    assert set(settings.streams) == {"lobby", "live/yard"}


def test_the_api_documentation_shows_every_field() -> None:
    text = (ROOT / "docs" / "http-api.md").read_text()
    shown = next(
        json.loads(block)
        for block in indented_blocks(text)
        if block.lstrip().startswith(("{", "[")) and "tracks" in block
    )
    stream = shown[0] if isinstance(shown, list) else shown
    assert set(stream) == {field.name for field in fields(StreamStatus)}
    for track in stream["tracks"]:
        assert set(track) == {field.name for field in fields(TrackStatus)}
    for status, word in ((RecordingStatus, '"path"'), (ForwardStatus, '"url"')):
        [shown] = [json.loads(block) for block in indented_blocks(text) if word in block]
        assert set(shown) == {field.name for field in fields(status)}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_settings_that_are_shown_load(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lobby.mp4", "lesson.mp4"):
        (tmp_path / name).write_bytes(b"a movie")
    for block in indented_blocks(document.read_text()):
        if re.match(r"\[+[a-z]+[.\]]", block):
            # What `streamsocket auth hash` prints is too long to be shown.
            (tmp_path / "streamsocket.toml").write_text(block.replace("$argon2id$…", HASH))
            load_settings()
