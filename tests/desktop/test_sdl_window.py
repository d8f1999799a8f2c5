"""What is seen in SDL's window on a real screen: its pictures, and the layers on them."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from av import VideoFrame
from numpy.typing import NDArray
from tests.desktop.shown import Open

from streamsocket.desktop.backend import Resized
from streamsocket.desktop.sdl import renderer

BT709, BT601, BT2020 = 1, 6, 9
LIMITED, FULL = 1, 2
TOLERANCE = 4
BLACK = (0, 0, 0)
RED, GREEN, BLUE, YELLOW = (200, 40, 30), (20, 180, 60), (30, 60, 210), (230, 220, 40)

Colour = tuple[int, int, int]


@pytest.fixture(params=["software", "opengl"])
def any_renderer(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Windows are drawn by this renderer, though its OpenGL has no GPU here."""
    accelerated = request.param == "opengl"
    monkeypatch.setattr(renderer, "_may_have_gpu", lambda: accelerated)
    monkeypatch.setattr(renderer, "_is_software_opengl", lambda *_: False)
    return str(request.param)


def picture(
    colours: list[Colour],
    width: int = 640,
    height: int = 360,
    *,
    pixel_format: str = "yuv420p",
    matrix: int = BT709,
    colour_range: int = LIMITED,
) -> VideoFrame:
    """Upright bars of these colours, encoded as it is said."""
    planes = [
        np.empty((height, width), np.uint8),
        *(np.empty(((height + 1) // 2, (width + 1) // 2), np.uint8) for _ in range(2)),
    ]
    for number, colour in enumerate(colours):
        for plane, value in zip(planes, yuv(colour, matrix, colour_range), strict=True):
            bar = plane.shape[1] / len(colours)
            plane[:, round(number * bar) : round((number + 1) * bar)] = value
    frame = VideoFrame(width, height, "yuv420p")
    for plane, values in zip(frame.planes, planes, strict=True):
        lines = np.zeros((values.shape[0], plane.line_size), np.uint8)
        lines[:, : values.shape[1]] = values
        plane.update(lines)
    frame.colorspace, frame.color_range = matrix, colour_range
    if pixel_format == "yuv420p":
        return frame
    other = frame.reformat(
        format=pixel_format, src_color_range=colour_range, dst_color_range=colour_range
    )
    other.colorspace, other.color_range = matrix, colour_range
    return other


def yuv(colour: Colour, matrix: int, colour_range: int) -> tuple[int, int, int]:
    """A colour as ITU-R BT.601 or BT.709 or BT.2020 write it in eight bits."""
    red_share, blue_share = {
        BT709: (0.2126, 0.0722),
        BT601: (0.299, 0.114),
        BT2020: (0.2627, 0.0593),
    }[matrix]
    red, green, blue = (value / 255 for value in colour)
    y = red_share * red + (1 - red_share - blue_share) * green + blue_share * blue
    u = (blue - y) / (2 - 2 * blue_share)
    v = (red - y) / (2 - 2 * red_share)
    if colour_range == FULL:
        return round(255 * y), round(128 + 255 * u), round(128 + 255 * v)
    return round(16 + 219 * y), round(128 + 224 * u), round(128 + 224 * v)


def assert_colour(seen: NDArray[np.uint8], x: int, y: int, colour: Colour) -> None:
    found = seen[y, x].astype(int)
    assert np.abs(found - colour).max() <= TOLERANCE, f"at {x}, {y}: {found}, not {colour}"


def assert_bars(seen: NDArray[np.uint8], colours: list[Colour]) -> None:
    """Bars of these colours from edge to edge."""
    height, width = seen.shape[:2]
    for number, colour in enumerate(colours):
        x = round((number + 0.5) * width / len(colours))
        for y in (2, height // 2, height - 3):
            assert_colour(seen, x, y, colour)


@pytest.mark.usefixtures("any_renderer")
@pytest.mark.parametrize("colour_range", [LIMITED, FULL])
@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv444p"])
def test_colours(open_window: Open, pixel_format: str, matrix: int, colour_range: int) -> None:
    shown = open_window()
    colours = [RED, GREEN, BLUE, YELLOW, (255, 255, 255), BLACK]
    shown.window.set_picture(
        "main",
        picture(colours, pixel_format=pixel_format, matrix=matrix, colour_range=colour_range),
    )
    assert_bars(shown.seen(), colours)


@pytest.mark.parametrize("matrix", [BT601, BT709, BT2020])
def test_colours_of_ten_bits(open_window: Open, matrix: int) -> None:
    shown = open_window()
    frame = picture([RED, GREEN, BLUE], pixel_format="yuv420p10le", matrix=matrix)
    shown.window.set_picture("main", frame)
    assert_bars(shown.seen(), [RED, GREEN, BLUE])


@pytest.mark.parametrize("pixel_format", ["rgb24", "bgr0", "rgba", "gbrp"])
def test_colours_of_the_screen(open_window: Open, pixel_format: str) -> None:
    shown = open_window()
    pixels = np.zeros((360, 640, 3), np.uint8)
    pixels[:, :320], pixels[:, 320:] = RED, BLUE
    frame = VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format=pixel_format)
    shown.window.set_picture("main", frame)
    assert_bars(shown.seen(), [RED, BLUE])


def test_a_jpeg_of_a_camera(open_window: Open) -> None:
    """It says by its format alone that it has the full range."""
    shown = open_window()
    frame = picture([RED, GREEN], matrix=BT601, colour_range=FULL)
    jpeg = frame.reformat(format="yuvj422p", src_color_range=FULL, dst_color_range=FULL)
    jpeg.colorspace, jpeg.color_range = 2, 0
    shown.window.set_picture("main", jpeg)
    assert_bars(shown.seen(), [RED, GREEN])


@pytest.mark.usefixtures("any_renderer")
def test_pictures_of_different_colour_spaces_at_once(open_window: Open) -> None:
    shown = open_window()
    shown.window.set_picture("main", picture([RED], matrix=BT709))
    shown.window.set_picture("inset", picture([GREEN], matrix=BT601, colour_range=FULL))
    seen = shown.seen()
    assert_colour(seen, 20, 20, RED)
    assert_colour(seen, 560, 300, GREEN)


@pytest.mark.usefixtures("any_renderer")
@pytest.mark.parametrize("size", [(641, 359), (320, 700), (1001, 250), (64, 48)])
def test_black_bars_keep_the_shape(open_window: Open, size: tuple[int, int]) -> None:
    shown = open_window(*size)
    assert shown.window.size == size
    shown.window.set_picture("main", picture([RED], 640, 360))
    seen = shown.seen()
    lit = np.abs(seen.astype(int) - RED).max(axis=2) <= TOLERANCE
    rows, columns = np.flatnonzero(lit.any(axis=1)), np.flatnonzero(lit.any(axis=0))
    width, height = columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1
    assert width == size[0] or height == size[1]
    assert abs(width - height * 16 / 9) < 2
    assert abs(columns[0] - (size[0] - 1 - columns[-1])) <= 1, "it isn't in the middle"
    assert abs(rows[0] - (size[1] - 1 - rows[-1])) <= 1, "it isn't in the middle"
    assert (seen[~lit] == 0).all(), "the bars are black"


def test_pixels_that_are_not_square(open_window: Open) -> None:
    """PAL widescreen: 720 × 576, shown 16 to 9 wide."""
    shown = open_window(640, 360)
    shown.window.set_picture("main", picture([RED], 720, 576, matrix=BT601), pixel_aspect=64 / 45)
    assert_bars(shown.seen(), [RED])


@pytest.mark.usefixtures("any_renderer")
def test_the_picture_changes_its_size_and_format(open_window: Open) -> None:
    shown = open_window()
    for width, height, pixel_format in (
        (640, 360, "yuv420p"),
        (320, 180, "yuv420p"),
        (1280, 720, "nv12"),
        (1279, 719, "yuv420p"),
        (640, 360, "yuv422p"),
    ):
        frame = picture([GREEN, BLUE], width, height, pixel_format=pixel_format)
        shown.window.set_picture("main", frame)
        assert_bars(shown.seen()[4:-4, 4:-4], [GREEN, BLUE])
    shown.window.set_picture("main", None)
    assert not shown.seen().any()


def test_the_window_changes_its_size(open_window: Open) -> None:
    shown = open_window(640, 360)
    shown.window.set_picture("main", picture([RED, GREEN]))
    shown.display.resize(shown.id, 320, 180)
    shown.wait_for_events(Resized())
    shown.wait_for_size((320, 180))
    assert_bars(shown.seen(), [RED, GREEN])


def test_the_inset(open_window: Open) -> None:
    shown = open_window(640, 360)
    shown.window.set_picture("main", picture([RED]))
    shown.window.set_picture("inset", picture([BLUE]))
    seen = shown.seen()
    blue = np.abs(seen.astype(int) - BLUE).max(axis=2) <= TOLERANCE
    rows, columns = np.flatnonzero(blue.any(axis=1)), np.flatnonzero(blue.any(axis=0))
    assert (columns[0], columns[-1] + 1) == (640 - 16 - 160, 640 - 16), "a quarter of the width"
    assert (rows[0], rows[-1] + 1) == (360 - 16 - 90, 360 - 16)
    for x, y in ((463, 300), (624, 300), (540, 253), (540, 344)):
        border = seen[y, x].astype(int)
        assert border.min() > 190, f"no border at {x}, {y}: {border}"
    assert_colour(seen, 462, 300, RED)
    assert_colour(seen, 626, 300, RED)
    shown.window.set_picture("inset", None)
    assert_bars(shown.seen(), [RED])


def solid(width: int, height: int, *colour: int) -> NDArray[np.uint8]:
    return np.full((height, width, 4), colour, np.uint8)


@pytest.mark.usefixtures("any_renderer")
def test_layers_lie_where_they_belong(open_window: Open) -> None:
    shown = open_window(640, 360)
    window = shown.window
    window.set_picture("main", picture([RED]))
    window.set_layer("top-left", solid(40, 20, *GREEN, 255))
    window.set_layer("top-right", solid(40, 20, *BLUE, 255))
    window.set_layer("bottom", solid(40, 20, *YELLOW, 255))
    window.set_layer("centre", solid(40, 20, 255, 255, 255, 128))
    seen = shown.seen()
    for colour, left, top in ((GREEN, 16, 16), (BLUE, 584, 16), (YELLOW, 300, 324)):
        for x, y in ((left, top), (left + 39, top + 19)):
            assert_colour(seen, x, y, colour)
        for x, y in ((left - 1, top), (left, top - 1), (left + 40, top), (left, top + 20)):
            assert_colour(seen, x, y, RED)
    half = tuple(round((value + 255) / 2) for value in RED)
    assert_colour(seen, 320, 180, half)  # type: ignore[arg-type]
    window.set_layer("centre", None)
    window.set_layer("top-left", solid(60, 30, *YELLOW, 255)[:, ::-1])
    seen = shown.seen()
    assert_colour(seen, 320, 180, RED)
    assert_colour(seen, 16 + 59, 16 + 29, YELLOW)
    window.set_layer("card", solid(640, 360, *BLUE, 255))
    window.set_layer("top-left", None)
    seen = shown.seen()
    assert_bars(seen[60:300], [BLUE])
    assert_colour(seen, 600, 20, BLUE)


def test_a_lost_device_is_filled_again(open_window: Open) -> None:
    """Windows takes a renderer's memory away when the computer slept."""
    shown = open_window(640, 360)
    sdl, window = shown.window._sdl, shown.window
    window.set_picture("main", picture([RED]))
    window.set_layer("top-left", solid(40, 20, *GREEN, 255))
    shown.seen()
    event = sdl.SDL_Event()
    event.type = sdl.SDL_RENDER_DEVICE_RESET
    sdl.SDL_PushEvent(event)
    shown.wait_for_events(Resized())
    seen = shown.seen()
    assert_colour(seen, 20, 20, GREEN)
    assert_colour(seen, 320, 180, RED)


def test_two_windows_one_after_the_other(open_window: Open) -> None:
    open_window().window.close()
    again = open_window()
    again.window.set_picture("main", picture([GREEN]))
    assert_bars(again.seen(), [GREEN])


def test_opengl_without_a_gpu_is_passed_over(
    open_window: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(renderer, "_may_have_gpu", lambda: True)
    assert open_window().window.renderer == "software"


CPU = """
import os
import time
from av import VideoFrame
import numpy as np
from streamsocket.desktop.sdl.window import SdlWindow

window = SdlWindow("cost", 1280, 720)
noise = np.random.default_rng(1).integers(0, 255, (4, 1080, 1280), dtype=np.uint8)
frames = [VideoFrame.from_ndarray(each, format="yuv420p") for each in noise]
used, began = time.process_time(), time.monotonic()
for number in range(PICTURES):
    window.set_picture("main", frames[number % 4])
    window.present()
    while (rest := began + (number + 1) / 30 - time.monotonic()) > 0:
        window.events(rest)
print((time.process_time() - used) / (time.monotonic() - began))
"""


@pytest.mark.usefixtures("x_display")
def test_showing_pictures_is_cheap() -> None:
    """1280 × 720 thirty times a second: 5% of a core; OpenGL without a GPU takes 55%."""
    script = CPU.replace("PICTURES", "60")
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, timeout=60, check=True
    )
    assert float(done.stdout) < 0.2
