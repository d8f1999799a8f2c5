"""Screens: which there are, and opening one, with the mouse pointer drawn."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from functools import partial

import av
import av.device

from streamsocket.desktop.sdl.devices import Screen, screens
from streamsocket.errors import SourceError
from streamsocket.sources.devices.camera import is_avfoundation_screen
from streamsocket.sources.devices.errors import NoDeviceError, opening_error
from streamsocket.sources.devices.picture_device import PictureDevice, Wish, open_first


def choose_screen(which: str, there: Sequence[Screen]) -> int:
    """The number of the screen that a user means by a number or a part of its name.

    Raises `NoDeviceError`.
    """
    if re.fullmatch(r"\d{1,4}|", which):
        if int(which or 0) < len(there):
            return int(which or 0)
    else:
        for number, screen in enumerate(there):
            if which.lower() in screen.name.lower():
                return number
    if not there:
        raise NoDeviceError("There is no screen to capture.")
    raise NoDeviceError(
        f"There is no screen:{which}: choose another (`streamsocket devices` lists them)."
    )


def open_screen(which: str, wish: Wish) -> PictureDevice:
    """Open the screen that is meant, in its own size.

    Raises `SourceError`, a `DeviceAwayError` if it may return.
    """
    rate = {"framerate": str(wish.rate)}
    if sys.platform == "darwin":
        number = _avfoundation_screen(which)
        tries = [{**rate, "capture_cursor": "1", "pixel_format": "nv12"}, {"capture_cursor": "1"}]
        return _opened("avfoundation", f"{number}:none", tries, "screen")
    if sys.platform == "win32":
        there = screens()
        area = _area(there[choose_screen(which, there)])
        offset = {"offset_x": str(area[0]), "offset_y": str(area[1])}
        size = {"video_size": f"{area[2]}x{area[3]}"}
        return _opened(
            "gdigrab", "desktop", [{**rate, **offset, **size, "draw_mouse": "1"}], "desktop"
        )
    return _open_x11(which, rate)


def x11_note() -> str | None:
    """What is to be said of an X display that isn't all of the screen."""
    if os.environ.get("WAYLAND_DISPLAY"):
        return (
            "This desktop is Wayland's, of which only the windows of X11 programs can be captured: "
            "log in to an X11 session to capture all of it."
        )
    return None


def _open_x11(which: str, rate: dict[str, str]) -> PictureDevice:
    display = os.environ.get("DISPLAY")
    if not display:
        raise SourceError(
            x11_note()
            or "There is no screen to capture: DISPLAY is not set, so no X11 session is known here."
        )
    there = screens()
    options = {**rate, "draw_mouse": "1"}
    if there or which:
        x, y, width, height = _area(there[choose_screen(which, there)])
        display += f"+{x},{y}"
        options["video_size"] = f"{width}x{height}"
    device = _opened("x11grab", display, [options], os.environ["DISPLAY"])
    device.note = x11_note()
    return device


def _area(screen: Screen) -> tuple[int, int, int, int]:
    return screen.x, screen.y, screen.width, screen.height


def _opened(
    format_name: str, device: str, tries: Sequence[dict[str, str]], name: str
) -> PictureDevice:
    container = open_first(format_name, device, tries, partial(opening_error, "screen", name))
    return PictureDevice("screen", name, container)


def _avfoundation_screen(which: str) -> int:
    """The number by which macOS opens a screen: they are listed among the cameras."""
    try:
        found = av.device.enumerate_input_devices("avfoundation")
    except (av.FFmpegError, ValueError):
        found = []
    seen = [each.description or each.name for each in found if "video" in each.media_types]
    numbers = [number for number, name in enumerate(seen) if is_avfoundation_screen(name)]
    there = [Screen(seen[number], 0, 0, 0, 0) for number in numbers]
    return numbers[choose_screen(which, there)]
