"""The encoder of Motion JPEG, by FFmpeg: such as RTP can carry (RFC 2435)."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

from streamsocket.codecs.video import VideoEncoder, bit_rate_for
from streamsocket.media.codec import Mjpeg
from streamsocket.rtp.mjpeg import MAX_SIDE

# Every picture stands for itself: at the same rate of bits as H.264 it would be unrecognisable.
_BITS = 8


def mjpeg_bit_rate(width: int, height: int, rate: Fraction) -> int:
    """Bits a second that suit Motion JPEG's pictures of that size and rate."""
    return _BITS * bit_rate_for(width, height, rate)


class MjpegEncoder(VideoEncoder):
    """Baseline JPEG, 4:2:0, with the usual Huffman tables."""

    codec: Mjpeg
    pixel_format: ClassVar[str] = "yuvj420p"
    # RTP tells width and height in blocks of eight pixels, in one byte each (RFC 2435, 3.1.5).
    size_step: ClassVar[int] = 8
    max_side: ClassVar[int] = MAX_SIDE

    def __init__(
        self, width: int, height: int, rate: Fraction, *, bit_rate: int | None = None
    ) -> None:
        """Open the encoder for pictures whose sides are multiples of 8, up to 2040."""
        bit_rate = bit_rate or mjpeg_bit_rate(width, height, rate)
        options = {
            "huffman": "default",
            "minrate": str(bit_rate),
            "maxrate": str(bit_rate),
            "bufsize": str(bit_rate // 3),
        }
        size = width, height
        super().__init__("mjpeg", size, rate, bit_rate, options)
        self.codec = Mjpeg(size)

    def _units(self, data: bytes) -> list[bytes]:
        return [data]
