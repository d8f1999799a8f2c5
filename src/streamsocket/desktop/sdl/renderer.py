"""Opening the window and what draws in it, and what both know of the screen."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Any

from streamsocket.desktop.sdl import geometry

_GL_RENDERER = 0x1F01
_SOFTWARE_OPENGL = ("llvmpipe", "softpipe", "swrast", "swiftshader", "software", "gdi generic")
_GPUS = ("dri/renderD*", "nvidia[0-9]*", "dxg")
"""What GPUs are called in Linux's /dev."""
_MOST_SCALE = 4.0


def open_window(sdl: Any, title: str, width: int, height: int) -> tuple[Any, Any] | None:
    """A visible window and what draws in it; None if SDL cannot, which then says why.

    It has so many pixels at 96 dots an inch, or as many as the screen has room for.

    A GPU draws, if there is one. OpenGL without a GPU is passed over for SDL's own software
    renderer: a tenth of the time, and 70 MB less. Nothing waits for the screen's refresh: whoever
    shows pictures keeps time by himself, and desktops that put windows together don't let them
    tear.
    """
    opened = None
    if _may_have_gpu():
        opened = _opened(sdl, title, width, height, sdl.SDL_RENDERER_ACCELERATED)
        if opened and _is_software_opengl(sdl, opened[1]):
            _close(sdl, *opened)
            opened = None
    opened = opened or _opened(sdl, title, width, height, sdl.SDL_RENDERER_SOFTWARE)
    if opened:
        _fit_to_screen(sdl, opened[0], width, height)
        sdl.SDL_ShowWindow(opened[0])
    return opened


def _opened(sdl: Any, title: str, width: int, height: int, kind: int) -> tuple[Any, Any] | None:
    flags = sdl.SDL_WINDOW_RESIZABLE | sdl.SDL_WINDOW_ALLOW_HIGHDPI | sdl.SDL_WINDOW_HIDDEN
    anywhere = sdl.SDL_WINDOWPOS_UNDEFINED
    window = sdl.SDL_CreateWindow(title.encode(), anywhere, anywhere, width, height, flags)
    target = sdl.SDL_CreateRenderer(window, -1, kind) if window else None
    if target:
        return window, target
    if window:
        sdl.SDL_DestroyWindow(window)
    return None


def _close(sdl: Any, window: Any, target: Any) -> None:
    sdl.SDL_DestroyRenderer(target)
    sdl.SDL_DestroyWindow(window)


def _may_have_gpu() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return any(next(Path("/dev").glob(name), None) for name in _GPUS)


def _is_software_opengl(sdl: Any, target: Any) -> bool:
    if not name(sdl, target).startswith("opengl"):
        return False
    address = sdl.SDL_GL_GetProcAddress(b"glGetString")
    if not address:
        return False
    get_string = ctypes.CFUNCTYPE(ctypes.c_char_p, ctypes.c_uint)(address)
    says = (get_string(_GL_RENDERER) or b"").decode(errors="replace").lower()
    return any(word in says for word in _SOFTWARE_OPENGL)


def _fit_to_screen(sdl: Any, window: Any, width: int, height: int) -> None:
    room = sdl.SDL_Rect()
    if sdl.SDL_GetDisplayUsableBounds(max(0, sdl.SDL_GetWindowDisplayIndex(window)), room):
        return
    enlarge = _dots_per_inch(sdl, window) / 96
    first = geometry.first_size((width, height), enlarge, (room.w, room.h))
    sdl.SDL_SetWindowSize(window, *first)


def name(sdl: Any, target: Any) -> str:
    """What SDL calls the renderer."""
    info = sdl.SDL_RendererInfo()
    sdl.SDL_GetRendererInfo(target, info)
    return str(info.name.decode())


def output_size(sdl: Any, target: Any) -> tuple[int, int]:
    """Width and height in pixels."""
    width, height = ctypes.c_int(), ctypes.c_int()
    sdl.SDL_GetRendererOutputSize(target, width, height)
    return width.value, height.value


def scale(sdl: Any, window: Any, target: Any) -> float:
    """How much larger than at 96 dots an inch things have to be drawn: from 1 to 4.

    Where the desktop scales by itself (macOS, Wayland), pixels are more than the window's units;
    elsewhere it says how many dots an inch it wants things drawn for.
    """
    units = ctypes.c_int()
    sdl.SDL_GetWindowSize(window, units, None)
    ratio = output_size(sdl, target)[0] / max(1, units.value)
    return min(_MOST_SCALE, max(1.0, ratio * _dots_per_inch(sdl, window) / 96))


def _dots_per_inch(sdl: Any, window: Any) -> float:
    driver = sdl.SDL_GetCurrentVideoDriver()
    if driver == b"windows":
        dots = ctypes.c_float()
        index = max(0, sdl.SDL_GetWindowDisplayIndex(window))
        return 96.0 if sdl.SDL_GetDisplayDPI(index, dots, None, None) else dots.value
    return _x11_dots_per_inch(sdl, window) if driver == b"x11" else 96.0


def _x11_dots_per_inch(sdl: Any, window: Any) -> float:
    """What the user has set; SDL knows only the monitor's own, which nobody draws by."""
    info = sdl.SDL_SysWMinfo()
    sdl.SDL_VERSION(info.version)
    if not sdl.SDL_GetWindowWMInfo(window, info):
        return 96.0
    try:
        get_default = ctypes.CDLL("libX11.so.6").XGetDefault
        get_default.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p)
        get_default.restype = ctypes.c_char_p
        return float(get_default(info.info.x11.display, b"Xft", b"dpi") or 96)
    except (OSError, ValueError):
        return 96.0
