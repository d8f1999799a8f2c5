"""What is there to see and hear with: screens, speakers, microphones."""

from __future__ import annotations

from typing import NamedTuple

from streamsocket.desktop.sdl import library
from streamsocket.errors import DeviceError


class Screen(NamedTuple):
    """A screen, and where it is on the desktop, in the desktop's units."""

    name: str
    x: int
    y: int
    width: int
    height: int


def speakers() -> list[str]:
    """The names of the sound outputs, as `SdlSpeaker` takes them; none without a sound system."""
    return _sound_devices(recording=False)


def microphones() -> list[str]:
    """The names of the sound inputs, as `SdlMicrophone` takes them."""
    return _sound_devices(recording=True)


def screens() -> list[Screen]:
    """The screens of the desktop; none where there is no display."""
    try:
        sdl = library.load()
    except DeviceError:
        return []
    if library.start(sdl, sdl.SDL_INIT_VIDEO):
        return []
    found = []
    for index in range(sdl.SDL_GetNumVideoDisplays()):
        at = sdl.SDL_Rect()
        if sdl.SDL_GetDisplayBounds(index, at) == 0:
            name = sdl.SDL_GetDisplayName(index) or b""
            found.append(Screen(name.decode(errors="replace"), at.x, at.y, at.w, at.h))
    library.stop(sdl, sdl.SDL_INIT_VIDEO)
    return found


def _sound_devices(recording: bool) -> list[str]:
    try:
        sdl = library.load()
    except DeviceError:
        return []
    if library.start(sdl, sdl.SDL_INIT_AUDIO):
        return []
    names = [
        sdl.SDL_GetAudioDeviceName(index, int(recording))
        for index in range(sdl.SDL_GetNumAudioDevices(int(recording)))
    ]
    library.stop(sdl, sdl.SDL_INIT_AUDIO)
    return [name.decode(errors="replace") for name in names if name]
