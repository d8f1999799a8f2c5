"""Cameras: which there are, and opening one in the format that comes nearest to what is wished."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

import av
import av.device

from streamsocket.sources.devices import v4l2
from streamsocket.sources.devices.errors import NoDeviceError, opening_error
from streamsocket.sources.devices.formats import Format, nearest
from streamsocket.sources.devices.picture_device import PictureDevice, Wish, open_first

_PLATFORM_FORMATS = {"linux": "v4l2", "darwin": "avfoundation", "win32": "dshow"}

# 29.97 pictures a second are 30.
_ABOUT = Fraction(1, 20)


class Camera(NamedTuple):
    """A camera that there is."""

    device: str
    """What the system opens it by."""
    name: str


def cameras() -> list[Camera]:
    """All cameras, in the order in which `camera:0`, `camera:1`, … count them."""
    if sys.platform == "linux":
        return [Camera(path, name) for path, name in v4l2.devices()]
    try:
        found = av.device.enumerate_input_devices(_format_name())
    except (av.FFmpegError, ValueError):
        return []
    seen = [each for each in found if "video" in each.media_types]
    if sys.platform == "darwin":
        # Screens are listed there too, after the cameras; what opens one is its number.
        return [
            Camera(str(number), each.description or each.name)
            for number, each in enumerate(seen)
            if not is_avfoundation_screen(each.description or each.name)
        ]
    return [Camera(each.description or each.name, each.description or each.name) for each in seen]


def is_avfoundation_screen(name: str) -> bool:
    """Whether what macOS lists among the cameras is a screen."""
    return bool(re.match(r"Capture screen \d", name))


def choose_camera(which: str, there: Sequence[Camera]) -> Camera:
    """The camera that a user means by a number, a path or a part of its name.

    Raises `NoDeviceError`.
    """
    if re.match(r"/dev/", which):
        return next((each for each in there if each.device == which), Camera(which, which))
    if not there:
        raise NoDeviceError(
            "There is no camera: plug one in, and it is taken as soon as it is there."
        )
    if re.fullmatch(r"\d{1,4}|", which):
        if int(which or 0) < len(there):
            return there[int(which or 0)]
        count = "is only one camera, camera:0" if len(there) == 1 else f"are {len(there)} cameras"
        raise NoDeviceError(
            f"There is no camera:{which}, there {count}: `streamsocket devices` lists them."
        )
    for camera in there:
        if which.lower() in camera.name.lower():
            return camera
    raise NoDeviceError(
        f"No camera is called '{which}': plug it in, or choose another "
        "(`streamsocket devices` lists them)."
    )


def open_camera(which: str, wish: Wish) -> PictureDevice:
    """Open the camera that is meant. Raises `SourceError`, a `DeviceAwayError` if it may return."""
    camera = choose_camera(which, cameras())
    shown = camera.name if camera.name == camera.device else f"{camera.name} ({camera.device})"
    formats = v4l2.formats(camera.device) if sys.platform == "linux" else []
    chosen = nearest(formats, wish.size, wish.rate)
    tries = [_options_of(chosen)] if chosen else list(_guesses(wish))
    container = open_first(
        _format_name(), _address(camera), [*tries, {}], partial(opening_error, "camera", shown)
    )
    device = PictureDevice("camera", shown, container)
    device.note = what_was_taken(device.size, device.rate, wish)
    return device


def open_virtual(graph: str, wish: Wish) -> PictureDevice:
    """Open FFmpeg's virtual device, which draws what a filter graph says."""
    container = open_first("lavfi", graph, [{}], partial(opening_error, "camera", graph))
    device = PictureDevice("camera", graph, container)
    device.note = what_was_taken(device.size, device.rate, wish)
    return device


def what_was_taken(size: tuple[int, int], rate: Fraction, wish: Wish) -> str | None:
    """The sentence for a camera that does not have what was wished; None if it has."""
    if size == wish.size and abs(rate / wish.rate - 1) < _ABOUT:
        return None
    had, wished = Format("", *size, rate), Format("", *wish.size, wish.rate)
    return f"The camera has no {wished.text}, it is taken at {had.text}."


def _format_name() -> str:
    return _PLATFORM_FORMATS.get(sys.platform, "v4l2")


def _address(camera: Camera) -> str:
    if sys.platform == "win32":
        return f"video={camera.device}"
    # Without the colon, avfoundation takes a microphone too.
    return f"{camera.device}:none" if sys.platform == "darwin" else camera.device


def _options_of(chosen: Format) -> Mapping[str, str]:
    return {
        "input_format": chosen.pixels,
        "video_size": f"{chosen.width}x{chosen.height}",
        "framerate": str(chosen.rate),
    }


def _guesses(wish: Wish) -> Iterator[Mapping[str, str]]:
    """Options in the order in which to try them, where the system doesn't tell what there is."""
    rates: Iterable[str] = dict.fromkeys((str(wish.rate), "30"))
    for size in dict.fromkeys((wish.size, (1280, 720), (640, 480))):
        for rate in rates:
            yield {"video_size": "{}x{}".format(*size), "framerate": rate}
