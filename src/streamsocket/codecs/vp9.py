"""The encoder of VP9, by libvpx."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from streamsocket.codecs.video import (
    KEYFRAME_EVERY_S,
    UNSPECIFIED,
    Colours,
    VideoEncoder,
    bit_rate_for,
)
from streamsocket.media.codec import Vp9

# VP9 needs so much of H.264's bits for the same picture.
_BITS = 0.7


class Vp9Encoder(VideoEncoder):
    """VP9, profile 0, without frames that aren't shown."""

    codec: Vp9
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
        bit_rate = bit_rate or int(_BITS * bit_rate_for(width, height, rate))
        options = {
            "deadline": "realtime",
            "cpu-used": "8",
            # As with VP8: threads of libvpx spin while they wait.
            "threads": "1",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            # No lower bound, unlike VP8: at a constant rate, small changes of a still picture come
            # some pictures late. What changes all over may take more bits than it should.
            "aq-mode": "3",
            "maxrate": str(bit_rate),
            "bufsize": str(bit_rate // 2),
            "keyint_min": str(max(1, round(keyframe_every_s * rate))),
        }
        size = width, height
        super().__init__(
            "libvpx-vp9",
            size,
            rate,
            bit_rate,
            options,
            keyframe_every_s=keyframe_every_s,
            colours=colours,
        )
        self.codec = Vp9(size)

    def _units(self, data: bytes) -> list[bytes]:
        return [data]
