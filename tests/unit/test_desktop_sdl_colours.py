"""Which of SDL's colour conversions a picture gets."""

from __future__ import annotations

import pytest
from av import VideoFrame

from streamsocket.desktop.sdl.colours import for_sdl

RGB, BT709, UNSPECIFIED, BT470BG, SMPTE170M, BT2020 = 0, 1, 2, 5, 6, 9
ANY, LIMITED, FULL = 0, 1, 2


def frame(
    pixel_format: str = "yuv420p",
    matrix: int = UNSPECIFIED,
    colour_range: int = ANY,
    size: tuple[int, int] = (320, 240),
) -> VideoFrame:
    made = VideoFrame(*size, pixel_format)
    for plane in made.planes:
        plane.update(bytes(plane.buffer_size))
    made.colorspace, made.color_range = matrix, colour_range
    return made


@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12"])
@pytest.mark.parametrize(
    ("matrix", "colour_range", "conversion"),
    [
        (BT709, LIMITED, "bt709"),
        (BT709, ANY, "bt709"),
        (BT470BG, LIMITED, "bt601"),
        (SMPTE170M, ANY, "bt601"),
        (SMPTE170M, FULL, "jpeg"),
        (UNSPECIFIED, FULL, "jpeg"),
        (UNSPECIFIED, ANY, "bt601"),
    ],
)
def test_what_sdl_can_show_is_not_copied(
    pixel_format: str, matrix: int, colour_range: int, conversion: str
) -> None:
    given = frame(pixel_format, matrix, colour_range)
    shown = for_sdl(given)
    assert shown.frame is given
    assert shown.conversion == conversion


@pytest.mark.parametrize(
    ("size", "conversion"), [((1280, 720), "bt709"), ((720, 1280), "bt709"), ((720, 576), "bt601")]
)
def test_what_says_nothing_goes_by_its_size(size: tuple[int, int], conversion: str) -> None:
    assert for_sdl(frame(size=size)).conversion == conversion


def test_a_large_jpeg_is_one_all_the_same() -> None:
    shown = for_sdl(frame("yuvj420p", size=(1920, 1080)))
    assert shown.conversion == "jpeg"
    assert shown.frame.format.name == "yuvj420p"


@pytest.mark.parametrize(
    ("pixel_format", "matrix", "colour_range", "conversion"),
    [
        ("yuv422p", SMPTE170M, LIMITED, "bt601"),
        ("yuvj422p", UNSPECIFIED, ANY, "jpeg"),
        ("yuv420p10le", BT709, LIMITED, "bt709"),
        ("yuv420p", BT709, FULL, "bt709"),
        ("yuv420p10le", BT2020, LIMITED, "bt709"),
        ("rgb24", RGB, FULL, "bt709"),
        ("bgr0", UNSPECIFIED, ANY, "bt709"),
        ("gray", UNSPECIFIED, ANY, "bt601"),
    ],
)
def test_everything_else_is_converted(
    pixel_format: str, matrix: int, colour_range: int, conversion: str
) -> None:
    given = frame(pixel_format, matrix, colour_range)
    shown = for_sdl(given)
    assert shown.conversion == conversion
    assert shown.frame.format.name == ("yuvj420p" if conversion == "jpeg" else "yuv420p")
    assert (shown.frame.width, shown.frame.height) == (320, 240)
    assert given.format.name == pixel_format
