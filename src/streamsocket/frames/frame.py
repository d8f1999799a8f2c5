"""A picture and a block of sound as they are handed out, with where and when they come from."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from streamsocket.errors import ArgumentError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame
    from av.video.plane import VideoPlane
    from av.video.reformatter import VideoReformatter

Clock = Literal["sender", "arrival"]
"""Whose clock a capture time is by: the sender's, as its sender reports tell it (RFC 3550, 6.4.1),
or ours, by when the least delayed packets arrive."""
Image = npt.NDArray[np.uint8]

_CHANNELS = {"rgb24": 3, "bgr24": 3, "rgba": 4, "bgra": 4}
FORMATS = (*_CHANNELS, "gray", "yuv420p")
"""What `Frame.to_ndarray` can make."""

# Codes of ISO/IEC 23091-2, which FFmpeg's `colorspace` and `color_range` follow.
_BT709, _UNSPECIFIED, _BT601 = 1, 2, 5
_FULL = 2
_HD = 1280, 720
"""From this width or height on, what says nothing about itself is taken for BT.709."""
_8_BIT_LUMA = frozenset(
    (*("yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"), "nv12", "gray")
)

_local = threading.local()


class Frame:
    """A picture of a stream.

    It holds the decoded picture; arrays are made when they are asked for. Those that are views
    keep the picture alive by themselves, also when the frame is gone. May be used by any thread.
    """

    __slots__ = (
        "_image",
        "_lock",
        "_picture",
        "capture_clock",
        "capture_time",
        "dropped",
        "handed_out",
        "intact",
        "keyframe",
        "rtp_timestamp",
    )

    def __init__(
        self,
        picture: VideoFrame,
        *,
        capture_time: float,
        capture_clock: Clock,
        rtp_timestamp: int,
        keyframe: bool,
        intact: bool,
    ) -> None:
        self._picture = picture
        self._image: Image | None = None
        self._lock = threading.Lock()
        self.capture_time = capture_time
        """When it was captured, in seconds since the epoch."""
        self.capture_clock: Clock = capture_clock
        """Whose clock `capture_time` is by."""
        self.rtp_timestamp = rtp_timestamp
        """In ticks of the track's clock rate (90,000 a second for pictures); it never wraps."""
        self.keyframe = keyframe
        """It was coded without the help of others."""
        self.intact = intact
        """Nothing that it is made of was lost on the way."""
        self.dropped = 0
        """How many pictures of the stream were left out since the one handed out before."""
        self.handed_out = capture_time
        """When it was handed out, in seconds since the epoch by our clock."""

    def __repr__(self) -> str:
        return f"<Frame {self.width}x{self.height} captured at {self.capture_time:.3f}>"

    @property
    def width(self) -> int:
        """In pixels."""
        return self._picture.width

    @property
    def height(self) -> int:
        """In pixels."""
        return self._picture.height

    @property
    def latency(self) -> float:
        """Seconds from capture to when it was handed out.

        As true as the two clocks agree: with `capture_clock == "arrival"` the way through the
        network is not in it.
        """
        return self.handed_out - self.capture_time

    @property
    def pixel_format(self) -> str:
        """FFmpeg's name of how it was decoded, such as `yuv420p`."""
        return self._picture.format.name

    @property
    def full_range(self) -> bool:
        """Luma and chroma use 0 to 255, as in JPEG; else black is 16 and white 235."""
        return self._picture.color_range == _FULL or self.pixel_format.startswith("yuvj")

    @property
    def image(self) -> Image:
        """The picture in RGB: (height, width, 3) uint8, contiguous.

        Converted at the first use, by the colours the stream says it is in, and kept: it is always
        the same array, yours to draw on.
        """
        if self._image is None:
            self._image = self.to_ndarray("rgb24")
        return self._image

    @property
    def yuv(self) -> tuple[Image, Image, Image]:
        """The planes Y, U and V in 4:2:0: (height, width), and twice half of each, rounded up.

        Views that cannot be written to, without a copy where the picture was decoded so. Rows may
        be further apart than they are long; values are as coded: see `full_range`.
        """
        picture = self._picture
        if picture.format.name not in ("yuv420p", "yuvj420p"):
            # The format says no more than the layout; the range stays as it is.
            picture = self._converted("yuvj420p" if self.full_range else "yuv420p")
        y, u, v = (_view(plane, plane.width) for plane in picture.planes)
        return y, u, v

    def to_ndarray(self, format: str = "rgb24") -> Image:  # noqa: A002 - FFmpeg's word
        """The picture as an array of uint8.

        `rgb24`, `bgr24` (as OpenCV has it): (height, width, 3); `rgba`, `bgra`: (height, width, 4),
        opaque. New arrays, contiguous, yours to write to.

        `gray`: (height, width), the luma as it was coded (see `full_range`); without a copy where
        it was decoded so: then it cannot be written to, and rows may be further apart than they
        are long (`numpy.ascontiguousarray` copies it).

        `yuv420p`: (height × 3/2, width), Y, U and V below one another as OpenCV has it; width and
        height must be even. A new array.

        Raises ArgumentError for any other `format`.
        """
        if format in _CHANNELS:
            return self._packed(format)
        if format == "gray":
            if self.pixel_format in _8_BIT_LUMA:
                return _view(self._picture.planes[0], self.width)
            return self.yuv[0]
        if format == "yuv420p":
            if self.width % 2 or self.height % 2:
                raise ArgumentError(
                    f"format: '{format}' needs an even width and height, the picture has "
                    f"{self.width}x{self.height}; .yuv has the planes one by one."
                )
            y, u, v = self.yuv
            out = np.empty((self.height * 3 // 2, self.width), np.uint8)
            out[: self.height] = y
            quarter = self.height // 2, self.width // 2
            halves = out[self.height :].reshape(2, *quarter)
            halves[0], halves[1] = u, v
            return out
        raise ArgumentError(f"format: '{format}' is none of {', '.join(FORMATS)}.")

    def to_av(self) -> VideoFrame:
        """The decoded picture as PyAV has it, for those who encode or filter it; not a copy."""
        return self._picture

    def _packed(self, pixel_format: str) -> Image:
        channels = _CHANNELS[pixel_format]
        converted = self._converted(pixel_format)
        rows = _rows(converted.planes[0], self.width * channels)
        if converted is self._picture:
            rows = rows.copy()  # what was decoded is not anybody's to write to
        return np.ascontiguousarray(rows).reshape(self.height, self.width, channels)

    def _converted(self, pixel_format: str) -> VideoFrame:
        """In another format, without a change of matrix between two kinds of YUV."""
        picture = self._picture
        matrix = picture.colorspace
        if matrix == _UNSPECIFIED and not picture.format.is_rgb:
            hd = self.width >= _HD[0] or self.height >= _HD[1]
            matrix = _BT709 if hd and not self.full_range else _BT601
        same = None if pixel_format in _CHANNELS else matrix
        with self._lock:  # swscale's call notes things in the picture itself for a moment
            return _reformatter().reformat(
                picture,
                format=pixel_format,
                src_colorspace=matrix,
                dst_colorspace=same,
                src_color_range=_FULL if self.full_range else None,
                dst_color_range=_FULL if self.full_range and same is not None else None,
                threads=1,
            )


@dataclass(slots=True, eq=False)
class AudioBlock:
    """Some sound of a stream, as it was coded in one piece: 10 to 60 ms mostly."""

    samples: npt.NDArray[np.float32] = field(repr=False)
    """(samples, channels) float32 between −1 and 1; a new array, contiguous."""
    sample_rate: int
    """Samples a second, of each channel."""
    capture_time: float
    """When its first sample was captured, in seconds since the epoch: the pictures' clock."""
    capture_clock: Clock
    """Whose clock `capture_time` is by."""
    handed_out: float = 0.0
    """When it was handed out, in seconds since the epoch by our clock."""
    dropped: int = 0
    """How many blocks were left out since the one handed out before."""

    @property
    def duration(self) -> float:
        """In seconds."""
        return len(self.samples) / self.sample_rate

    @property
    def latency(self) -> float:
        """Seconds from the capture of its first sample to when it was handed out."""
        return self.handed_out - self.capture_time


def _reformatter() -> VideoReformatter:
    """This thread's: setting one up costs more than converting a picture."""
    from av.video.reformatter import VideoReformatter

    made: VideoReformatter | None = getattr(_local, "reformatter", None)
    if made is None:
        made = _local.reformatter = VideoReformatter()
    return made


def _rows(plane: Any, width: int) -> Image:
    """A plane of bytes as it lies in memory, without its rows' padding."""
    rows: Image = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
    return rows[: plane.height, :width]


def _view(plane: VideoPlane, width: int) -> Image:
    rows = _rows(plane, width)
    rows.flags.writeable = False  # the decoder may still need it for the next pictures
    return rows
