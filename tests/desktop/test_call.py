"""Two who call each other, each at a desktop of their own."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from numpy.typing import NDArray
from tests.desktop.desktop import (
    Display,
    PulseAudio,
    Recording,
    loudest_frequency,
    pulse_server,
    tone,
    wait_for,
    x_server,
)
from tests.desktop.playing import Command, Seen, command, descendants, is_running, read
from tests.interop.ports import free_ports
from tests.interop.serving import streamsocket

from streamsocket.desktop.sdl import geometry
from streamsocket.sources.yardstick import Reading

SECRET = "ABCD-2345"
SIZE = 240, 360
"""Taller than wide: the small picture lies beside the large one."""
PATTERN = "test:{}x{}@15".format(*SIZE)


@pytest.fixture(scope="module")
def other_screen() -> Iterator[Display]:
    with x_server() as display:
        yield display


class Line:
    """What two can call each other by."""

    def __init__(self, here: Display, there: Display) -> None:
        self.here, self.there = here, there
        self.port = str(free_ports()[0])

    def listen(
        self, source: str = PATTERN, sound: PulseAudio | None = None
    ) -> AbstractContextManager[Command]:
        """`streamsocket call --listen`, at the one screen."""
        return self._call(self.here, sound, "--listen", "--port", self.port, "--source", source)

    def call(
        self, source: str = PATTERN, secret: str = "abcd2345", sound: PulseAudio | None = None
    ) -> AbstractContextManager[Command]:
        """`streamsocket call HOST`, at the other."""
        address = f"127.0.0.1:{self.port}"
        return self._call(self.there, sound, address, "--source", source, secret=secret)

    def _call(
        self, screen: Display, sound: PulseAudio | None, *arguments: str, secret: str = SECRET
    ) -> AbstractContextManager[Command]:
        options = [*arguments, "--secret", secret]
        if "--listen" in arguments:
            options += ["--host", "127.0.0.1"]
        variables = sound.environment if sound else {"SDL_AUDIODRIVER": "dummy"}
        return command("call", *options, environment={"DISPLAY": screen.name, **variables})


@pytest.fixture
def line(x_display: Display, other_screen: Display) -> Line:
    return Line(x_display, other_screen)


class Window(Seen):
    """A call's: the other large, oneself small."""

    def __init__(self, display: Display) -> None:
        super().__init__(display, "^Call – StreamSocket$")

    def large(self) -> Reading | None:
        return self._at(geometry.fit(SIZE, 1.0, geometry.Rect(0, 0, 1280, 720)))

    def small(self) -> Reading | None:
        return self._at(geometry.inset(SIZE, 1.0, (1280, 720), 1.0))

    def wait_for_both(self) -> None:
        wait_for(self.large, "the other's picture")
        wait_for(self.small, "one's own picture")

    def _at(self, place: geometry.Rect) -> Reading | None:
        x, y, width, height = place
        return read(self.picture()[y : y + height, x : x + width])

    def shows_a_card(self) -> bool:
        """No picture, and not just black either."""
        picture = self.picture()
        return self.large() is None and 5 < picture.mean() < 60 and self.small() is None


def test_both_see_each_other_and_can_hang_up_and_call_again(line: Line) -> None:
    with line.listen() as listener:
        here = Window(line.here)
        wait_for(here.shows_a_card, "a card")
        listener.wait_for_words(f"streamsocket call 127.0.0.1:{line.port}")
        assert listener.says(SECRET)
        assert listener.says("headphones")

        with line.call() as caller:
            there = Window(line.there)
            here.wait_for_both()
            there.wait_for_both()
            assert listener.process.poll() is None
            there.press("q")
            assert caller.wait_for_end() == 0
        wait_for(here.shows_a_card, "a card, as the other has hung up")

        with line.call() as caller:
            there = Window(line.there)
            here.wait_for_both()
            there.wait_for_both()
            # The numbers are those of two patterns that began at different times.
            one, other = wait_for(here.large, "a picture"), wait_for(here.small, "a picture")
            assert abs(one.capture_time - other.capture_time) < 2
            assert one.frame_number + 15 < other.frame_number
            here.press("q")
            assert listener.wait_for_end() == 0
            wait_for(there.shows_a_card, "a card, as the other has hung up")
            assert caller.process.poll() is None
            assert caller.interrupt() == 0


def test_a_wrong_secret_is_told_in_a_sentence(line: Line) -> None:
    with line.listen() as listener, line.call(secret="ABCD-2346") as caller:
        assert caller.wait_for_end(20) == 1
        last = caller.output().splitlines()[-1]
        assert last == "streamsocket: 127.0.0.1 doesn't take this secret: ask for it once more."
        assert listener.process.poll() is None
        assert listener.interrupt() == 0


def test_who_calls_before_the_other_listens_is_put_through_later(line: Line) -> None:
    with line.call() as caller:
        there = Window(line.there)
        wait_for(there.shows_a_card, "a card")
        caller.wait_for_words("refuses the connection")
        with line.listen():
            there.wait_for_both()
            Window(line.here).wait_for_both()


def test_a_port_that_is_taken_is_told_with_the_option_that_chooses_another(line: Line) -> None:
    with line.listen() as first:
        Window(line.here)
        with line.listen() as second:
            assert second.wait_for_end(20) == 1
            last = second.output().splitlines()[-1]
            assert f"port {line.port} on 127.0.0.1 is taken" in last
            assert last.endswith("--port.")
        assert first.process.poll() is None


def test_a_device_that_is_missing_is_told_in_a_sentence(line: Line) -> None:
    with line.listen("camera:7") as listener:
        window = Window(line.here)
        wait_for(window.shows_a_card, "a card")
        wait_for(lambda: re.search("There is no camera", listener.output()), "a sentence")
        assert listener.interrupt() == 0


def test_without_a_display_it_says_so(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DISPLAY")
    done = streamsocket(
        *("call", "--listen", "--host", "127.0.0.1", "--port", line.port, "--source", PATTERN)
    )
    assert done.returncode == 1
    assert done.stderr.startswith("streamsocket: No window can be opened")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_it_leaves_nothing_behind(line: Line, number: int) -> None:
    with line.listen() as listener:
        window = Window(line.here)
        wait_for(window.shows_a_card, "a card")
        children = wait_for(lambda: descendants(listener.process.pid), "the source")
        listener.process.send_signal(number)
        listener.process.wait(10)
        wait_for(lambda: not any(map(is_running, children)), "the end of its children")


@pytest.fixture
def other_pulse(pulse: PulseAudio) -> Iterator[PulseAudio]:
    """What `pulse` is, for the other."""
    with TemporaryDirectory(prefix="pulse-") as folder, pulse_server(Path(folder)) as server:
        yield server


def loudness(recording: Recording, seconds: float) -> NDArray[np.float32]:
    """What is recorded in that time from now on."""
    begin = len(recording.samples)
    wanted = begin + round(seconds * 48_000)
    wait_for(lambda: len(recording.samples) >= wanted, f"{seconds} s")
    return recording.samples[begin:wanted]


def hears(recording: Recording, frequency: float) -> Callable[[], bool]:
    def look() -> bool:
        lately = recording.samples[-9_600:]
        if len(lately) < 9_600 or np.abs(lately).max() < 0.05:
            return False
        return abs(loudest_frequency(lately) - frequency) < 10

    return look


def test_both_hear_each_other_and_m_silences_the_microphone(
    line: Line, pulse: PulseAudio, other_pulse: PulseAudio
) -> None:
    with (
        pulse.play(tone(440, 60)),
        other_pulse.play(tone(880, 60)),
        line.listen("mic", pulse),
        line.call("mic", sound=other_pulse),
        pulse.record() as here_heard,
        other_pulse.record() as there_heard,
    ):
        there = Window(line.there)
        wait_for(hears(here_heard, 880), "the caller")
        wait_for(hears(there_heard, 440), "the listener")
        assert there.large() is None

        there.press("m")
        wait_for(lambda: np.abs(here_heard.samples[-4_800:]).max() < 0.01, "silence")
        assert np.abs(loudness(here_heard, 0.5)).max() < 0.01
        assert hears(there_heard, 440)()
        there.press("m")
        wait_for(hears(here_heard, 880), "the caller again")


@pytest.mark.slow
def test_a_screen_is_shared_and_hidden(line: Line) -> None:
    """The caller sends a screen; c sends a dark picture instead."""
    with line.listen(PATTERN), line.call("screen"):
        here, there = Window(line.here), Window(line.there)
        wait_for(there.large, "the listener's picture")
        # A screen of 1280 × 800 with the listener's picture in the middle of its window.
        wait_for(lambda: here.picture()[300:500, 600:680].mean() > 40, "the screen")
        there.press("c")
        wait_for(lambda: here.picture()[:, 200:900].mean() < 25, "a dark picture")
        there.press("c")
        wait_for(lambda: here.picture()[300:500, 600:680].mean() > 40, "the screen again")
