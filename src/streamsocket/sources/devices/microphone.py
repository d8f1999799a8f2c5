"""The microphone, by SDL."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from streamsocket.desktop.sdl import library
from streamsocket.desktop.sdl.devices import microphones
from streamsocket.desktop.sdl.sound import SdlMicrophone
from streamsocket.errors import DeviceError
from streamsocket.sources.devices.errors import DeviceAwayError, NoDeviceError

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Microphone

MicrophoneOpener = Callable[[], "Microphone"]


def choose_microphone(which: str, there: Sequence[str]) -> str | None:
    """The name of the microphone that is meant by a number or a part of it; None for the default.

    Raises `NoDeviceError`.
    """
    if not there:
        raise NoDeviceError(
            "There is no microphone: plug one in, and it is taken as soon as it is there."
        )
    if not which:
        return None
    if re.fullmatch(r"\d{1,4}", which):
        if int(which) < len(there):
            return there[int(which)]
    else:
        for name in there:
            if which.lower() in name.lower():
                return name
    raise NoDeviceError(
        f"There is no mic:{which}: plug it in, or choose another (`streamsocket devices` lists "
        "them)."
    )


def open_microphone(which: str) -> Microphone:
    """Open the microphone that is meant. Raises `DeviceAwayError`."""
    there = microphones()
    name = choose_microphone(which, there)
    try:
        return SdlMicrophone(name, _channels(name, there))
    except DeviceError as error:
        raise DeviceAwayError(
            f"{str(error).rstrip('.')}: close what else uses it, or choose another "
            "(`streamsocket devices` lists them)."
        ) from error


def _channels(name: str | None, there: Sequence[str]) -> int:
    """How many channels the microphone has, 1 or 2, as far as SDL knows."""
    sdl = library.load()
    spec = sdl.SDL_AudioSpec(0, 0, 0, 0)
    if library.start(sdl, sdl.SDL_INIT_AUDIO) is None:
        with suppress(RuntimeError):  # an SDL from before 2.24 doesn't tell of the default
            if name is None:
                sdl.SDL_GetDefaultAudioInfo(None, spec, 1)
            else:
                sdl.SDL_GetAudioDeviceSpec(there.index(name), 1, spec)
        library.stop(sdl, sdl.SDL_INIT_AUDIO)
    return 2 if spec.channels >= 2 else 1
