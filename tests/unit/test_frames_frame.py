"""Arrays of a picture: right colours, no needless copies, nothing that outlives its memory."""

from __future__ import annotations

import gc

import av
import numpy as np
import pytest

from streamsocket.errors import ArgumentError
from streamsocket.frames.frame import AudioBlock, Frame

BT709, UNSPECIFIED, BT601 = 1, 2, 6
LIMITED, FULL = 1, 2
COLOURS = {
    "black": (0, 0, 0),
    "white": (255, 255, 255),
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "skin": (210, 150, 120),
}
WEIGHTS = {BT709: (0.2126, 0.0722), BT601: (0.299, 0.114)}
"""Of red and blue in luma (ITU-T H.273, 8.3)."""


def coded(rgb: tuple[int, int, int], matrix: int, full: bool) -> tuple[int, int, int]:
    """Y, Cb and Cr of a colour, by the standard's formulas."""
    red, green, blue = (each / 255 for each in rgb)
    of_red, of_blue = WEIGHTS[matrix]
    luma = of_red * red + (1 - of_red - of_blue) * green + of_blue * blue
    cb = (blue - luma) / (2 * (1 - of_blue))
    cr = (red - luma) / (2 * (1 - of_red))
    if full:
        return round(255 * luma), min(255, round(128 + 255 * cb)), min(255, round(128 + 255 * cr))
    return round(16 + 219 * luma), round(128 + 224 * cb), round(128 + 224 * cr)


def picture(
    yuv: tuple[int, int, int] = (16, 128, 128),
    *,
    size: tuple[int, int] = (64, 48),
    pixel_format: str = "yuv420p",
    matrix: int = BT601,
    colour_range: int = LIMITED,
) -> av.VideoFrame:
    """A picture of one colour, as a decoder leaves it."""
    made = av.VideoFrame(*size, pixel_format)
    made.colorspace, made.color_range = matrix, colour_range
    for plane, value in zip(made.planes, yuv, strict=True):
        np.frombuffer(plane, np.uint8)[:] = value  # type: ignore[call-overload]
    return made


def frame(made: av.VideoFrame) -> Frame:
    return Frame(
        made,
        capture_time=1_000.0,
        capture_clock="sender",
        rtp_timestamp=90_000,
        keyframe=True,
        intact=True,
    )


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("matrix", [BT601, BT709])
@pytest.mark.parametrize("full", [False, True], ids=["limited", "full"])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv444p", "yuv422p"])
def test_colours_are_those_the_stream_says_it_is_in(
    colour: str, matrix: int, full: bool, pixel_format: str
) -> None:
    rgb = COLOURS[colour]
    made = frame(
        picture(
            coded(rgb, matrix, full),
            matrix=matrix,
            colour_range=FULL if full else LIMITED,
            pixel_format=pixel_format,
        )
    )
    assert made.full_range is full
    assert np.abs(made.image.astype(int) - rgb).max() <= 3
    assert np.abs(made.to_ndarray("bgr24").astype(int) - rgb[::-1]).max() <= 3
    assert np.abs(made.to_ndarray("rgba").astype(int) - (*rgb, 255)).max() <= 3


@pytest.mark.parametrize(("size", "matrix"), [((1280, 720), BT709), ((640, 480), BT601)])
def test_what_says_nothing_of_its_colours_is_taken_for_what_is_usual(
    size: tuple[int, int], matrix: int
) -> None:
    rgb = COLOURS["green"]
    made = frame(picture(coded(rgb, matrix, False), size=size, matrix=UNSPECIFIED, colour_range=0))
    assert np.abs(made.image.astype(int) - rgb).max() <= 3


def test_pictures_of_motion_jpeg_are_in_full_range() -> None:
    rgb = COLOURS["skin"]
    made = frame(
        picture(
            coded(rgb, BT601, True),
            size=(1280, 720),
            pixel_format="yuvj420p",
            matrix=UNSPECIFIED,
            colour_range=0,
        )
    )
    assert made.full_range
    assert np.abs(made.image.astype(int) - rgb).max() <= 3
    assert made.yuv[0][0, 0] == coded(rgb, BT601, True)[0]


@pytest.mark.parametrize("size", [(64, 48), (50, 34), (33, 21)])
def test_shapes_are_the_pictures_whatever_the_padding(size: tuple[int, int]) -> None:
    width, height = size
    made = frame(picture((81, 90, 240), size=size))
    assert (made.width, made.height) == size
    assert made.image.shape == (height, width, 3)
    assert made.image.dtype == np.uint8
    assert made.image.flags.c_contiguous
    assert made.to_ndarray("bgra").shape == (height, width, 4)
    assert made.to_ndarray("gray").shape == (height, width)
    half = (height + 1) // 2, (width + 1) // 2
    assert [plane.shape for plane in made.yuv] == [(height, width), half, half]
    assert [int(plane[-1, -1]) for plane in made.yuv] == [81, 90, 240]


def test_a_picture_is_converted_once() -> None:
    made = frame(picture())
    assert made.image is made.image
    made.image[:] = 7
    assert made.image.max() == 7
    assert made.to_ndarray("rgb24").max() == 0, "what is drawn on is not the picture itself"


def test_gray_is_the_luma_without_a_copy() -> None:
    source = picture((99, 128, 128))
    gray = frame(source).to_ndarray("gray")
    assert not gray.flags.owndata
    assert not gray.flags.writeable
    np.frombuffer(source.planes[0], np.uint8)[:] = 100  # type: ignore[call-overload]
    assert gray.min() == gray.max() == 100


def test_a_view_outlives_the_frame() -> None:
    view = frame(picture((99, 128, 128), size=(640, 480))).to_ndarray("gray")
    gc.collect()
    noise = [picture((1, 1, 1), size=(640, 480)) for _ in range(20)]
    assert view.min() == view.max() == 99
    del noise


def test_gray_of_what_has_no_luma_is_converted() -> None:
    source = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 255, np.uint8), "rgb24")
    gray = frame(source).to_ndarray("gray")
    assert gray.shape == (48, 64)
    assert gray.min() == gray.max() == 235


def test_a_picture_that_was_decoded_as_rgb_is_copied() -> None:
    source = av.VideoFrame.from_ndarray(np.full((48, 64, 3), 200, np.uint8), "rgb24")
    made = frame(source)
    made.image[:] = 0
    assert made.to_ndarray("rgb24").min() == 200


def test_yuv420p_is_laid_out_as_opencv_has_it() -> None:
    stacked = frame(picture((81, 90, 240))).to_ndarray("yuv420p")
    assert stacked.shape == (72, 64)
    assert set(stacked[:48].flat) == {81}
    assert set(stacked[48:60].flat) == {90}
    assert set(stacked[60:].flat) == {240}


def test_ten_bits_become_eight() -> None:
    source = av.VideoFrame(64, 48, "yuv420p10le")
    source.colorspace, source.color_range = BT709, LIMITED
    for plane, value in zip(source.planes, (940, 512, 512), strict=True):
        np.frombuffer(plane, np.uint16)[:] = value  # type: ignore[call-overload]
    made = frame(source)
    assert made.image.min() >= 253
    assert abs(int(made.to_ndarray("gray")[5, 5]) - 235) <= 1


@pytest.mark.parametrize("wrong", ["rgb", "nv12", "", None])
def test_an_unknown_format_is_told_by_the_arguments_name(wrong: str) -> None:
    with pytest.raises(ArgumentError, match=r"^format: .* is none of rgb24, "):
        frame(picture()).to_ndarray(wrong)


def test_yuv420p_of_odd_sizes_is_refused_with_the_way_out() -> None:
    with pytest.raises(ArgumentError, match=r"^format: .* 33x21; \.yuv"):
        frame(picture(size=(33, 21))).to_ndarray("yuv420p")


def test_latency_is_from_capture_to_handing_out() -> None:
    made = frame(picture())
    made.handed_out = 1_000.25
    assert made.latency == 0.25
    block = AudioBlock(np.zeros((480, 2), np.float32), 48_000, 1_000.0, "sender", 1_000.5)
    assert block.latency == 0.5
    assert block.duration == 0.01
    assert "array" not in repr(block)
