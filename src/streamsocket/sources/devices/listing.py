"""What there is to capture with and to hear with, as `streamsocket devices` tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.desktop.sdl.devices import Screen, microphones, screens, speakers
from streamsocket.sources.devices.camera import Camera, cameras


@dataclass(frozen=True, slots=True)
class Device:
    """A device and the word that means it."""

    kind: str
    """`camera`, `microphone`, `speaker` or `screen`."""
    word: str
    """What to write for it."""
    name: str
    """What the system calls it."""
    detail: str = ""
    """Its path, or its size in pixels."""


def list_devices() -> list[Device]:
    """All devices of all kinds. Opens none of them."""
    return [
        *camera_devices(cameras()),
        *sound_devices("microphone", "mic", microphones()),
        *sound_devices("speaker", "", speakers()),
        *screen_devices(screens()),
    ]


def camera_devices(there: Sequence[Camera]) -> list[Device]:
    """Cameras, and their words."""
    return [
        Device("camera", _numbered("camera", number), camera.name, camera.device)
        for number, camera in enumerate(there)
    ]


def screen_devices(there: Sequence[Screen]) -> list[Device]:
    """Screens, and their words."""
    return [
        Device(
            "screen", _numbered("screen", number), screen.name, f"{screen.width}x{screen.height}"
        )
        for number, screen in enumerate(there)
    ]


def sound_devices(kind: str, word: str, names: Sequence[str]) -> list[Device]:
    """Microphones or speakers: by name, which stays, or by number where names are the same."""
    count = Counter(names)
    prefix = f"{word}:" if word else ""
    return [
        Device(kind, f"{prefix}{name if count[name] == 1 else number}", name)
        for number, name in enumerate(names)
    ]


def _numbered(word: str, number: int) -> str:
    return f"{word}:{number}" if number else word
