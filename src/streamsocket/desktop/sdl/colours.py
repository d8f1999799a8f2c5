"""Which of the colour conversions SDL knows a decoded picture needs.

SDL shows 4:2:0 pictures (planar or NV12) by one of three: BT.601 and BT.709 with limited range, and
BT.601 with full range, as in JPEG. Everything else is converted to one of these.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

Conversion = Literal["bt601", "bt709", "jpeg"]

# Codes of ISO/IEC 23091-2, which FFmpeg's `colorspace` and `color_range` follow.
_RGB, _BT709, _UNSPECIFIED = 0, 1, 2
_BT601 = (5, 6)
_LIMITED, _FULL = 1, 2
# … and what swscale calls the two.
_SWS_BT709, _SWS_BT601 = "ITU709", "ITU601"

_HD = 1280, 720
"""From this width or height on, what says nothing about itself is taken for BT.709."""
_PLANAR = ("yuv420p", "yuvj420p")


class Shown(NamedTuple):
    """A picture as SDL takes it: planar 4:2:0, or NV12."""

    frame: VideoFrame
    conversion: Conversion


def for_sdl(frame: VideoFrame) -> Shown:
    """The picture in a form that SDL can show, itself if it is in one already."""
    name = frame.format.name
    full = frame.color_range == _FULL or name.startswith("yuvj")
    matrix = frame.colorspace
    if matrix == _UNSPECIFIED and not frame.format.is_rgb:
        hd = frame.width >= _HD[0] or frame.height >= _HD[1]
        matrix = _BT709 if hd and not full else _BT601[0]
    if matrix in _BT601 and not frame.format.is_rgb:
        if name in _PLANAR or name == "nv12":
            return Shown(frame, "jpeg" if full else "bt601")
        return Shown(_converted(frame, _SWS_BT601, full), "jpeg" if full else "bt601")
    if matrix == _BT709 and not full and (name in _PLANAR or name == "nv12"):
        return Shown(frame, "bt709")
    return Shown(_converted(frame, _SWS_BT709, False), "bt709")


def _converted(frame: VideoFrame, matrix: str, full: bool) -> VideoFrame:
    return frame.reformat(
        format="yuvj420p" if full else "yuv420p",
        dst_colorspace=matrix,
        dst_color_range=_FULL if full else _LIMITED,
    )
