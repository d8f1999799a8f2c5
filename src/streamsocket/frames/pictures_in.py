"""Pictures as users have them, as FFmpeg takes them: checked, copied, converted, fitted."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
from av.video.format import VideoFormat
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from streamsocket.codecs.scale import Scaler
from streamsocket.codecs.video import Colours
from streamsocket.errors import ArgumentError
from streamsocket.frames.frame import Frame
from streamsocket.frames.presets import colours_for

PixelFormat = Literal["rgb24", "bgr24", "gray", "yuv420p"]

MIN_SIDE = 16
MAX_SIDE = 16_384

_WANTED = "a (height, width, 3) array of uint8, or (height, width) for gray"
_UNSPECIFIED, _BT709, _BT601 = 2, 1, 5
_LIMITED, _FULL = 1, 2
_LIMITED_FORMATS = ("yuv420p", "nv12")
_THREADS = min(4, os.cpu_count() or 1)


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that nobody else changes any more."""

    data: npt.NDArray[np.uint8] | VideoFrame
    """An array is contiguous, and ours."""
    pixel_format: str
    size: tuple[int, int]
    """Width and height as it was given."""


def take_in(image: object, pixel_format: PixelFormat = "rgb24") -> Picture:
    """Check a picture and copy it, so that whoever has it may go on drawing.

    Arrays are uint8: (height, width, 3) in the order that `pixel_format` says, (height, width) for
    gray, (height × 3/2, width) for `yuv420p`; whatever numpy can take for one, with any strides. A
    `Frame` and PyAV's VideoFrame are not copied. Raises ArgumentError for anything else.
    """
    if isinstance(image, Frame):
        image = image.to_av()
    if isinstance(image, VideoFrame):
        size = image.width, image.height
        _check_size(size, "image")
        check_format(image.format)
        return Picture(image, image.format.name, size)
    if pixel_format not in get_args(PixelFormat):
        names = ", ".join(get_args(PixelFormat))
        raise ArgumentError(f"format: '{pixel_format}' is none of {names}.")
    array = _as_array(image)
    size, kind = _layout(array, pixel_format)
    _check_size(size, f"image: an array of shape {array.shape}")
    return Picture(np.array(array, order="C"), kind, size)


def check_format(pixel_format: VideoFormat) -> None:
    """Raise ArgumentError for a format that is not in the computer's own memory."""
    if not pixel_format.components:
        raise ArgumentError(
            f"image: a picture in the memory of a graphics card ({pixel_format.name}): download it "
            "first."
        )


def _as_array(image: object) -> npt.NDArray[Any]:
    if not isinstance(image, np.ndarray):
        # PIL's pictures and PyTorch's tensors can be looked at as arrays; lists are a mistake.
        if not hasattr(image, "__array__") and not hasattr(image, "__array_interface__"):
            raise ArgumentError(f"image: a {type(image).__name__} is no picture: give {_WANTED}.")
        image = np.asarray(image)
    if image.dtype != np.uint8:
        remedy = ""
        if image.dtype.kind == "f":
            remedy = ": from 0 to 1, (image * 255).astype(numpy.uint8)"
        raise ArgumentError(f"image: an array of {image.dtype}, not of uint8{remedy}.")
    return image


def _layout(array: npt.NDArray[Any], pixel_format: str) -> tuple[tuple[int, int], str]:
    """The size of the picture in an array, and how it is laid out."""
    shape = array.shape
    if pixel_format == "yuv420p":
        if array.ndim != 2 or shape[0] % 3 or shape[1] % 2:
            raise ArgumentError(
                f"image: an array of shape {shape} is no yuv420p, which is (height × 3/2, width), "
                "both sides even."
            )
        return (shape[1], shape[0] * 2 // 3), pixel_format
    if array.ndim == 2:
        return (shape[1], shape[0]), "gray"
    if array.ndim != 3 or shape[2] != 3 or pixel_format == "gray":
        wanted = "(height, width)" if pixel_format == "gray" else "(height, width, 3)"
        remedy = ": image[:, :, :3] leaves out the rest" if shape[2:] == (4,) else ""
        raise ArgumentError(f"image: an array of shape {shape}, not {wanted}{remedy}.")
    return (shape[1], shape[0]), pixel_format


def _check_size(size: tuple[int, int], what: str) -> None:
    if not all(MIN_SIDE <= side <= MAX_SIDE for side in size):
        raise ArgumentError(
            f"{what}: {size[0]}x{size[1]} is no size for a picture: from {MIN_SIDE} to {MAX_SIDE} "
            "pixels each way."
        )


def colours_of(picture: Picture, size: tuple[int, int]) -> Colours:
    """What a stream that begins with this picture says of its colours: its own, if it has any."""
    frame = picture.data
    if isinstance(frame, VideoFrame) and not frame.format.is_rgb:
        matrix = int(frame.colorspace)
        if matrix == _BT709:
            return Colours(1, 1, 1)
        if matrix in (_BT601, 6):
            return Colours(6, 6, 6)
    return colours_for(size)


class Fitting:
    """Makes pictures what an encoder takes: its size, its format, its colours.

    Belongs to one thread.
    """

    def __init__(self, size: tuple[int, int], pixel_format: str, matrix: int) -> None:
        """`matrix` by the numbers of ITU-T H.273."""
        self.size = size
        self._pixel_format = pixel_format
        self._matrix = _BT709 if matrix == _BT709 else _BT601
        self._range = _LIMITED if pixel_format in _LIMITED_FORMATS else _FULL
        self._reformatter = VideoReformatter()
        self._scaler = Scaler(size, 0, Fraction(1), pixel_format)

    def fit(self, picture: Picture) -> VideoFrame:
        """The picture as a frame of its own; another shape gets black bars."""
        data = picture.data
        frame = data if isinstance(data, VideoFrame) else self._wrapped(data, picture)
        own = not isinstance(data, VideoFrame)
        if self._other_colours(frame, own):
            frame = self._reformatter.reformat(
                frame,
                format=self._pixel_format,
                src_colorspace=None if frame.format.is_rgb else self._matrix_of(frame),
                dst_colorspace=None if self._pixel_format == "rgb24" else self._matrix,
                dst_color_range=self._range,
                threads=_THREADS,
            )
            own = True
        fits = (frame.width, frame.height) == self.size
        if own and fits and frame.format.name == self._pixel_format:
            return frame
        # Also where nothing is to be done: what belongs to others must not get our times.
        return self._scaler.scale(frame)

    def _wrapped(self, array: npt.NDArray[np.uint8], picture: Picture) -> VideoFrame:
        """A frame over an array, without a copy where there need be none."""
        width, height = picture.size
        if picture.pixel_format == "yuv420p":
            frame = VideoFrame.from_ndarray(array, "yuv420p")
            frame.colorspace = self._matrix
            frame.color_range = _LIMITED
            return frame
        if (width - self.size[0], height - self.size[1]) in ((1, 0), (0, 1), (1, 1)):
            array = np.ascontiguousarray(array[: self.size[1], : self.size[0]])
        return VideoFrame.from_numpy_buffer(array, picture.pixel_format)

    def _other_colours(self, frame: VideoFrame, own: bool) -> bool:
        if self._pixel_format == "rgb24":
            return frame.format.name != "rgb24"
        if frame.format.is_rgb or frame.format.name == "gray":
            return True
        return not own and self._matrix_of(frame) != self._matrix

    def _matrix_of(self, frame: VideoFrame) -> int:
        matrix = int(frame.colorspace)
        if matrix == _UNSPECIFIED:
            return self._matrix
        return _BT709 if matrix == _BT709 else _BT601
