"""Motion JPEG straight from RGB, by libjpeg-turbo: half the time of converting it first."""

from __future__ import annotations

import io
import math
from fractions import Fraction
from typing import Any, ClassVar

import numpy as np
from av.video.frame import VideoFrame
from PIL import Image

from streamsocket.codecs.coded import Coded
from streamsocket.codecs.mjpeg import mjpeg_bit_rate
from streamsocket.media.codec import Mjpeg

_FIRST_QUALITY = 60.0
_LEAST_QUALITY, _MOST_QUALITY = 4.0, 92.0
# A picture has half the bits at a quality of about so much less, around the middle of the scale.
_HALF = 18.0


class RgbJpegEncoder:
    """Baseline JPEG, 4:2:0, with the usual Huffman tables, of RGB pictures at a rate of bits.

    It encodes as `MjpegEncoder` does, which is the one for pictures that are in YUV already.
    """

    codec: Mjpeg
    pixel_format: ClassVar[str] = "rgb24"
    tells_colours: ClassVar[bool] = False

    def __init__(
        self, width: int, height: int, rate: Fraction, *, bit_rate: int | None = None
    ) -> None:
        """For pictures whose sides are multiples of 8, up to 2040."""
        self.codec = Mjpeg((width, height))
        self._target = (bit_rate or mjpeg_bit_rate(width, height, rate)) / 8 / float(rate)
        self._quality = _FIRST_QUALITY
        self._frame_s = 1 / rate

    def encode(self, frame: VideoFrame, pts: Fraction, *, keyframe: bool = False) -> list[Coded]:
        """Encode a picture that is shown at `pts` seconds; each is a keyframe."""
        plane: Any = frame.planes[0]
        pixels = np.frombuffer(plane, np.uint8)
        size = frame.width, frame.height
        image = Image.frombuffer("RGB", size, pixels, "raw", "RGB", plane.line_size, 1)
        coded = io.BytesIO()
        image.save(coded, "JPEG", quality=round(self._quality), subsampling="4:2:0")
        data = coded.getvalue()
        # Half of the way, so that a picture unlike the others does not throw it off.
        step = _HALF / 2 * math.log2(self._target / len(data))
        self._quality = min(max(self._quality + step, _LEAST_QUALITY), _MOST_QUALITY)
        return [Coded([data], pts, pts, self._frame_s)]
