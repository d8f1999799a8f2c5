"""Arrays as users have them, on their way to an encoder."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest

from streamsocket.errors import ArgumentError
from streamsocket.frames.frame import Frame
from streamsocket.frames.pictures_in import (
    Fitting,
    PixelFormat,
    check_format,
    colours_of,
    take_in,
)

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
# In BT.601 and in BT.709, 16 to 235.
RED_601, RED_709, RED_FULL = (81, 90, 240), (63, 102, 240), (76, 85, 255)


def plain(colour: tuple[int, ...], width: int = 64, height: int = 48) -> npt.NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def fitted(
    image: object,
    pixel_format: PixelFormat = "rgb24",
    *,
    size: tuple[int, int] = (64, 48),
    to: str = "yuv420p",
    matrix: int = 6,
) -> av.VideoFrame:
    return Fitting(size, to, matrix).fit(take_in(image, pixel_format))


def yuv_at(frame: av.VideoFrame, x: int, y: int) -> tuple[int, ...]:
    found = []
    for plane, step in zip(frame.planes, (1, 2, 2), strict=True):
        found.append(bytes(plane)[y // step * plane.line_size + x // step])
    return tuple(found)


def near(found: tuple[int, ...], expected: tuple[int, ...]) -> bool:
    return all(abs(a - b) <= 2 for a, b in zip(found, expected, strict=True))


def test_colours_are_right_in_every_order_and_matrix() -> None:
    assert near(yuv_at(fitted(plain(RED)), 30, 20), RED_601)
    assert near(yuv_at(fitted(plain(BLUE), "bgr24"), 30, 20), RED_601)
    assert near(yuv_at(fitted(plain(RED), matrix=1), 30, 20), RED_709)
    assert near(yuv_at(fitted(plain(RED), to="yuvj420p"), 30, 20), RED_FULL)


def test_gray_is_gray() -> None:
    gray = np.full((48, 64), 255, np.uint8)
    for pixel_format in ("rgb24", "gray"):
        assert near(yuv_at(fitted(gray, pixel_format), 3, 3), (235, 128, 128))  # type: ignore[arg-type]
    assert near(yuv_at(fitted(gray, to="yuvj420p"), 3, 3), (255, 128, 128))


def test_yuv_is_taken_as_it_is() -> None:
    rows = np.zeros((72, 64), np.uint8)
    rows[:48], rows[48:60], rows[60:] = 100, 50, 200
    frame = fitted(rows, "yuv420p")
    assert yuv_at(frame, 63, 47) == (100, 50, 200)


def test_the_copy_is_ours_whatever_its_strides() -> None:
    image = np.zeros((96, 130, 3), np.uint8)
    image[:48, :64] = RED
    for view in (image[:48, :64], image[:48][::-1, :64], image[::-1, ::-1][48:, 66:]):
        picture = take_in(view)
        assert isinstance(picture.data, np.ndarray)
        assert picture.data.flags.c_contiguous
        assert not np.shares_memory(picture.data, image)
        assert near(yuv_at(Fitting((64, 48), "yuv420p", 6).fit(picture), 5, 5), RED_601)
    left, right = plain(RED), plain(BLUE)
    both = np.concatenate((left, right), axis=1)[:, ::-1]
    frame = fitted(both, size=(128, 48))
    assert near(yuv_at(frame, 120, 10), RED_601)


def test_a_pixel_too_many_is_cut_off() -> None:
    image = plain(BLUE, 65, 49)
    image[:48, :64] = RED
    frame = fitted(image)
    assert (frame.width, frame.height) == (64, 48)
    assert near(yuv_at(frame, 63, 47), RED_601)


def test_another_shape_gets_black_bars() -> None:
    frame = fitted(plain(RED, 64, 48), size=(128, 48))
    assert near(yuv_at(frame, 64, 24), RED_601)
    assert near(yuv_at(frame, 4, 24), (16, 128, 128))
    assert near(yuv_at(frame, 124, 24), (16, 128, 128))


def test_frames_are_not_copied_and_keep_what_is_theirs() -> None:
    theirs = av.VideoFrame.from_ndarray(plain(RED), "rgb24").reformat(format="yuv420p")
    theirs.pts, theirs.time_base = 77, Fraction(1, 30)
    frame = Frame(
        theirs,
        capture_time=5.0,
        capture_clock="sender",
        rtp_timestamp=0,
        keyframe=True,
        intact=True,
    )
    for given in (theirs, frame):
        ours = fitted(given)
        assert ours is not theirs
        ours.pts = 1
        assert theirs.pts == 77
        assert near(yuv_at(ours, 5, 5), RED_601)


def test_a_stream_takes_the_colours_of_its_first_picture() -> None:
    assert colours_of(take_in(plain(RED)), (640, 480)).matrix == 6
    assert colours_of(take_in(plain(RED)), (1280, 720)).matrix == 1
    frame = av.VideoFrame(64, 48, "yuv420p")
    frame.colorspace = 1
    assert colours_of(take_in(frame), (64, 48)).matrix == 1
    # And one of other colours is converted to the stream's.
    red = av.VideoFrame.from_ndarray(plain(RED), "rgb24").reformat(
        format="yuv420p", dst_colorspace="ITU709"
    )
    red.colorspace = 1
    assert near(yuv_at(fitted(red, matrix=6), 9, 9), RED_601)


class Pil:
    """What PIL's pictures look like to numpy."""

    def __array__(self, dtype: object = None, copy: object = None) -> npt.NDArray[np.uint8]:
        return plain(RED)


def test_what_numpy_can_look_at_is_a_picture_too() -> None:
    assert near(yuv_at(fitted(Pil()), 5, 5), RED_601)


@pytest.mark.parametrize(
    ("image", "pixel_format", "said"),
    [
        (None, "rgb24", "a NoneType is no picture"),
        ([[1, 2], [3, 4]], "rgb24", "a list is no picture"),
        (np.zeros((48, 64, 3)), "rgb24", r"float64.*astype"),
        (np.zeros((48, 64, 3), np.int32), "rgb24", "int32, not of uint8"),
        (np.zeros((48, 64, 4), np.uint8), "rgb24", r"shape \(48, 64, 4\).*image\[:, :, :3\]"),
        (np.zeros((3, 48, 64), np.uint8), "bgr24", r"shape \(3, 48, 64\), not \(height, width, 3"),
        (np.zeros((48, 64, 3), np.uint8), "gray", r"not \(height, width\)"),
        (np.zeros((1, 48, 64, 3), np.uint8), "rgb24", r"shape \(1, 48, 64, 3\)"),
        (np.zeros(64, np.uint8), "rgb24", r"shape \(64,\)"),
        (np.zeros((70, 64), np.uint8), "yuv420p", "no yuv420p"),
        (np.zeros((72, 63), np.uint8), "yuv420p", "no yuv420p"),
        (np.zeros((0, 0, 3), np.uint8), "rgb24", "0x0 is no size"),
        (np.zeros((8, 8), np.uint8), "rgb24", "8x8 is no size"),
        (np.zeros((16, 20_000), np.uint8), "rgb24", "20000x16 is no size"),
    ],
)
def test_what_is_no_picture_is_refused_by_name(
    image: object, pixel_format: PixelFormat, said: str
) -> None:
    with pytest.raises(ArgumentError, match=said) as refusal:
        take_in(image, pixel_format)
    assert str(refusal.value).startswith("image: ")


def test_a_picture_on_a_graphics_card_is_refused() -> None:
    check_format(av.VideoFormat("yuv420p", 64, 48))
    with pytest.raises(ArgumentError, match=r"graphics card \(cuda\): download it first"):
        check_format(av.VideoFormat("cuda", 64, 48))


def test_an_unknown_format_is_refused_by_name() -> None:
    with pytest.raises(ArgumentError, match="format: 'rgba' is none of rgb24, bgr24"):
        take_in(plain(RED), "rgba")  # type: ignore[arg-type]
