"""Which device a user means, and what is said where it is not to be had."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import av
import pytest

from streamsocket.desktop.sdl.devices import Screen
from streamsocket.errors import DeviceError, SourceError
from streamsocket.sources.devices import camera, microphone, picture_device, screen
from streamsocket.sources.devices.camera import Camera, choose_camera, open_camera, what_was_taken
from streamsocket.sources.devices.errors import DeviceAwayError, NoDeviceError, opening_error
from streamsocket.sources.devices.formats import Format
from streamsocket.sources.devices.listing import camera_devices, screen_devices, sound_devices
from streamsocket.sources.devices.microphone import choose_microphone, open_microphone
from streamsocket.sources.devices.picture_device import Wish, open_first
from streamsocket.sources.devices.screen import choose_screen, open_screen

_CAMERAS = [Camera("/dev/video0", "Integrated Camera"), Camera("/dev/video2", "USB Cam: HD")]
_MICROPHONES = ["Built-in Audio", "Headset"]
_SCREENS = [Screen("eDP-1", 0, 0, 1920, 1080), Screen("HDMI-1", 1920, 0, 2560, 1440)]
_WISH = Wish((1280, 720), Fraction(30))


@pytest.mark.parametrize(
    ("which", "number"), [("", 0), ("0", 0), ("1", 1), ("usb", 1), ("/dev/video2", 1)]
)
def test_a_camera_is_chosen(which: str, number: int) -> None:
    assert choose_camera(which, _CAMERAS) == _CAMERAS[number]


def test_a_path_is_taken_as_it_is() -> None:
    assert choose_camera("/dev/video9", []).device == "/dev/video9"


@pytest.mark.parametrize(
    ("choose", "which", "there", "reason"),
    [
        (choose_camera, "", [], "There is no camera: plug one in"),
        (choose_camera, "2", _CAMERAS, "no camera:2, there are 2 cameras"),
        (choose_camera, "1", _CAMERAS[:1], "no camera:1, there is only one camera, camera:0"),
        (choose_camera, "Logi", _CAMERAS, "No camera is called 'Logi'"),
        (choose_microphone, "", [], "There is no microphone: plug one in"),
        (choose_microphone, "7", _MICROPHONES, "There is no mic:7"),
        (choose_microphone, "Logi", _MICROPHONES, "There is no mic:Logi"),
        (choose_screen, "2", _SCREENS, "There is no screen:2"),
        (choose_screen, "DP-7", _SCREENS, "There is no screen:DP-7"),
        (choose_screen, "", [], "There is no screen to capture"),
    ],
)
def test_what_is_not_there_is_said_and_waited_for(
    choose: Callable[[str, Any], Any], which: str, there: list[Any], reason: str
) -> None:
    with pytest.raises(NoDeviceError, match=reason) as caught:
        choose(which, there)
    assert str(caught.value).endswith(".")


def test_a_microphone_is_chosen() -> None:
    assert choose_microphone("", _MICROPHONES) is None
    assert choose_microphone("1", _MICROPHONES) == "Headset"
    assert choose_microphone("head", _MICROPHONES) == "Headset"


def test_a_screen_is_chosen() -> None:
    assert [choose_screen(which, _SCREENS) for which in ("", "1", "hdmi")] == [0, 1, 1]


def test_devices_are_listed_with_their_words() -> None:
    assert [(each.word, each.detail) for each in camera_devices(_CAMERAS)] == [
        ("camera", "/dev/video0"),
        ("camera:1", "/dev/video2"),
    ]
    assert [(each.word, each.detail) for each in screen_devices(_SCREENS)] == [
        ("screen", "1920x1080"),
        ("screen:1", "2560x1440"),
    ]
    words = [each.word for each in sound_devices("microphone", "mic", ["A", "B", "A"])]
    assert words == ["mic:0", "mic:B", "mic:2"]  # where names are the same, only numbers help
    for which, name in zip(words, "ABA", strict=True):
        assert choose_microphone(which.removeprefix("mic:"), ["A", "B", "A"]) == name


@pytest.mark.parametrize(
    ("number", "reason", "may_change"),
    [
        (errno.EBUSY, "in use by another program: close that", True),
        (errno.ENOENT, "is not there: plug it in", True),
        (errno.ENODEV, "is not there: plug it in", True),
        (errno.EIO, r"cannot be opened \(Input/output error\)", True),
        (errno.EACCES, "add yourself to the group video", False),
    ],
)
def test_why_a_device_cannot_be_opened(number: int, reason: str, may_change: bool) -> None:
    error = opening_error("camera", "Cam", number, "Input/output error")
    with pytest.raises(SourceError, match=reason):
        raise error
    assert isinstance(error, DeviceAwayError) == may_change
    assert str(error).endswith(".")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
def test_the_way_out_is_the_systems_own(
    number: int, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    text = str(opening_error("camera", "Cam", number, "x"))
    assert ("group video" in text) == (platform == "linux" and number == errno.EACCES)
    assert ("allow" in text) == (platform != "linux")


def _refusing(number: int, opened: list[dict[str, str]]) -> Callable[..., Any]:
    def refuse(device: str, *, options: dict[str, str], **_: Any) -> Any:
        opened.append(options)
        av.error.err_check(-number)

    return refuse


@pytest.mark.parametrize(
    ("number", "tries"), [(errno.EINVAL, 3), (errno.EIO, 3), (errno.EBUSY, 1), (errno.EACCES, 1)]
)
def test_options_that_are_refused_are_followed_by_others(
    number: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[dict[str, str]] = []
    monkeypatch.setattr(picture_device.av, "open", _refusing(number, opened))
    with pytest.raises(SourceError):
        open_first("v4l2", "x", [{"a": "1"}, {"b": "2"}, {}], partial(opening_error, "camera", "x"))
    assert len(opened) == tries


def test_a_camera_is_opened_in_the_nearest_format(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, str]] = []
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(camera, "cameras", lambda: _CAMERAS)
    offered = {"/dev/video2": [Format("mjpeg", 1280, 720, Fraction(30))]}
    monkeypatch.setattr(camera.v4l2, "formats", lambda path: offered[path])
    monkeypatch.setattr(picture_device.av, "open", _refusing(errno.EBUSY, opened))
    with pytest.raises(DeviceAwayError, match=r"USB Cam: HD \(/dev/video2\) is in use"):
        open_camera("1", _WISH)
    assert opened == [{"input_format": "mjpeg", "video_size": "1280x720", "framerate": "30"}]


def test_a_camera_that_tells_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[dict[str, str]] = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(camera, "cameras", lambda: [Camera("0", "FaceTime")])
    monkeypatch.setattr(picture_device.av, "open", _refusing(errno.EIO, opened))
    with pytest.raises(DeviceAwayError, match="Privacy & Security"):
        open_camera("", Wish((1920, 1080), Fraction(25)))
    assert opened[0] == {"video_size": "1920x1080", "framerate": "25"}
    assert {"video_size": "1280x720", "framerate": "30"} in opened
    assert opened[-1] == {}


def test_what_was_taken_is_said_where_it_differs() -> None:
    assert what_was_taken((1280, 720), Fraction(30_000, 1001), _WISH) is None
    assert what_was_taken((640, 480), Fraction(15), _WISH) == (
        "The camera has no 1280x720 at 30, it is taken at 640x480 at 15."
    )


def test_without_a_display_there_is_no_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with pytest.raises(SourceError, match="DISPLAY is not set"):
        open_screen("", _WISH)
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-0")
    with pytest.raises(SourceError, match="log in to an X11 session"):
        open_screen("", _WISH)


def test_one_screen_of_several_is_captured(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[tuple[str, dict[str, str]]] = []

    def refuse(device: str, *, options: dict[str, str], **_: Any) -> Any:
        opened.append((device, options))
        av.error.err_check(-errno.EACCES)

    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("DISPLAY", ":7")
    monkeypatch.setattr(screen, "screens", lambda: _SCREENS)
    monkeypatch.setattr(picture_device.av, "open", refuse)
    with pytest.raises(SourceError):
        open_screen("1", _WISH)
    options = {"framerate": "30", "draw_mouse": "1", "video_size": "2560x1440"}
    assert opened == [(":7+1920,0", options)]


def test_a_microphone_that_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str | None, channels: int) -> None:
        raise DeviceError(f"The microphone cannot be opened: {name}.")

    monkeypatch.setattr(microphone, "microphones", lambda: _MICROPHONES)
    monkeypatch.setattr(microphone, "SdlMicrophone", refuse)
    monkeypatch.setattr(microphone, "_channels", lambda name, there: 1)
    with pytest.raises(DeviceAwayError, match="cannot be opened: Headset: close what else"):
        open_microphone("1")
