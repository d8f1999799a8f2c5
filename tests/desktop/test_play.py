"""`streamsocket play` on a desktop, from the first picture to the end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import numpy as np
import PIL.Image
import pytest
from tests.desktop.desktop import RATE, Display, PulseAudio, Recording, wait_for
from tests.desktop.playing import (
    Seen,
    changed,
    command,
    descendants,
    is_running,
    luma,
    read,
)
from tests.interop.serving import COMMAND, RunningServer, serving

from streamsocket.auth.passwords import hash_password
from streamsocket.sources.yardstick import beep_onsets, is_flash

PATTERN = "test:640x360@15"
GST_SERVER = Path(__file__).parents[1] / "interop" / "peers" / "gst_server.py"


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with serving(f"clock={PATTERN}") as server:
        yield server


@pytest.fixture
def clock(server: RunningServer) -> str:
    """The URL of a test pattern."""
    return server.url("clock")


@pytest.fixture
def no_speaker(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where sound doesn't matter it goes nowhere, quickly."""
    monkeypatch.setenv("SDL_AUDIODRIVER", "dummy")


def corner(picture: np.ndarray, where: str) -> np.ndarray:
    """A part of the window where the test pattern is bright: `top-left`, `top-right`, `centre`."""
    height, width, _ = picture.shape
    rows, columns = {
        "top-left": (slice(0, height // 5), slice(0, width // 4)),
        "top-right": (slice(height // 36, height // 16), slice(width * 15 // 16, width * 49 // 50)),
        "centre": (slice(height * 5 // 8, height * 3 // 4), slice(width * 2 // 5, width * 3 // 5)),
    }[where]
    return picture[rows, columns]


def wait_until_dark(window: Seen, where: str, darker: bool = True) -> None:
    """That a dark panel lies there, or no longer."""
    wait_for(
        lambda: bool(np.median(luma(corner(window.picture(), where))) < 60) == darker,
        f"{'something' if darker else 'nothing'} at the {where}",
    )


def beeps(recording: Recording) -> int:
    return len(beep_onsets(recording.samples[:, 0], RATE))


def test_the_picture_is_seen_live_and_q_ends_it(
    x_display: Display, no_speaker: None, clock: str
) -> None:
    with command("play", clock) as player:
        window = Seen(x_display, "clock – StreamSocket")
        first = window.wait_for_picture()
        later = window.wait_for_picture(first.frame_number + 10)
        assert abs(time.time() - later.capture_time) < 5
        assert player.says(f"Playing {clock}: video h264 over UDP, audio opus over TCP.")
        window.press("q")
        assert player.wait_for_end() == 0


def test_keys(x_display: Display, no_speaker: None, clock: str, tmp_path: Path) -> None:
    with command("play", clock, "--title", "Keys", "--snapshots", str(tmp_path)) as player:
        window = Seen(x_display, "Keys")
        window.wait_for_picture()

        wait_until_dark(window, "top-left", darker=False)
        window.press("i")
        wait_until_dark(window, "top-left")
        window.press("i")
        wait_until_dark(window, "top-left", darker=False)

        window.press("h")
        wait_until_dark(window, "centre")
        window.press("h")
        wait_until_dark(window, "centre", darker=False)

        window.press("space")
        wait_until_dark(window, "top-right")
        assert window.stands_still()
        stood = window.picture()
        window.press("space")
        wait_for(lambda: changed(stood, window.picture()) > 0.05, "the picture to go on")
        wait_until_dark(window, "top-right", darker=False)

        window.press("m")
        wait_until_dark(window, "top-right")
        window.press("Up")
        wait_until_dark(window, "top-right", darker=False)

        window.press("s")
        saved = wait_for(lambda: next(tmp_path.glob("*.png"), None), "the snapshot")
        assert saved.name.startswith("clock-")
        wait_for(lambda: saved.stat().st_size > 1000, "all of it")
        with PIL.Image.open(saved) as image:
            assert image.size == (640, 360)
            pixels = np.asarray(image.convert("RGB"))
            assert read(pixels) is not None or is_flash(luma(pixels))

        # Nobody enlarges windows here, but the picture lies in the whole screen's middle then.
        window.press("f")
        wait_for(lambda: window.picture()[:36].max() < 10, "full screen")
        window.press("f")
        window.wait_for_picture()
        x_display.double_click(window.id)
        wait_for(lambda: window.picture()[:36].max() < 10, "full screen")
        window.press("Escape")
        assert player.wait_for_end() == 0


def test_the_sound_is_heard_and_m_silences_it(
    x_display: Display, pulse: PulseAudio, clock: str
) -> None:
    with command("play", clock) as player:
        window = Seen(x_display, "clock")
        with pulse.record() as recording:
            # The first may come early: the delay is still being learnt.
            wait_for(lambda: beeps(recording) >= 3, "beeps")
            *_, before, last = beep_onsets(recording.samples[:, 0], RATE)
            assert (last - before) / RATE == pytest.approx(1, abs=0.1)
        window.press("m")
        wait_until_dark(window, "top-right")
        with pulse.record() as recording:
            wait_for(lambda: recording.heard_s > 1.5, "1.5 s")
            assert np.abs(recording.samples).max() < 0.001
        window.press("m")
        with pulse.record() as recording:
            wait_for(lambda: beeps(recording) >= 1, "a beep")
        window.press("space")
        assert window.stands_still()
        with pulse.record() as recording:
            wait_for(lambda: recording.heard_s > 1.5, "1.5 s")
            assert np.abs(recording.samples).max() < 0.001
        window.press("q")
        assert player.wait_for_end() == 0


def test_a_server_that_dies_and_comes_back(x_display: Display, no_speaker: None) -> None:
    with serving(f"clock={PATTERN}") as first:
        ports = first.rtsp_port, first.http_port, first.udp_port
        with command("play", first.url("clock")) as player:
            window = Seen(x_display, "clock")
            window.wait_for_picture()
            os.killpg(first.process.pid, signal.SIGKILL)
            first.process.wait()
            wait_until_dark(window, "top-right")  # the last picture, and a badge
            assert luma(window.picture()).mean() > 60
            window.wait_for_none()  # a card
            assert player.process.poll() is None

            options = ["--rtsp-port", str(ports[0]), "--http-port", str(ports[1])]
            with command("serve", f"clock={PATTERN}", *options) as again:
                again.wait_for_words(f":{ports[0]}")
                back = time.time()
                window.wait_for_fresh_picture(back)
                assert time.time() - back < 10
                assert player.output().count("Playing") == 2
                window.press("q")
                assert player.wait_for_end() == 0
                again.interrupt()
        first.process.returncode = 0  # its end was ours


def publishing(
    server: RunningServer, name: str, source: str, *options: str
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [*COMMAND, "publish", source, server.url(name), *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )


def test_a_stream_that_comes_later_and_changes_its_size_and_codec(
    x_display: Display, no_speaker: None, server: RunningServer
) -> None:
    with command("play", server.url("live/show")) as player:
        window = Seen(x_display, "live/show")
        player.wait_for_words("It is tried again")
        assert window.reading() is None
        for source, codec in (
            ("test:320x180@15", "h264+aac"),
            ("test:240x240@10", "h264+aac"),
            ("test:320x180@15", "vp8+opus"),
        ):
            began = time.time()
            publisher = publishing(server, "live/show", source, "--codec", codec)
            try:
                if source == "test:240x240@10":
                    square = slice((1280 - 720) // 2, (1280 + 720) // 2)

                    def look(since: float = began, square: slice = square) -> bool:
                        reading = read(window.picture()[:, square])
                        return reading is not None and reading.capture_time > since

                    wait_for(look, "a square picture")
                    assert window.picture()[:, :200].max() < 10  # black bars
                else:
                    window.wait_for_fresh_picture(began)
                player.wait_for_words(f"video {codec.partition('+')[0]} ")
            finally:
                publisher.send_signal(signal.SIGINT)
                publisher.wait(10)
        window.press("q")
        assert player.wait_for_end() == 0


def test_a_stream_of_another_server(
    x_display: Display,
    pulse: PulseAudio,
    cannot_test: Callable[[str], NoReturn],
) -> None:
    peer = subprocess.Popen(
        ["/usr/bin/python3", str(GST_SERVER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert peer.stdin is not None
    assert peer.stdout is not None
    try:
        url = peer.stdout.readline().decode().strip()
        if not url:
            cannot_test("playing what is not ours: gst-rtsp-server is not installed")
        with command("play", url) as player:
            window = Seen(x_display, "test")
            wait_for(lambda: player.says("Playing"), "the stream")
            # A white ball on black that moves, 4:3 between black bars.
            wait_for(lambda: window.picture()[:, 160:-160].max() > 200, "the ball")
            seen = window.picture()
            wait_for(lambda: changed(seen, window.picture()) > 0.001, "the ball to move")
            assert window.picture()[:, :150].max() < 10
            with pulse.record() as recording:
                wait_for(lambda: np.abs(recording.samples).max(initial=0) > 0.1, "the tone")
            window.press("q")
            assert player.wait_for_end() == 0
    finally:
        peer.stdin.close()
        peer.wait(10)
        peer.stdout.close()


def test_the_picture_alone_over_tcp(x_display: Display, pulse: PulseAudio, clock: str) -> None:
    with command("play", clock, "--no-audio", "--transport", "tcp") as player:
        window = Seen(x_display, "clock")
        window.wait_for_picture()
        assert player.says("video h264 over TCP")
        with pulse.record() as recording:
            wait_for(lambda: recording.heard_s > 1.2, "1.2 s")
            assert np.abs(recording.samples).max() < 0.001


def test_the_sound_alone(x_display: Display, pulse: PulseAudio, clock: str) -> None:
    with command("play", clock, "--no-video"), pulse.record() as recording:
        window = Seen(x_display, "clock")
        wait_for(lambda: beeps(recording) >= 1, "a beep")
        assert window.reading() is None
        picture = window.picture()
        assert 5 < luma(picture).mean() < 60  # a card, not nothing
        time.sleep(0.3)
        assert changed(picture, window.picture()) == 0


def test_muted_from_the_beginning(x_display: Display, no_speaker: None, clock: str) -> None:
    with command("play", clock, "--mute") as player:
        window = Seen(x_display, "clock")
        window.wait_for_picture()
        wait_until_dark(window, "top-right")
        assert player.interrupt() == 0


def test_a_wrong_password_is_told_in_a_sentence(
    x_display: Display, no_speaker: None, tmp_path: Path
) -> None:
    settings = tmp_path / "users.toml"
    settings.write_text(f'[users.alice]\npassword = "{hash_password("right")}"\n')
    with serving(f"clock={PATTERN}", options=["--config", str(settings)]) as server:
        url = server.url("clock").replace("//", "//alice:wrong@")
        with command("play", url) as player:
            assert player.wait_for_end(20) == 1
            [sentence] = player.output().splitlines()
            assert sentence.startswith("streamsocket: ")
            assert "password" in sentence
            assert "wrong@" not in sentence
        with command("play", url.replace("wrong", "right")):
            Seen(x_display, "clock").wait_for_picture()


def test_a_window_that_is_closed_ends_it(x_display: Display, no_speaker: None, clock: str) -> None:
    with command("play", clock) as player:
        window = Seen(x_display, "clock")
        window.wait_for_picture()
        x_display.close_window(window.id)
        assert player.wait_for_end() == 0


@pytest.mark.parametrize(
    ("number", "url"),
    [(signal.SIGINT, "clock"), (signal.SIGTERM, "nobody"), (signal.SIGINT, "unreachable")],
)
def test_signals_end_it_quickly(
    x_display: Display, no_speaker: None, server: RunningServer, number: int, url: str
) -> None:
    # An address that no packet comes back from (RFC 5737).
    url = "rtsp://192.0.2.1/clock" if url == "unreachable" else server.url(url)
    with command("play", url, "--title", "Ending") as player:
        window = Seen(x_display, "Ending")
        if url == server.url("clock"):
            window.wait_for_picture()
        began = time.monotonic()
        player.process.send_signal(number)
        assert player.wait_for_end() == 0
        assert time.monotonic() - began < 3


def test_killed_it_leaves_nothing_behind(x_display: Display, no_speaker: None, clock: str) -> None:
    with command("play", clock) as player:
        Seen(x_display, "clock").wait_for_picture()
        children = descendants(player.process.pid)
        player.process.kill()
        player.process.wait()
        wait_for(lambda: not any(map(is_running, children)), "the end of its children")


def test_without_a_sound_device_the_picture_is_shown(
    x_display: Display, pulse: PulseAudio, clock: str
) -> None:
    pulse.end()
    with command("play", clock) as player:
        window = Seen(x_display, "clock")
        shown = window.wait_for_picture()
        window.wait_for_picture(shown.frame_number)
        wait_for(lambda: len(player.output().splitlines()) > 1, "a sentence on it")
        assert "speaker" in player.output() or "sound" in player.output()


@pytest.mark.parametrize("display", [None, ":4711"])
def test_without_a_display_it_says_so(clock: str, display: str | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "WAYLAND_DISPLAY"}
    environment.pop("DISPLAY", None)
    environment.pop("SDL_VIDEODRIVER", None)
    done = subprocess.run(
        [*COMMAND, "play", clock],
        env=environment | ({"DISPLAY": display} if display else {}),
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith("streamsocket: No window can be opened")
