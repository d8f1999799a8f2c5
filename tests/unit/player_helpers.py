"""Stand-ins for a window and a reception, and coded pictures."""

from __future__ import annotations

from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import numpy as np
from av.video.frame import VideoFrame

from streamsocket.client.receiver import Received
from streamsocket.codecs.encode import make_video_encoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec
from streamsocket.player.reception import State, Wishes
from streamsocket.player.schedule import Schedule

START = 1_700_000_000.0
RATE = 30


def coded_pictures(count: int, size: tuple[int, int] = (160, 96)) -> tuple[Codec, list[AccessUnit]]:
    """H.264, 30 a second, captured from START on; only the first is a keyframe."""
    encoder = make_video_encoder("h264", *size, Fraction(RATE), in_a_hurry=True)
    units = []
    for number in range(count):
        grey = np.full((size[1] * 3 // 2, size[0]), number * 8 % 256, np.uint8)
        frame = VideoFrame.from_ndarray(grey, "yuv420p")
        (coded,) = encoder.encode(frame, Fraction(number, RATE), keyframe=number == 0)
        ticks, captured = number * 90_000 // RATE, START + number / RATE
        unit = AccessUnit(coded.units, ticks, keyframe=coded.keyframe, capture_time=captured)
        units.append(unit)
    return encoder.codec, units


def received(unit: AccessUnit, *, intact: bool = True) -> Received:
    assert unit.capture_time is not None
    return Received(0, unit, unit.capture_time, intact=intact)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> float:
        return self.now


class FakeWindow:
    """Remembers what it is shown."""

    def __init__(self, size: tuple[int, int] = (640, 360)) -> None:
        self.size = size
        self.scale = 1.0
        self.pictures: dict[str, Any] = {}
        self.layers: dict[str, Any] = {}
        self.presented = 0
        self.coming: list[Any] = []
        self.waits: list[float] = []
        self.full_screen = False

    def set_picture(self, slot: str, frame: Any, pixel_aspect: float = 1.0) -> None:
        self.pictures[slot] = frame

    def set_layer(self, layer: str, image: Any) -> None:
        self.layers[layer] = image

    def present(self) -> float:
        self.presented += 1
        return 0.0

    def events(self, timeout_s: float) -> list[Any]:
        self.waits.append(timeout_s)
        coming, self.coming = self.coming, []
        return coming

    def wake(self) -> None:
        pass

    def toggle_full_screen(self) -> None:
        self.full_screen = not self.full_screen

    def close(self) -> None:
        pass


class FakeReception:
    """A reception that is whatever a test makes of it."""

    def __init__(self, url: str = "rtsp://127.0.0.1:8554/lobby") -> None:
        self.wishes = Wishes(url)
        self.schedule = Schedule()
        self.state = State("connecting")
        self.session: Any = None
        self.pictures: Any = None
        self.sound: Any = None
        self.keyframe_requests = 0

    def request_keyframe(self) -> None:
        self.keyframe_requests += 1

    def sounds(self, heard: float | None) -> None:
        """Let there be sound, which is there at that moment of capture."""
        self.sound = SimpleNamespace(
            heard=lambda: heard, volume=1.0, muted=False, offset_s=0.0, error=None
        )
