"""Which of a camera's formats is taken."""

from __future__ import annotations

from fractions import Fraction

import pytest

from streamsocket.sources.devices.formats import Format, nearest

_HD, _FULL_HD, _VGA, _NHD = (1280, 720), (1920, 1080), (640, 480), (640, 360)


def _formats(*texts: str) -> list[Format]:
    found = []
    for text in texts:
        pixels, size, rate = text.split()
        width, height = map(int, size.split("x"))
        found.append(Format(pixels, width, height, Fraction(rate)))
    return found


_WEBCAM = _formats(
    "yuyv422 640x480 30",
    "yuyv422 640x360 30",
    "yuyv422 1280x720 10",
    "yuyv422 1920x1080 5",
    "mjpeg 640x480 30",
    "mjpeg 1280x720 30",
    "mjpeg 1280x720 60",
    "mjpeg 1920x1080 30",
)


@pytest.mark.parametrize(
    ("size", "rate", "taken"),
    [
        (_HD, 30, "mjpeg 1280x720 30"),  # and not ten raw pictures a second
        (_HD, 60, "mjpeg 1280x720 60"),
        (_FULL_HD, 30, "mjpeg 1920x1080 30"),
        (_VGA, 30, "yuyv422 640x480 30"),  # nothing has to be decoded
        (_NHD, 25, "yuyv422 640x360 30"),
        ((3840, 2160), 30, "mjpeg 1920x1080 30"),
        ((160, 90), 30, "yuyv422 640x360 30"),
        (_HD, 10, "yuyv422 1280x720 10"),
    ],
)
def test_a_webcam(size: tuple[int, int], rate: int, taken: str) -> None:
    [wanted] = _formats(taken)
    assert nearest(_WEBCAM, size, Fraction(rate)) == wanted


@pytest.mark.parametrize(
    ("offered", "taken"),
    [
        (["yuyv422 640x480 30"], 0),
        (["yuyv422 1280x720 5", "yuyv422 640x480 30"], 1),
        (["yuyv422 1280x720 5", "yuyv422 320x240 30"], 0),
        (["h264 1280x720 30", "mjpeg 1280x720 30"], 1),
        (["mjpeg 1280x720 30000/1001", "mjpeg 1280x720 60"], 0),
        (["mjpeg 1280x960 30", "mjpeg 1280x720 30"], 1),
    ],
)
def test_other_cameras(offered: list[str], taken: int) -> None:
    formats = _formats(*offered)
    assert nearest(formats, _HD, Fraction(30)) == formats[taken]


def test_a_camera_that_tells_nothing() -> None:
    assert nearest([], _HD, Fraction(30)) is None


def test_a_format_is_told_to_people() -> None:
    assert Format("mjpeg", 1280, 720, Fraction(30_000, 1001)).text == "1280x720 at 29.97"
