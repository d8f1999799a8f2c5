"""The figures of a stream that is played."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from client_helpers import PPS, SPS
from player_helpers import Clock, FakeReception

from streamsocket.media.codec import H264, Opus
from streamsocket.player.facts import Facts
from streamsocket.player.figures import Figures
from streamsocket.player.view import Showing


def receiver(**figures: Any) -> Any:
    return SimpleNamespace(
        statistics=SimpleNamespace(expected=100),
        lost=3,
        repaired=2,
        bytes=0,
        clock=SimpleNamespace(source="sender_report"),
        **figures,
    )


def session() -> Any:
    picture: Any = SimpleNamespace(
        kind="video", codec=H264(SPS, PPS), transport="udp", receiver=receiver()
    )
    sound: Any = SimpleNamespace(kind="audio", codec=Opus(), transport="tcp", receiver=receiver())
    return SimpleNamespace(server="Fake", tracks=[picture, sound])


class Scene:
    def __init__(self) -> None:
        self.clock = Clock()
        self.reception = FakeReception("rtsp://user:word@127.0.0.1/live")
        self.view: Any = SimpleNamespace(
            reception=self.reception, frame=None, showing=Showing(shown=9, late=4, damaged=5)
        )
        self.figures = Figures(self.view, self.clock)

    def connect(self) -> None:
        self.reception.session = session()
        self.reception.pictures = SimpleNamespace(decoded=0)

    def passes(self, seconds: float, *, pictures: int, bytes_: int) -> Facts:
        """Time passes, with so many pictures and bytes in it."""
        self.clock.now += seconds
        self.reception.pictures.decoded += pictures
        self.reception.session.tracks[0].receiver.bytes += bytes_
        return self.figures.gather()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_before_the_first_connection_there_is_the_address_alone(scene: Scene) -> None:
    assert scene.figures.gather() == Facts(url="rtsp://127.0.0.1/live")


def test_what_is_known_at_once(scene: Scene) -> None:
    scene.connect()
    facts = scene.figures.gather()
    assert facts.server == "Fake"
    assert facts.picture is not None
    assert facts.picture.codec == "h264"
    assert facts.picture.size == (352, 288)  # as announced, before there is a picture
    assert facts.picture.fps is None
    assert facts.picture.bitrate_bps is None
    assert facts.sound is not None
    assert (facts.sound.codec, facts.sound.sample_rate) == ("opus", 48_000)
    assert (facts.picture.transport, facts.sound.transport) == ("udp", "tcp")
    assert (facts.packets, facts.lost, facts.repaired) == (200, 6, 4)
    assert (facts.damaged, facts.dropped) == (5, 4)
    assert facts.buffer_s is None


def test_the_size_is_that_of_what_is_seen(scene: Scene) -> None:
    scene.connect()
    scene.view.frame = SimpleNamespace(width=640, height=360)
    picture = scene.figures.gather().picture
    assert picture is not None
    assert picture.size == (640, 360)


def test_rates_are_those_of_the_last_moments(scene: Scene) -> None:
    scene.connect()
    scene.figures.gather()
    picture = scene.passes(0.5, pictures=15, bytes_=62_500).picture
    assert picture is not None
    assert picture.fps == pytest.approx(30)
    assert picture.bitrate_bps == pytest.approx(1_000_000)

    for _ in range(10):
        picture = scene.passes(0.5, pictures=5, bytes_=6_250).picture
    assert picture is not None
    assert picture.fps == pytest.approx(10)
    assert picture.bitrate_bps == pytest.approx(100_000)


def test_another_connection_begins_anew(scene: Scene) -> None:
    scene.connect()
    scene.figures.gather()
    scene.passes(0.5, pictures=15, bytes_=62_500)
    scene.connect()
    picture = scene.passes(0.5, pictures=1, bytes_=10).picture
    assert picture is not None
    assert picture.fps is None
    picture = scene.passes(0.5, pictures=15, bytes_=62_500).picture
    assert picture is not None
    assert picture.fps == pytest.approx(30)


def test_the_last_figures_stay_while_the_stream_is_away(scene: Scene) -> None:
    scene.connect()
    scene.reception.pictures = None
    picture = scene.figures.gather().picture
    assert picture is not None
    assert picture.fps is None


@pytest.mark.parametrize(
    ("source", "clock"), [("sender_report", "sender"), ("arrival", "arrival"), (None, "arrival")]
)
def test_what_the_latency_counts_from(scene: Scene, source: str | None, clock: str) -> None:
    scene.connect()
    scene.reception.session.tracks[0].receiver.clock.source = source
    assert scene.figures.gather().clock == clock


def test_the_buffer_is_what_the_schedule_holds(scene: Scene) -> None:
    scene.connect()
    for number in range(100):
        at = scene.clock.now + number / 50
        late = 0.05 if number % 10 == 0 else 0.01
        scene.reception.schedule.ready("video", at - late, at)
    assert scene.figures.gather().buffer_s == pytest.approx(0.044, abs=0.001)
