"""The encoder of AV1, by SVT-AV1."""

from __future__ import annotations

import os
from contextlib import suppress
from fractions import Fraction
from typing import ClassVar

from av.error import FFmpegError

from streamsocket.codecs.video import (
    KEYFRAME_EVERY_S,
    UNSPECIFIED,
    Colours,
    VideoEncoder,
    bit_rate_for,
)
from streamsocket.media.av1 import without_size
from streamsocket.media.codec import Av1

# AV1 needs so much of H.264's bits for the same picture.
_BITS = 0.6

_LOG, _ERRORS_ONLY = "SVT_LOG", "1"


class Av1Encoder(VideoEncoder):
    """AV1, Main profile, every picture shown as it comes."""

    codec: Av1
    tells_colours: ClassVar[bool] = True

    def __init__(
        self,
        width: int,
        height: int,
        rate: Fraction,
        *,
        bit_rate: int | None = None,
        keyframe_every_s: float = KEYFRAME_EVERY_S,
        colours: Colours = UNSPECIFIED,
    ) -> None:
        """Open the encoder for `rate` pictures a second of `width` x `height` (both even)."""
        # The library's words would go to the terminal; it has no option against that.
        os.environ.setdefault(_LOG, _ERRORS_ONLY)
        bit_rate = bit_rate or int(_BITS * bit_rate_for(width, height, rate))
        options = {
            "preset": "11",
            # For calls: no picture waits for a later one, the rate of bits is constant, and one
            # thread, which a picture a time can't make use of more.
            "svtav1-params": "rtc=1:pred-struct=1:rc=2:lp=1",
        }
        super().__init__(
            "libsvtav1",
            (width, height),
            rate,
            bit_rate,
            options,
            keyframe_every_s=keyframe_every_s,
            colours=colours,
        )
        self.codec = Av1(without_size(self._context.extradata or b""))

    def _units(self, data: bytes) -> list[bytes]:
        return [data]

    def __del__(self) -> None:
        # SVT-AV1 waits for ever where it is let go before it was told that nothing more comes.
        if hasattr(self, "_context"):
            with suppress(FFmpegError):
                self.flush()
