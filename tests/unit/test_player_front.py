"""What lies over the picture when."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from player_helpers import Clock, FakeReception, FakeWindow

from streamsocket.player import front as front_module
from streamsocket.player.front import NOTICE_S, Front, Waiting
from streamsocket.player.reception import State

LOST = State("away", "The server is gone.")
ENDED = State("away", "It has ended.", ended=True)
PICTURES = object()


class Scene:
    """A front with everything around it; what is drawn is told, not drawn."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.drawn: list[str] = []
        self._draw(monkeypatch, "draw_card", lambda title, message, **style: (title, message))
        self._draw(monkeypatch, "draw_badge", lambda words, kind, *_, **style: (words, kind))
        self._draw(monkeypatch, "draw_notice", lambda words, *_, **style: words)
        self._draw(monkeypatch, "draw_facts", lambda rows, *, title, **style: (title, rows))
        self._draw(monkeypatch, "draw_help", lambda *_, keys, **style: keys)
        self.window = FakeWindow()
        self.reception = FakeReception("rtsp://user:word@127.0.0.1/live/lobby")
        self.clock = Clock()
        self.view: Any = SimpleNamespace(
            reception=self.reception, frame=None, damaged=False, joining=False, kind_missing=False
        )
        self.front = self.make()

    def make(self, **options: Any) -> Front:
        return Front(self.window, self.view, self.clock, **options)

    def _draw(self, monkeypatch: pytest.MonkeyPatch, name: str, tell: Any) -> None:
        def draw(*arguments: Any, **options: Any) -> Any:
            self.drawn.append(name)
            return tell(*arguments, **options)

        monkeypatch.setattr(front_module, name, draw)

    def plays(self) -> None:
        """The stream is live and a picture of it is shown."""
        self.reception.state = State("live")
        self.reception.session = object()
        self.view.frame = PICTURES

    def look(self, *, paused: bool = False) -> bool:
        return self.front.update(paused=paused)

    def layer(self, name: str) -> Any:
        return self.window.layers.get(name)

    def redraws(self, seconds: float) -> int:
        """How often something changes in that time, looked at sixty times a second."""
        self.look()
        changes = 0
        for _ in range(round(seconds * 60)):
            self.clock.now += 1 / 60
            changes += self.look()
        return changes


@pytest.fixture
def scene(monkeypatch: pytest.MonkeyPatch) -> Scene:
    return Scene(monkeypatch)


def test_while_it_connects_a_card_says_where_to_without_the_password(scene: Scene) -> None:
    assert scene.look()
    assert scene.layer("card") == ("Connecting", "rtsp://127.0.0.1/live/lobby")
    assert scene.layer("top-right") is None


def test_connected_it_waits_for_the_picture(scene: Scene) -> None:
    scene.reception.state = State("live")
    scene.look()
    assert scene.layer("card")[0] == "Waiting for the picture"


def test_nothing_lies_over_a_picture_and_nothing_is_drawn(scene: Scene) -> None:
    scene.look()
    scene.plays()
    scene.clock.now += 1
    assert scene.look()
    scene.drawn.clear()

    assert scene.redraws(3) == 0
    assert not any(image is not None for image in scene.window.layers.values())
    assert scene.drawn == []
    assert scene.front.wait_s() == float("inf")


def test_sound_alone_has_a_card_that_stands_still(scene: Scene) -> None:
    scene.reception.state = State("live")
    scene.view.kind_missing = True
    scene.look()
    assert scene.layer("card") == ("live/lobby", "Sound only")
    assert scene.front.wait_s() > 0.5
    assert scene.redraws(3) == 0


def test_a_stream_can_be_called_otherwise_than_in_its_url(scene: Scene) -> None:
    scene.front = scene.make(name="The other")
    scene.reception.state = State("live")
    scene.view.kind_missing = True
    scene.look()
    assert scene.layer("card") == ("The other", "Sound only")


def test_what_moves_is_drawn_ten_times_a_second(scene: Scene) -> None:
    scene.look()
    assert 0 < scene.front.wait_s() <= 0.1
    assert 16 <= scene.redraws(2) <= 20


def test_a_stream_that_was_lost_keeps_its_picture_for_a_moment(scene: Scene) -> None:
    scene.plays()
    scene.look()
    scene.reception.state = LOST
    scene.look()
    assert scene.layer("card") is None
    assert scene.layer("top-right") == ("Reconnecting …", "warning")

    scene.clock.now += 2
    scene.look()
    assert scene.layer("card") == ("Connecting again", "The server is gone.")
    assert scene.layer("top-right") is None


def test_a_stream_that_is_back_soon_never_has_a_card(scene: Scene) -> None:
    scene.plays()
    for _ in range(2):  # the moment counts anew each time
        scene.reception.state = LOST
        scene.look()
        scene.clock.now += 1
        scene.look()
        scene.reception.state = State("live")
        scene.clock.now += 1
        scene.look()
    assert scene.layer("top-right") is None
    assert "draw_card" not in scene.drawn


def test_a_stream_that_has_ended_is_off(scene: Scene) -> None:
    scene.plays()
    scene.look()
    scene.reception.state = ENDED
    scene.look()
    scene.clock.now += 2
    scene.look()
    assert scene.layer("card") == ("The stream is off", "It has ended.")


def test_a_stream_that_never_was_has_its_card_at_once(scene: Scene) -> None:
    scene.reception.state = LOST
    scene.look()
    assert scene.layer("card") == ("Not there yet", "The server is gone.")


def test_the_old_picture_is_not_taken_for_the_new_streams(scene: Scene) -> None:
    scene.plays()
    scene.look()
    scene.reception.state = LOST
    scene.look()
    scene.clock.now += 2
    scene.look()
    scene.reception.state = State("live")
    scene.view.joining = True
    scene.clock.now += 0.2
    scene.look()
    assert scene.layer("card")[0] == "Waiting for the picture"

    scene.view.joining = False
    scene.look()
    assert scene.layer("card") is None


def test_until_the_new_streams_picture_the_badge_says_so(scene: Scene) -> None:
    scene.plays()
    scene.look()
    scene.reception.state = LOST
    scene.look()
    scene.reception.state = State("live")
    scene.view.joining = True
    scene.look()
    assert scene.layer("card") is None
    assert scene.layer("top-right") == ("Reconnecting …", "warning")


def test_ones_own_words_while_there_is_nothing_to_be_seen(scene: Scene) -> None:
    scene.front = scene.make(waiting=Waiting("Waiting to be called", "Secret: 12"))
    scene.look()
    assert scene.layer("card") == ("Waiting to be called", "Secret: 12")
    scene.reception.state = LOST
    scene.clock.now += 1
    scene.look()
    assert scene.layer("card") == ("Waiting to be called", "Secret: 12")


@pytest.mark.parametrize("state", [State("live"), LOST])
def test_paused_the_picture_stays_whatever_becomes_of_the_stream(
    scene: Scene, state: State
) -> None:
    scene.plays()
    scene.reception.state = state
    for _ in range(3):
        scene.look(paused=True)
        scene.clock.now += 1
    assert scene.layer("card") is None
    assert scene.layer("top-right") == ("Paused", "warning")


def test_what_is_damaged_is_said_over_the_picture_alone(scene: Scene) -> None:
    scene.plays()
    scene.view.damaged = True
    scene.look()
    assert scene.layer("top-right") == ("Waiting for a whole picture", "warning")
    scene.reception.state = LOST
    scene.look()
    scene.clock.now += 2
    scene.look()
    assert scene.layer("top-right") is None


def test_badges_stay_side_by_side_until_they_are_taken_away(scene: Scene) -> None:
    scene.plays()
    scene.front.badges.update(microphone="Microphone off", camera="Camera off")
    scene.look()
    assert scene.layer("top-right") == ("Microphone off, Camera off", "muted")
    scene.clock.now += 100
    scene.front.badges.pop("microphone")
    scene.look()
    assert scene.layer("top-right") == ("Camera off", "muted")
    scene.front.badges.clear()
    assert scene.look()
    assert scene.layer("top-right") is None


def test_notices_go_by_themselves(scene: Scene) -> None:
    scene.plays()
    scene.look()
    scene.front.say("Saved a.png")
    assert scene.look()
    assert scene.layer("bottom") == "Saved a.png"
    assert scene.front.wait_s() == pytest.approx(NOTICE_S)
    scene.clock.now += NOTICE_S - 0.01
    assert not scene.look()
    scene.clock.now += 0.02
    assert scene.look()
    assert scene.layer("bottom") is None


def test_a_notice_takes_the_place_of_the_one_before(scene: Scene) -> None:
    scene.plays()
    scene.front.say("first")
    scene.look()
    scene.clock.now += NOTICE_S - 0.1
    scene.front.say("second")
    scene.look()
    scene.clock.now += 0.2
    scene.look()
    assert scene.layer("bottom") == "second"


def test_figures_are_drawn_when_they_change(scene: Scene) -> None:
    scene.plays()
    scene.front.facts([("Loss", "0")])
    scene.look()
    assert scene.layer("top-left") == ("live/lobby", [("Loss", "0")])
    scene.front.facts([("Loss", "0")])
    assert not scene.look()
    scene.front.facts([("Loss", "1")])
    assert scene.look()
    scene.front.facts(None)
    assert scene.look()
    assert scene.layer("top-left") is None


def test_help_comes_and_goes(scene: Scene) -> None:
    scene.front = scene.make(keys=[(["q"], "Hang up")])
    scene.plays()
    scene.front.toggle_help()
    scene.look()
    assert scene.layer("centre") == [(["q"], "Hang up")]
    scene.front.toggle_help()
    assert scene.look()
    assert scene.layer("centre") is None


def test_in_another_size_everything_is_drawn_again(scene: Scene) -> None:
    scene.front.toggle_help()
    scene.look()
    scene.drawn.clear()
    scene.window.size = (320, 200)
    scene.front.redraw()
    assert scene.look()
    assert {"draw_card", "draw_help"} <= set(scene.drawn)


def test_what_goes_as_the_window_changes_is_gone(scene: Scene) -> None:
    scene.front.toggle_help()
    scene.look()
    scene.front.redraw()
    scene.front.toggle_help()
    scene.plays()
    scene.clock.now += 1
    assert scene.look()
    assert scene.layer("card") is None
    assert scene.layer("centre") is None
