"""SDL itself: loaded when it is first needed, its parts started and stopped by count."""

from __future__ import annotations

import os
import sys
import threading
from typing import Any

from streamsocket.errors import DeviceError

_lock = threading.Lock()


def load() -> Any:
    """The `sdl2` module. Raises DeviceError where it is not to be had."""
    try:
        try:
            import sdl2dll  # type: ignore[import-untyped]  # noqa: F401
            # … names its library in the environment; if `sdl2` has to do that itself, it warns.
        except ImportError:
            pass  # SDL may come with the system
        import sdl2  # type: ignore[import-untyped]
    except ImportError as failure:
        raise DeviceError(
            f"There is no window and no sound: SDL 2 cannot be loaded ({failure}). "
            "Install it with `pip install pysdl2-dll`."
        ) from None
    return sdl2


def start(sdl: Any, part: int) -> str | None:
    """Start a part of SDL (`SDL_INIT_VIDEO`, `SDL_INIT_AUDIO`), to be stopped as often.

    Returns None, or why it cannot be started.
    """
    with _lock:
        for name, value in _HINTS.items():
            sdl.SDL_SetHint(name, value)
        if part == sdl.SDL_INIT_VIDEO and _DISPLAYS and not os.environ.get("SDL_VIDEODRIVER"):
            return _start_video(sdl)
        return error(sdl) if sdl.SDL_InitSubSystem(part) else None


def _start_video(sdl: Any) -> str | None:
    """Start it at the desktop there is: left to itself, SDL would go on to draw unseen."""
    displays = {name: os.environ.get(name) for name in _DISPLAYS}
    drivers = [_DISPLAYS[name] for name, display in displays.items() if display]
    if not drivers:
        return "there is no display here (DISPLAY is not set)"
    sdl.SDL_SetHint(b"SDL_VIDEODRIVER", b",".join(drivers))
    for driver in ("X11", "WAYLAND"):
        # What task bars call the program; otherwise it is Python. There is no hint for it.
        os.environ.setdefault(f"SDL_VIDEO_{driver}_WMCLASS", "streamsocket")
    if sdl.SDL_InitSubSystem(sdl.SDL_INIT_VIDEO) == 0:
        return None
    said = ", ".join(f"{name} is '{display}'" for name, display in displays.items() if display)
    return f"the display cannot be reached ({said})"


def stop(sdl: Any, part: int) -> None:
    """Undo one `start`."""
    with _lock:
        sdl.SDL_QuitSubSystem(part)


def error(sdl: Any) -> str:
    """What SDL says went wrong, in this thread, last."""
    return str(sdl.SDL_GetError().decode(errors="replace"))


_DISPLAYS = (
    {"DISPLAY": b"x11", "WAYLAND_DISPLAY": b"wayland"} if sys.platform.startswith("linux") else {}
)
"""Where the environment says that there is a desktop, and which of SDL's drivers is for it."""

_HINTS = {
    b"SDL_APP_NAME": b"StreamSocket",
    b"SDL_NO_SIGNAL_HANDLERS": b"1",  # Ctrl-C is Python's
    b"SDL_VIDEO_ALLOW_SCREENSAVER": b"0",
    b"SDL_VIDEO_X11_NET_WM_BYPASS_COMPOSITOR": b"0",
    b"SDL_WINDOWS_DPI_AWARENESS": b"permonitorv2",
    # The software renderer draws through shared memory; without this SDL may put OpenGL under it,
    # which without a GPU costs ten times as much.
    b"SDL_FRAMEBUFFER_ACCELERATION": b"0",
}
