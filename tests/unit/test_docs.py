"""The documentation against what there really is."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
from tests.interop.movies import MovieShelf
from typer.main import get_command

import streamsocket as ss
from streamsocket.cli.main import app
from streamsocket.frames import aio_subscriber, notebook, subscriber
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


PYTHON = (ROOT / "docs" / "python.md").read_text()
LOOK = 3
"""Loops over what never ends are left after so many rounds."""


def python_blocks() -> list[str]:
    """What of the documentation is Python."""
    blocks = [block.strip("\n") for block in indented_blocks(PYTHON)]
    return [block for block in blocks if not block.startswith(("python ", "streamsocket "))]


@pytest.fixture(scope="module")
def lobby() -> Iterator[str]:
    """The beginning of the URLs of a server whose streams are those of the documentation."""
    names = ("lobby", "left", "right")
    with ss.Server(dict.fromkeys(names, "test:160x90@30"), rtsp_port=0, http_port=0) as server:
        yield server.url("")


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever would be iterated over for ever ends soon."""

    def cut_off(of: type, name: str, end: type[Exception]) -> None:
        original: Callable[[object], object] = getattr(of, name)
        rounds: dict[object, int] = {}

        def limited(self: object) -> object:
            rounds[self] = rounds.get(self, 0) + 1
            if rounds[self] > LOOK:
                raise end
            return original(self)

        monkeypatch.setattr(of, name, limited)

    cut_off(ss.Subscriber, "__next__", StopIteration)
    cut_off(subscriber.Sound, "__next__", StopIteration)
    cut_off(aio_subscriber.Subscriber, "__anext__", StopAsyncIteration)
    states, process, synchronized = ss.Subscriber.states, ss.process, ss.synchronized

    def few_states(self: ss.Subscriber) -> Iterator[ss.StateChange]:
        return itertools.islice(states(self), 1)

    def few_sets(*args: object, **options: object) -> Generator[ss.FrameSet]:
        sets = synchronized(*args, **options)  # type: ignore[arg-type]
        yield from itertools.islice(sets, LOOK)
        sets.close()

    def process_few(src: str, dst: str, fn: Callable[[ss.Frame], object]) -> None:
        done: list[ss.Frame] = []

        def counted(frame: ss.Frame) -> object:
            done.append(frame)
            if len(done) > LOOK:
                raise StopIteration
            return fn(frame)

        with pytest.raises(StopIteration):
            process(src, dst, counted)

    monkeypatch.setattr(ss.Subscriber, "states", few_states)
    monkeypatch.setattr(ss, "synchronized", few_sets)
    monkeypatch.setattr(ss, "process", process_few)
    monkeypatch.setattr(notebook, "show", lambda subscriber, width: subscriber.read(5))


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("block", python_blocks(), ids=lambda block: block.split("\n")[0][:50])
def test_python_that_is_shown_runs(block: str, lobby: str, movies: MovieShelf) -> None:
    image = np.zeros((90, 160, 3), np.uint8)
    names = {
        "ss": ss,
        "np": np,
        "asyncio": asyncio,
        "time": time,
        "image": image,
        "camera": [image] * LOOK,
        "samples": np.zeros((480, 2), np.float32),
        "detect": lambda image: time.sleep(0.1),
    }
    code = block.replace("rtsp://HOST:8554/", lobby).replace("movie.mp4", str(movies["film"]))
    exec(compile(code, "docs/python.md", "exec"), names)


def test_every_parameter_and_every_name_is_told_of() -> None:
    """Also: nothing is told of that is not there."""
    assert {name for name in ss.__all__ if name not in PYTHON} <= {
        *("__version__", "AudioBlock", "FrameSet", "State", "StateChange")
    }
    for of, name in re.findall(r"\b(frame|block|sub|pub|server)\.([a-z_]+)\b", PYTHON):
        kinds = {
            "frame": ss.Frame,
            "block": ss.AudioBlock,
            "sub": ss.Subscriber,
            "pub": ss.Publisher,
            "server": ss.Server,
        }
        kind = kinds[of]
        slots = getattr(kind, "__slots__", ())
        assert hasattr(kind, name) or name in slots, f"{of}.{name}"
