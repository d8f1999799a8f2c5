"""Which encoder makes a codec, by the codec's name (`media/codec.py`)."""

from __future__ import annotations

from fractions import Fraction

from streamsocket.codecs.audio import (
    AacEncoder,
    AudioEncoder,
    G711Encoder,
    L16Encoder,
    OpusEncoder,
)
from streamsocket.codecs.av1 import Av1Encoder
from streamsocket.codecs.h26x import H264Encoder, H265Encoder
from streamsocket.codecs.mjpeg import MjpegEncoder
from streamsocket.codecs.video import UNSPECIFIED, Colours, VideoEncoder
from streamsocket.codecs.vp8 import Vp8Encoder
from streamsocket.codecs.vp9 import Vp9Encoder

_VIDEO: dict[str, type[VideoEncoder]] = {
    "h264": H264Encoder,
    "h265": H265Encoder,
    "vp8": Vp8Encoder,
    "vp9": Vp9Encoder,
    "av1": Av1Encoder,
    "mjpeg": MjpegEncoder,
}


def make_video_encoder(
    codec: str,
    width: int,
    height: int,
    rate: Fraction,
    *,
    bit_rate: int | None = None,
    in_a_hurry: bool = False,
    colours: Colours = UNSPECIFIED,
) -> VideoEncoder:
    """Open the encoder for `rate` pictures a second of `width` x `height`, an `encodable_size`.

    `bit_rate` in bits a second; None for one that suits. `in_a_hurry` gives up some of the
    picture's quality for less of the processor's time, where the codec's encoder knows how to.
    `colours` are told but in VP8 and MJPEG, of which the pictures have to be in BT.601.
    """
    match codec:
        case "h264":
            preset = "superfast" if in_a_hurry else "veryfast"
            return H264Encoder(
                width, height, rate, bit_rate=bit_rate, preset=preset, colours=colours
            )
        case "h265":
            return H265Encoder(width, height, rate, bit_rate=bit_rate, colours=colours)
        case "vp8":
            return Vp8Encoder(width, height, rate, bit_rate=bit_rate)
        case "vp9":
            return Vp9Encoder(width, height, rate, bit_rate=bit_rate, colours=colours)
        case "av1":
            return Av1Encoder(width, height, rate, bit_rate=bit_rate, colours=colours)
        case "mjpeg":
            return MjpegEncoder(width, height, rate, bit_rate=bit_rate)
    raise KeyError(codec)


def encodable_size(codec: str, width: int, height: int) -> tuple[int, int]:
    """The size that is nearest to `width` x `height` among those the codec's encoder takes.

    What is too large for it keeps its shape.
    """
    encoder = _VIDEO[codec]
    scale = min(Fraction(1), Fraction(encoder.max_side, max(width, height)))
    step = encoder.size_step
    return (
        max(step, int(width * scale) // step * step),
        max(step, int(height * scale) // step * step),
    )


def make_audio_encoder(
    codec: str, channels: int, *, bit_rate: int | None = None, in_a_hurry: bool = False
) -> AudioEncoder:
    """Open the encoder for sound of so many channels, or of as many as the codec has of them.

    `bit_rate` in bits a second, of AAC and Opus; None for one that suits. `in_a_hurry` gives up
    some of Opus's quality for less delay.
    """
    layout = "mono" if channels == 1 else "stereo"
    match codec:
        case "aac":
            return AacEncoder("5.1" if channels == 6 else layout, bit_rate)
        case "opus":
            return OpusEncoder(layout, bit_rate, low_delay=in_a_hurry)
        case "pcmu" | "pcma":
            return G711Encoder(codec)
        case "l16":
            return L16Encoder(layout)
    raise KeyError(codec)
