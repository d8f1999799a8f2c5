"""Which of the formats that a camera offers comes nearest to what is wished for."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

DECODABLE = ("mjpeg", "h264")
"""Compressed formats that are taken, by FFmpeg's names of their codecs."""

# Being a third too small is as bad as being three times as large.
_TOO_SMALL = 2.0
_TOO_SLOW = 3.0


@dataclass(frozen=True, slots=True)
class Format:
    """A size, a rate and how pixels are written."""

    pixels: str
    """FFmpeg's name of a pixel format (`yuyv422`), or of a codec (`mjpeg`)."""
    width: int
    height: int
    rate: Fraction
    """Pictures a second."""

    @property
    def compressed(self) -> bool:
        """Whether it has to be decoded."""
        return self.pixels in DECODABLE

    @property
    def text(self) -> str:
        """For people: `1280x720 at 30`."""
        rate = float(self.rate)
        return f"{self.width}x{self.height} at {rate:.4g}"


def nearest(formats: Iterable[Format], size: tuple[int, int], rate: Fraction) -> Format | None:
    """The format that suits `size` and `rate` best, None if there is none.

    The rate comes before the size: half the pictures are worse than half the pixels. At the same
    size and rate raw pixels are taken, and H.264, whose pictures may be held back by the camera's
    encoder, last.
    """
    return min(formats, key=lambda each: _distance(each, size, rate), default=None)


def _distance(
    each: Format, size: tuple[int, int], rate: Fraction
) -> tuple[float, float, int, float]:
    pixels, wished = each.width * each.height, size[0] * size[1]
    # Being larger costs some of the processor's time, being smaller costs sharpness.
    area = pixels / wished - 1 if pixels >= wished else _TOO_SMALL * (wished / pixels - 1)
    speed = float(each.rate / rate)
    # Pictures too many can be left out, 29.97 is 30, and what is missing cannot be made.
    slow = _TOO_SLOW * max(0.0, 0.95 / speed - 1)
    shape = abs(each.width / each.height - size[0] / size[1])
    order = 0 if not each.compressed else 1 + DECODABLE.index(each.pixels)
    return area + slow, shape, order, max(0.0, speed - 1)
