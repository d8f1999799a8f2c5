"""Turning, scaling and letterboxing."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsocket.codecs.scale import Scaler, fitted, shown_size

_SQUARE = Fraction(1)


def _white(width: int, height: int) -> VideoFrame:
    drawn = np.full((height * 3 // 2, width), 128, np.uint8)
    drawn[:height] = 235
    return VideoFrame.from_ndarray(drawn, "yuv420p")


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray()[: frame.height], np.uint8)


@pytest.mark.parametrize(
    ("shown", "room", "expected"),
    [
        ((1920, 1080), (1280, 720), (1280, 720)),
        ((1280, 720), (1920, 1080), (1920, 1080)),
        ((1920, 1080), (640, 480), (640, 360)),
        ((640, 480), (1280, 720), (960, 720)),
        ((1080, 1920), (1280, 720), (404, 720)),
        ((1921, 1081), (1920, 1080), (1920, 1080)),
        ((320, 180), (320, 176), (320, 176)),  # for JPEG's blocks
        ((10_000, 2), (320, 176), (320, 2)),
    ],
)
def test_the_shape_is_kept(
    shown: tuple[int, int], room: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert fitted(shown, room) == expected


def test_bars_are_black_and_on_both_sides() -> None:
    scaled = Scaler((320, 180), 0, _SQUARE, "yuv420p").scale(_white(240, 180))
    luma = _luma(scaled)
    assert luma.shape == (180, 320)
    assert (luma[:, :40] == 16).all()
    assert (luma[:, 280:] == 16).all()
    assert (luma[:, 42:278] > 230).all()


def test_pixels_that_are_not_square_become_so() -> None:
    wide = Fraction(64, 45)  # of 720 x 576 for 16:9
    assert shown_size(720, 576, 0, wide) == (1024, 576)
    assert shown_size(720, 576, 90, wide) == (576, 1024)
    luma = _luma(Scaler((1024, 576), 0, wide, "yuv420p").scale(_white(720, 576)))
    assert luma.shape == (576, 1024)
    assert luma.min() > 230


def test_a_picture_that_changes_its_size_still_fits() -> None:
    scaler = Scaler((320, 180), 0, _SQUARE, "yuv420p")
    assert _luma(scaler.scale(_white(640, 360))).min() > 230
    upright = _luma(scaler.scale(_white(360, 640)))
    assert upright.shape == (180, 320)
    assert (upright[:, :100] == 16).all()
    assert upright[:, 120:200].min() > 230


def test_jpegs_levels_are_full() -> None:
    scaled = Scaler((320, 176), 0, _SQUARE, "yuvj420p").scale(_white(320, 176))
    assert scaled.format.name == "yuvj420p"
    assert _luma(scaled).min() >= 254


@pytest.mark.parametrize(("pixel_format", "color_range"), [("yuvj420p", 0), ("yuv420p", 2)])
def test_full_levels_become_limited_ones_where_nothing_says_otherwise(
    pixel_format: str, color_range: int
) -> None:
    frame = VideoFrame(320, 176, pixel_format)
    for plane, level in zip(frame.planes, (255, 128, 128), strict=True):
        plane.update(bytes([level]) * plane.buffer_size)
    if color_range:
        frame.color_range = color_range

    luma = _luma(Scaler((320, 176), 0, _SQUARE, "yuv420p").scale(frame))

    assert luma.max() <= 235
    assert luma.min() >= 234
