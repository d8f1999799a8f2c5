"""What the player's keys do, and what its steps cost."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.video.frame import VideoFrame
from player_helpers import START, Clock, FakeReception, FakeWindow

from streamsocket.desktop.backend import DoubleClick, Key, Quit, Resized
from streamsocket.errors import StreamSocketError
from streamsocket.player import front as front_module
from streamsocket.player import player as player_module
from streamsocket.player.drawing.overlay import KEYS
from streamsocket.player.picture_track import Picture
from streamsocket.player.player import Loudness, Player
from streamsocket.player.reception import State
from streamsocket.player.view import View


class FakePictures:
    """Pictures that are due at once."""

    def __init__(self) -> None:
        self.waiting: list[Picture] = []
        self.dropped = self.decoded = 0

    def add(self, captured: float) -> None:
        frame = VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8), "rgb24")
        self.waiting.append(Picture(frame, captured, True))

    def take(self, position: float) -> Picture | None:
        due = [each for each in self.waiting if each.capture_time <= position]
        self.waiting = [each for each in self.waiting if each.capture_time > position]
        return due[-1] if due else None

    def take_first(self) -> Picture | None:
        return self.waiting.pop(0) if self.waiting else None

    def next_capture_time(self) -> float | None:
        return self.waiting[0].capture_time if self.waiting else None


class Scene:
    """A player with everything around it. Notices are told as words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.window = FakeWindow()
        self.reception = FakeReception("rtsp://127.0.0.1/live/lobby")
        self.reception.state = State("live")
        self.pictures = FakePictures()
        self.reception.pictures = self.pictures
        self.reception.sounds(START)
        self.clock = Clock()
        self.loudness = Loudness()
        self.player = self.make()

    def make(self, **options: Any) -> Player:
        return Player(
            self.window,
            View(self.window, "main", self.reception, self.clock),  # type: ignore[arg-type]
            clock=self.clock,
            loudness=self.loudness,
            snapshots=self.folder,
            **options,
        )

    def press(self, *names: str) -> None:
        """Press keys, and see what comes of it."""
        for name in names:
            self.window.coming.append(Key(name))
            self.player.step()
        self.player.step()

    @property
    def sound(self) -> Any:
        return self.reception.sound

    def layer(self, name: str) -> Any:
        return self.window.layers.get(name)


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(front_module, "draw_notice", lambda words, *_, **style: words)
    monkeypatch.setattr(front_module, "draw_badge", lambda words, *_, **style: words)
    monkeypatch.setattr(
        player_module, "draw_volume", lambda volume, muted, *_, **style: (volume, muted)
    )
    return Scene(tmp_path)


def is_over(player: Player) -> bool:
    """Whether `run` returns at once."""
    steps = 0

    class StillGoingError(Exception):
        pass

    def count() -> None:
        nonlocal steps
        steps += 1
        if steps > 1:
            raise StillGoingError

    try:
        player.run(count)
    except StillGoingError:
        return False
    return True


@pytest.mark.parametrize("event", [Key("q"), Key("escape"), Quit()])
def test_it_ends(scene: Scene, event: Any) -> None:
    assert not is_over(scene.player)
    scene.window.coming.append(event)
    assert is_over(scene.player)


@pytest.mark.parametrize("event", [Key("f"), Key("f11"), DoubleClick()])
def test_full_screen_and_back(scene: Scene, event: Any) -> None:
    for wanted in (True, False):
        scene.window.coming.append(event)
        scene.player.step()
        assert scene.window.full_screen is wanted


def test_every_key_of_the_help_does_something(scene: Scene) -> None:
    assert {name for names, _ in KEYS for name in names} <= set(scene.player._keys)


def test_other_keys_do_nothing(scene: Scene) -> None:
    scene.press("x", "return", "f5")
    assert not is_over(scene.player)
    assert scene.layer("bottom") is None


def test_muted_is_said_all_the_time(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.press("m")
    assert scene.sound.muted
    assert scene.layer("top-right") == "Muted"
    assert scene.layer("bottom") == (1.0, True)
    scene.press("m")
    assert not scene.sound.muted
    assert scene.layer("top-right") is None


def test_who_begins_muted_sees_it(scene: Scene) -> None:
    scene.loudness.muted = True
    scene.player = scene.make()
    scene.pictures.add(START)
    scene.player.step()
    assert scene.layer("top-right") == "Muted"
    scene.press("m")
    assert scene.layer("top-right") is None


@pytest.mark.parametrize(("key", "most"), [("up", 1.5), ("+", 1.5), ("down", 0.0), ("-", 0.0)])
def test_the_volume_has_bounds(scene: Scene, key: str, most: float) -> None:
    scene.press(key)
    assert scene.sound.volume == pytest.approx(1.05 if most else 0.95)
    scene.press(*[key] * 30)
    assert scene.sound.volume == scene.loudness.volume == most
    assert scene.layer("bottom") == (most, False)


def test_whoever_makes_it_louder_wants_to_hear_it(scene: Scene) -> None:
    scene.press("m", "up")
    assert not scene.sound.muted
    assert scene.layer("bottom") == (1.05, False)


@pytest.mark.parametrize(("key", "offset"), [("right", 0.01), ("left", -0.01)])
def test_the_sounds_offset(scene: Scene, key: str, offset: float) -> None:
    scene.press(key, key)
    assert scene.sound.offset_s == pytest.approx(2 * offset)
    assert scene.layer("bottom") == f"Sound {2000 * offset:+.0f} ms"


def test_paused_the_picture_stands_and_nothing_is_heard(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.player.step()
    frame = scene.window.pictures["main"]
    scene.press("space")
    scene.pictures.add(START)
    scene.player.step()
    assert scene.window.pictures["main"] is frame
    assert scene.sound.muted
    assert scene.layer("top-right") == "Paused"

    scene.press("space")
    scene.player.step()
    assert scene.window.pictures["main"] is not frame
    assert not scene.sound.muted


@pytest.mark.parametrize("keys", [["up"], ["m", "m"]])
def test_paused_no_key_lets_the_sound_in(scene: Scene, keys: list[str]) -> None:
    scene.press("space", *keys)
    assert scene.sound.muted
    scene.press("space")
    assert not scene.sound.muted


def test_muted_before_a_pause_it_is_muted_after_it(scene: Scene) -> None:
    scene.press("m", "space", "space")
    assert scene.sound.muted


def test_keys_of_the_sound_do_no_harm_where_there_is_none(scene: Scene) -> None:
    scene.reception.sound = None
    scene.press("m", "m", "up", "left", "space")
    assert scene.loudness == Loudness(1.05, False, -0.01, paused=True)


def test_a_snapshot_is_saved_and_told(scene: Scene) -> None:
    scene.press("s")
    assert scene.layer("bottom") == "There is no picture to save yet."
    assert not list(scene.folder.iterdir())

    scene.pictures.add(START)
    scene.player.step()
    scene.press("s")
    join_snapshots()
    scene.player.step()
    [saved] = scene.folder.iterdir()
    assert saved.name.startswith("live-lobby")
    assert saved.suffix == ".png"
    assert scene.layer("bottom") == f"Saved {saved.name}"


def test_a_snapshot_that_cannot_be_saved_is_told(scene: Scene) -> None:
    scene.folder = scene.folder / "occupied"
    scene.folder.write_text("a file")
    scene.player = scene.make()
    scene.pictures.add(START)
    scene.player.step()
    scene.press("s")
    join_snapshots()
    scene.player.step()
    assert "occupied" in scene.layer("bottom")
    assert not is_over(scene.player)


def join_snapshots() -> None:
    for thread in threading.enumerate():
        if thread.name == "snapshot":
            thread.join(10)


def test_figures_come_and_go(scene: Scene) -> None:
    scene.press("i")
    assert scene.layer("top-left") is not None
    scene.press("i")
    assert scene.layer("top-left") is None


def test_figures_are_gathered_twice_a_second(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered = []
    monkeypatch.setattr(player_module, "rows", lambda facts: gathered.append(facts) or [])
    scene.press("i")
    for _ in range(60):
        scene.clock.now += 1 / 30
        scene.player.step()
    assert 4 <= len(gathered) <= 5


def test_help_comes_and_goes(scene: Scene) -> None:
    scene.press("h")
    assert scene.layer("centre") is not None
    scene.press("h")
    assert scene.layer("centre") is None


def test_other_keys_replace_the_players_own(scene: Scene) -> None:
    scene.player = scene.make(keys={"m": lambda: "Microphone off", "c": lambda: None})
    scene.press("m")
    assert not scene.loudness.muted
    assert scene.layer("bottom") == "Microphone off"
    scene.press("c", "up")
    assert scene.loudness.volume == 1.05


def test_who_is_refused_is_told_why(scene: Scene) -> None:
    scene.reception.state = State("refused", "The password is wrong.")
    with pytest.raises(StreamSocketError, match="The password is wrong"):
        scene.player.run()


def test_nothing_is_brought_to_the_screen_when_nothing_changes(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.player.step()
    presented = scene.window.presented
    for _ in range(10):
        scene.clock.now += 0.2
        scene.player.step()
    assert scene.window.presented == presented
    scene.window.coming.append(Resized())
    scene.player.step()
    scene.player.step()
    assert scene.window.presented == presented + 1


def test_it_waits_until_the_next_picture_is_due(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.player.step()
    assert scene.window.waits[-1] == pytest.approx(0.25)
    scene.pictures.add(START + 0.04)
    scene.player.step()
    assert scene.window.waits[-1] == pytest.approx(0.032, abs=0.001)
    scene.press("space")
    assert scene.window.waits[-1] == pytest.approx(0.25)


def test_a_second_stream_is_shown_small(scene: Scene) -> None:
    other = FakeReception()
    other.state = State("live")
    other.pictures = FakePictures()
    other.pictures.add(START)
    inset: Any = View(scene.window, "inset", other, scene.clock)  # type: ignore[arg-type]
    scene.player = scene.make(inset=inset)
    scene.player.step()
    assert scene.window.pictures["inset"] is inset.frame is not None
    assert "main" not in scene.window.pictures
    other.state = State("refused", "No.")
    assert not is_over(scene.player)


def test_words_that_stay_have_keys_of_their_own(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.player.set_badge("rate", "30.0 fps")
    scene.press("m")
    assert scene.layer("top-right") == "30.0 fps, Muted"
    scene.player.set_badge("rate", None)
    scene.player.set_badge("rate", None)
    scene.player.step()
    assert scene.layer("top-right") == "Muted"
