"""Receiving for a window, from a real server in this process."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from streamsocket.media.codec import Codec
from streamsocket.player.reception import Reception, Wishes
from streamsocket.player.schedule import Schedule
from streamsocket.server import Server
from streamsocket.settings.model import (
    HttpSettings,
    RtmpSettings,
    RtspSettings,
    Settings,
    StreamSettings,
)

PATIENCE_S = 20.0


def wait_for(look: Callable[[], Any], what: str) -> Any:
    until = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.005)
    return found


def make_server(port: int = 0) -> Server:
    settings = Settings(
        rtsp=RtspSettings(port=port),
        rtmp=RtmpSettings(port=None),
        http=HttpSettings(port=0),
        streams={"clock": StreamSettings(source="test:160x96@15")},
    )
    return Server(settings, http=False)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with make_server() as server:
        yield server


class Sounds:
    """Instead of decoders of sound and speakers: what they were given."""

    def __init__(self) -> None:
        self.made: list[Any] = []

    def __call__(self, codec: Codec, schedule: Schedule) -> Any:
        units: list[Any] = []
        sound = SimpleNamespace(codec=codec, units=units, put=units.append, closed=False)
        sound.close = lambda: setattr(sound, "closed", True)
        self.made.append(sound)
        return sound


class Scene:
    """A reception, and all the states it went through."""

    def __init__(self, url: str, **wishes: Any) -> None:
        self.sounds = Sounds()
        self.woken = 0
        self.states: list[str] = []
        self.reception = Reception(
            Wishes(url, longest_retry_s=0.3, **wishes),
            clock=time.time,
            make_sound=self.sounds,
            wake=self._wake,
        )

    def _wake(self) -> None:
        self.woken += 1
        state = self.reception.state.kind
        if self.states[-1:] != [state]:
            self.states.append(state)

    def wait_for_state(self, kind: str) -> None:
        wait_for(lambda: self.reception.state.kind == kind, kind)

    def wait_for_picture(self) -> None:
        wait_for(
            lambda: self.reception.pictures and self.reception.pictures.take(time.time() + 1),
            "a picture",
        )


@pytest.fixture
def scene(request: pytest.FixtureRequest, server: Server) -> Iterator[Scene]:
    scene = Scene(f"rtsp://127.0.0.1:{server.rtsp_port}/clock", **getattr(request, "param", {}))
    with closing(scene.reception) as reception:
        reception.start()
        yield scene


def test_pictures_and_sound_come(scene: Scene) -> None:
    scene.wait_for_picture()
    reception = scene.reception
    assert reception.state.kind == "live"
    assert reception.session is not None
    [sound] = scene.sounds.made
    assert reception.sound is sound
    wait_for(lambda: len(sound.units) > 5, "sound")
    assert reception.schedule.is_known
    assert scene.woken > 1
    reception.request_keyframe()


@pytest.mark.parametrize("scene", [{"kinds": ("video",)}], indirect=True)
def test_the_picture_alone(scene: Scene) -> None:
    scene.wait_for_picture()
    assert scene.reception.sound is None
    assert scene.sounds.made == []


@pytest.mark.parametrize("scene", [{"kinds": ("audio",)}], indirect=True)
def test_the_sound_alone(scene: Scene) -> None:
    wait_for(lambda: scene.sounds.made and len(scene.sounds.made[0].units) > 5, "sound")
    assert scene.reception.pictures is None


@pytest.mark.parametrize("scene", [{"latency_s": 0.4, "transport": "udp"}], indirect=True)
def test_who_asks_for_more_latency_waits_longer_for_what_was_lost(scene: Scene) -> None:
    scene.wait_for_picture()
    assert scene.reception.session is not None
    assert scene.reception.session.patience_s == 0.4


@pytest.mark.parametrize("scene", [{"latency_s": 0.0, "transport": "udp"}], indirect=True)
def test_who_wants_no_latency_still_lets_packets_overtake_each_other(scene: Scene) -> None:
    scene.wait_for_picture()
    assert scene.reception.session is not None
    assert scene.reception.session.patience_s == 0.02


def test_a_stream_that_is_not_there_is_away(server: Server) -> None:
    scene = Scene(f"rtsp://127.0.0.1:{server.rtsp_port}/nobody")
    with closing(scene.reception) as reception:
        assert reception.state.kind == "connecting"
        reception.start()
        scene.wait_for_state("away")
        assert "nobody" in reception.state.sentence
        assert not reception.state.ended
        assert reception.session is None


def test_what_is_no_url_is_refused() -> None:
    scene = Scene("ftp://127.0.0.1/clock")
    with closing(scene.reception) as reception:
        reception.start()
        scene.wait_for_state("refused")
        assert "rtsp://" in reception.state.sentence


def test_a_server_that_is_started_again_is_found_again() -> None:
    with make_server() as first:
        port = first.rtsp_port
        scene = Scene(f"rtsp://127.0.0.1:{port}/clock")
        reception = scene.reception
        reception.start()
        with closing(reception):
            scene.wait_for_picture()
            before, old = reception.session, reception.sound
            seen: list[str] = []
            note_state_at_close(reception, seen)
            first.stop()
            scene.wait_for_state("away")
            wait_for(lambda: reception.pictures is None, "the end of the old pictures")
            wait_for(lambda: reception.sound is None, "the end of the old sound")
            assert old is not None
            wait_for(lambda: old.closed, "its end")
            assert seen == ["away"]  # live without a picture would be sound alone
            assert reception.session is before
            with make_server(port):
                scene.wait_for_state("live")
                scene.wait_for_picture()
                assert reception.session is not before
                assert reception.sound is not old
    assert scene.states[:3] == ["live", "away", "live"]


def note_state_at_close(reception: Reception, seen: list[str]) -> None:
    """Note what the reception says of itself when its pictures are closed."""
    pictures = reception.pictures
    assert pictures is not None
    close = pictures.close

    def noting() -> None:
        seen.append(reception.state.kind)
        close()

    pictures.close = noting  # type: ignore[method-assign]


@pytest.mark.parametrize("answers", [True, False])
def test_it_closes_while_it_connects(answers: bool) -> None:
    """To a server that takes connections and says nothing, or is not there at all."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        scene = Scene(f"rtsp://127.0.0.1:{silent.getsockname()[1]}/clock")
        if not answers:
            silent.close()
        scene.reception.start()
        began = time.monotonic()
        scene.reception.close()
        assert time.monotonic() - began < 2
    assert not [thread for thread in threading.enumerate() if thread.name == "network"]


def test_closed_it_has_no_threads_left(server: Server) -> None:
    before = set(threading.enumerate())
    scene = Scene(f"rtsp://127.0.0.1:{server.rtsp_port}/clock")
    scene.reception.start()
    scene.wait_for_picture()
    assert {"network", "decode video"} <= {
        thread.name for thread in set(threading.enumerate()) - before
    }
    scene.reception.close()
    assert set(threading.enumerate()) <= before
    scene.reception.close()  # once more does no harm


def test_one_that_was_never_started_can_be_closed() -> None:
    Scene("rtsp://127.0.0.1/clock").reception.close()
