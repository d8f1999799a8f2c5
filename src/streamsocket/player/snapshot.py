"""A picture of the stream as a file."""

from __future__ import annotations

import re
import time
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import PIL.Image
import PIL.PngImagePlugin

from streamsocket.errors import StreamSocketError

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

_MAX_NAME = 80
_MAX_SAME_NAMES = 1000
_PIXEL_ASPECTS = (1 / 4, 4.0)
"""Pixels that are longer than this are a mistake in the stream."""

# Codes of ISO/IEC 23091-2, which FFmpeg's `colorspace` and `color_range` follow.
_UNSPECIFIED_MATRIX, _FULL_RANGE = 2, 2
_HD = 1280, 720
"""From this width or height on, what says nothing about itself is taken for BT.709."""

_COMPRESSION = 2
"""Of zlib's levels: half the time of the usual one, for a few percent more bytes."""


def save_snapshot(
    frame: VideoFrame,
    folder: Path,
    stream: str,
    captured: float | None,
    *,
    pixel_aspect: float = 1.0,
) -> Path:
    """Save a decoded picture as `STREAM-YYYY-MM-DD-HHMMSS.png`, and return where.

    The name has the local time at which it was `captured`, in seconds since the epoch; that of now
    where it isn't known. The file says it too, as its `Creation Time` (RFC 3339). A file that is
    there is never overwritten: a number follows the name then. The picture has its own size, with
    square pixels: `pixel_aspect` is the width of one of the stream's by its height.

    It takes 0.1 to 0.3 s for 1920 by 1080: to be called by a thread that nobody waits for. Raises
    StreamSocketError where the file cannot be written.
    """
    taken = _local_time(captured)
    details = PIL.PngImagePlugin.PngInfo()
    title = "".join(char if char.isprintable() else "?" for char in stream[:_MAX_NAME])
    details.add_itxt("Title", title)
    details.add_text("Software", "StreamSocket")
    if captured is not None and taken is not None:
        details.add_text("Creation Time", taken.isoformat(timespec="milliseconds"))
    png = BytesIO()
    _picture(frame, pixel_aspect).save(png, "png", pnginfo=details, compress_level=_COMPRESSION)
    taken = taken or datetime.now().astimezone()
    stem = f"{_safe(stream)}-{taken:%Y-%m-%d-%H%M%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return _write(png.getvalue(), folder, stem)
    except OSError as error:
        reason = error.strerror or str(error)
        raise StreamSocketError(
            f"The snapshot cannot be saved in {folder}: {reason}. Is there room, and may you "
            "write there?"
        ) from None


def _local_time(captured: float | None) -> datetime | None:
    """By the clock on the wall here; None for what is no time of this calendar."""
    try:
        return datetime.fromtimestamp(time.time() if captured is None else captured).astimezone()
    except (ValueError, OverflowError, OSError):
        return None


def _picture(frame: VideoFrame, pixel_aspect: float) -> PIL.Image.Image:
    """The picture in red, green and blue, of full range, with square pixels."""
    from av.video.reformatter import ColorRange, Colorspace, Interpolation

    if not _PIXEL_ASPECTS[0] <= pixel_aspect <= _PIXEL_ASPECTS[1]:
        pixel_aspect = 1.0
    matrix = None
    full = frame.color_range == _FULL_RANGE or frame.format.name.startswith("yuvj")
    if frame.colorspace == _UNSPECIFIED_MATRIX and not frame.format.is_rgb:
        hd = frame.width >= _HD[0] or frame.height >= _HD[1]
        matrix = Colorspace.ITU709 if hd and not full else Colorspace.ITU601
    rgb = frame.reformat(
        width=max(1, round(frame.width * pixel_aspect)),
        format="rgb24",
        src_colorspace=matrix,
        src_color_range=ColorRange.JPEG if full else None,
        dst_color_range=ColorRange.JPEG,
        interpolation=Interpolation.BICUBIC
        | Interpolation.ACCURATE_RND
        | Interpolation.FULL_CHR_H_INT,
    )
    return PIL.Image.fromarray(rgb.to_ndarray())


def _safe(stream: str) -> str:
    """The stream's name without what leads elsewhere or what some file system refuses."""
    name = re.sub(r"[^\w.-]+", "-", stream).strip(".-_")
    return name.encode()[:_MAX_NAME].decode(errors="ignore") or "snapshot"


def _write(data: bytes, folder: Path, stem: str) -> Path:
    """Write a file that is not there yet, or none."""
    for number in range(1, _MAX_SAME_NAMES):
        path = folder / (f"{stem}-{number}.png" if number > 1 else f"{stem}.png")
        try:
            file = path.open("xb")
        except FileExistsError:
            continue
        try:
            with file:
                file.write(data)
        except OSError:
            path.unlink(missing_ok=True)
            raise
        return path
    raise FileExistsError(f"there are {_MAX_SAME_NAMES} files named like {stem}.png")
