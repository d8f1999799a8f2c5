"""Which picture is shown when."""

from __future__ import annotations

from collections import deque
from types import SimpleNamespace
from typing import Any

import pytest
from player_helpers import START, Clock, FakeReception, FakeWindow

from streamsocket.player.picture_track import Picture
from streamsocket.player.reception import State
from streamsocket.player.view import DAMAGE_PATIENCE_S, View


class FakePictures:
    """Pictures that wait, without a decoder."""

    def __init__(self) -> None:
        self.waiting: deque[Picture] = deque()
        self.dropped = 0

    def add(self, captured: float, *, intact: bool = True) -> Any:
        frame: Any = SimpleNamespace(captured=captured)
        self.waiting.append(Picture(frame, captured, intact))
        return frame

    def take(self, position: float) -> Picture | None:
        due = None
        while self.waiting and self.waiting[0].capture_time <= position:
            due = self.waiting.popleft()
        return due

    def take_first(self) -> Picture | None:
        return self.waiting.popleft() if self.waiting else None

    def next_capture_time(self) -> float | None:
        return self.waiting[0].capture_time if self.waiting else None


class Scene:
    """A view with everything around it."""

    def __init__(self) -> None:
        self.window = FakeWindow()
        self.reception = FakeReception()
        self.reception.state = State("live")
        self.pictures = FakePictures()
        self.reception.pictures = self.pictures
        self.clock = Clock()
        self.view = View(self.window, "main", self.reception, self.clock)  # type: ignore[arg-type]

    def learn(self, delay_s: float) -> None:
        for tick in range(100):
            at = self.clock.now - 2 + tick * 0.02
            self.reception.schedule.ready("video", at - delay_s, at)


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_the_first_picture_is_shown_at_once(scene: Scene) -> None:
    frame = scene.pictures.add(START + 10)

    assert scene.view.update()
    assert scene.window.pictures["main"] is frame


def test_without_sound_pictures_come_after_the_schedules_delay(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.learn(0.05)
    frame = scene.pictures.add(START + 1)

    scene.clock.now = START + 1.04
    assert not scene.view.update()
    assert scene.view.next_due_s() == pytest.approx(0.006, abs=0.001)
    scene.clock.now = START + 1.055
    assert scene.view.update()
    assert scene.view.frame is frame


def test_with_sound_pictures_go_with_what_is_heard(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.learn(0.05)
    scene.pictures.add(START + 1)
    scene.clock.now = START + 5

    scene.reception.sounds(START + 0.9)
    assert not scene.view.update()
    scene.reception.sounds(START + 1)
    assert scene.view.update()


def test_a_damaged_picture_is_held_back_and_a_whole_one_asked_for(scene: Scene) -> None:
    good = scene.pictures.add(START)
    scene.view.update()
    scene.pictures.add(START + 0.1, intact=False)
    scene.clock.now = START + 0.2

    assert not scene.view.update()
    assert scene.view.frame is good
    assert scene.view.damaged
    assert scene.reception.keyframe_requests == 1


def test_keyframes_are_not_asked_for_with_every_picture(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    for number in range(1, 10):
        scene.clock.now = START + number / 30
        scene.pictures.add(scene.clock.now, intact=False)
        scene.view.update()

    assert scene.reception.keyframe_requests == 1


def test_damaged_pictures_are_shown_as_such_when_no_whole_one_comes(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.clock.now = START + DAMAGE_PATIENCE_S + 0.1
    bad = scene.pictures.add(START + 1, intact=False)

    assert scene.view.update()
    assert scene.view.frame is bad
    assert scene.view.damaged


def test_a_whole_picture_ends_the_damage(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.pictures.add(START + 0.1, intact=False)
    scene.clock.now = START + 0.2
    scene.view.update()
    scene.pictures.add(START + 0.2)

    assert scene.view.update()
    assert not scene.view.damaged


def test_latency_and_sync_are_taken_at_the_screen(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.clock.now = START + 0.08
    scene.reception.sounds(START + 0.01)
    scene.view.presented()

    assert scene.view.showing.latency_s == pytest.approx(0.08)
    assert scene.view.showing.sync_s == pytest.approx(-0.01)
    assert scene.view.showing.shown == 1


def test_paused_it_stands(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.pictures.add(START + 0.1)
    scene.clock.now = START + 1

    assert not scene.view.update(paused=True)
    assert scene.view.update()


def test_after_a_reconnection_the_first_picture_is_shown_at_once_again(scene: Scene) -> None:
    scene.pictures.add(START)
    scene.view.update()
    scene.reception.pictures = None
    assert not scene.view.update()
    scene.reception.pictures = again = FakePictures()
    frame = again.add(START + 100)

    assert scene.view.update()
    assert scene.view.frame is frame
