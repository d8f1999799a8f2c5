"""The encoder of VP8, by libvpx."""

from __future__ import annotations

from fractions import Fraction

from streamsocket.codecs.video import KEYFRAME_EVERY_S, VideoEncoder, bit_rate_for
from streamsocket.media.codec import Vp8


class Vp8Encoder(VideoEncoder):
    """VP8, without frames that aren't shown."""

    codec: Vp8

    def __init__(
        self,
        width: int,
        height: int,
        rate: Fraction,
        *,
        bit_rate: int | None = None,
        keyframe_every_s: float = KEYFRAME_EVERY_S,
    ) -> None:
        """Open the encoder for `rate` pictures a second of `width` x `height` (both even)."""
        bit_rate = bit_rate or bit_rate_for(width, height, rate)
        options = {
            "deadline": "realtime",
            # Below zero the speed is fixed; above, all of a picture's time is made use of.
            "cpu-used": "-6",
            # Threads of libvpx spin while they wait: two take ten times as long on a busy machine.
            "threads": "1",
            "lag-in-frames": "0",
            "auto-alt-ref": "0",
            # Equal bounds mean a constant rate; they also mean keyframes at constant distances.
            "minrate": str(bit_rate),
            "maxrate": str(bit_rate),
            "bufsize": str(bit_rate // 2),
            "keyint_min": str(max(1, round(keyframe_every_s * rate))),
        }
        size = width, height
        super().__init__("libvpx", size, rate, bit_rate, options, keyframe_every_s=keyframe_every_s)
        self.codec = Vp8(size)

    def _units(self, data: bytes) -> list[bytes]:
        return [data]
