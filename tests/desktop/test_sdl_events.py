"""SDL's window and the desktop around it: keys, waiting, its title and size, the screens."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from time import monotonic

import numpy as np
import pytest
from tests.desktop.desktop import PATIENCE_S, Display, wait_for
from tests.desktop.shown import Open

from streamsocket.desktop.backend import DoubleClick, Key, Quit
from streamsocket.desktop.sdl.devices import Screen, screens
from streamsocket.desktop.sdl.window import SdlWindow
from streamsocket.errors import DeviceError

KEYS = {
    "q": "q",
    "Q": "q",
    "space": "space",
    "Return": "return",
    "KP_Enter": "return",
    "Escape": "escape",
    "BackSpace": "backspace",
    "Up": "up",
    "Down": "down",
    "Left": "left",
    "Right": "right",
    "plus": "+",
    "equal": "=",
    "minus": "-",
    "KP_Add": "+",
    "KP_Subtract": "-",
    "question": "?",
    "bracketleft": "[",
    "F11": "f11",
    "7": "7",
}


def test_keys(open_window: Open) -> None:
    shown = open_window()
    for pressed, name in KEYS.items():
        shown.display.press(shown.id, pressed)
        shown.wait_for_events(Key(name))


def test_keys_of_the_desktop_are_not_ours(open_window: Open) -> None:
    shown = open_window()
    shown.display.press(shown.id, "ctrl+q", "shift", "alt+f", "super+m", "x")
    shown.wait_for_events(Key("x"))


def test_a_double_click(open_window: Open) -> None:
    shown = open_window()
    shown.display.double_click(shown.id)
    shown.wait_for_events(DoubleClick())


def test_closing(open_window: Open) -> None:
    shown = open_window()
    shown.display.close_window(shown.id)
    shown.wait_for_events(Quit())


def test_waking_from_another_thread(open_window: Open) -> None:
    window = open_window().window
    for _ in range(3):
        waker = threading.Timer(0.2, window.wake)
        waker.start()
        began = monotonic()
        while (found := window.events(PATIENCE_S)) and monotonic() - began < PATIENCE_S:
            pass  # something of the desktop came first
        assert found == []
        assert 0.1 < monotonic() - began < PATIENCE_S / 2
        waker.join()


def test_control_c_while_waiting(open_window: Open) -> None:
    window = open_window().window
    window.events(0.2)
    interrupt = threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT))
    interrupt.start()
    began = monotonic()
    with pytest.raises(KeyboardInterrupt):
        wait_for(lambda: window.events(PATIENCE_S) and None, "Ctrl-C")
    assert monotonic() - began < PATIENCE_S / 2
    interrupt.join()


def test_waiting_takes_as_long_as_it_should(open_window: Open) -> None:
    window = open_window().window
    window.events(0.2)
    waits = []
    for _ in range(20):
        began = monotonic()
        window.events(0.0125)
        waits.append(monotonic() - began)
    assert 0.012 < float(np.median(waits)) < 0.016


def test_present_says_when(open_window: Open) -> None:
    window = open_window().window
    before = monotonic()
    assert before <= window.present() <= monotonic()


def test_the_title(open_window: Open) -> None:
    shown = open_window()
    assert shown.display.window("^window – ") == shown.id
    properties = subprocess.run(
        ["xprop", "-display", shown.display.name, "-id", shown.id, "WM_CLASS"],
        capture_output=True,
        timeout=PATIENCE_S,
        check=True,
    )
    assert b'"streamsocket"' in properties.stdout, "task bars would call it Python"


def test_full_screen_and_back(open_window: Open) -> None:
    """As far as it goes without a window manager, which is what enlarges windows."""
    shown = open_window(640, 360)
    shown.window.toggle_full_screen()
    shown.wait_for_size((shown.display.width, shown.display.height))
    shown.window.present()
    shown.window.toggle_full_screen()
    shown.wait_for_size((640, 360))


def test_one_that_is_larger_than_the_screen(open_window: Open) -> None:
    assert open_window(2560, 1440).window.size == (1280, 720)


def test_the_scale_that_the_desktop_is_set_to(x_display: Display, open_window: Open) -> None:
    def desktop_says(resources: str) -> None:
        subprocess.run(
            [
                "xprop",
                "-root",
                "-f",
                "RESOURCE_MANAGER",
                "8s",
                "-set",
                "RESOURCE_MANAGER",
                resources,
            ],
            check=True,
            timeout=PATIENCE_S,
            env=os.environ | {"DISPLAY": x_display.name},
        )

    small = open_window().window
    assert small.scale == 1
    small.close()
    desktop_says("Xft.dpi:\t144\n")
    try:
        large = open_window(640, 360).window
        assert large.scale == 1.5
        assert large.size == (960, 540)
    finally:
        desktop_says("")


def test_screens(x_display: Display) -> None:
    (screen,) = screens()
    assert screen == Screen(screen.name, 0, 0, x_display.width, x_display.height)


def test_a_display_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", "localhost:4095")
    for other in ("SDL_VIDEODRIVER", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(other, raising=False)
    with pytest.raises(DeviceError, match=r"DISPLAY is 'localhost:4095'"):
        SdlWindow("nowhere")
    assert screens() == []
