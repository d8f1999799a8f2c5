"""What the encoders of pictures have in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import ClassVar, NamedTuple

from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType, VideoFrame

from streamsocket.codecs.coded import Coded
from streamsocket.media.codec import VideoCodec

KEYFRAME_EVERY_S = 2.0

_CLOCK = 90_000

# 2.5 Mbit/s at 1280x720 and 30 pictures a second.
_BITS_A_PIXEL = 0.0905
_MIN_BIT_RATE = 200_000


def bit_rate_for(width: int, height: int, rate: Fraction) -> int:
    """Bits a second that suit H.264's pictures of that size and rate."""
    return max(int(_BITS_A_PIXEL * width * height * rate), _MIN_BIT_RATE)


def constant_rate(bit_rate: int) -> dict[str, str]:
    """Options that keep an encoder to a rate: a keyframe is worth a quarter of a second at most."""
    return {"maxrate": str(bit_rate), "bufsize": str(bit_rate // 4)}


class Colours(NamedTuple):
    """What a picture's colours mean, by the numbers of ITU-T H.273; 2 is not specified."""

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2


UNSPECIFIED = Colours()
BT601 = 6
"""The matrix that is meant where a codec cannot tell."""


class VideoEncoder(ABC):
    """Encodes pictures at a constant rate of bits; every one comes out as it goes in."""

    codec: VideoCodec
    """What comes out."""
    pixel_format: ClassVar[str] = "yuv420p"
    """FFmpeg's name of what is encoded; pictures of another format are converted."""
    size_step: ClassVar[int] = 2
    """Width and height are multiples of so many pixels: 4:2:0 has a colour for every two."""
    max_side: ClassVar[int] = 16_384
    """Pixels that width and height have at most."""
    tells_colours: ClassVar[bool] = False
    """What comes out says what its colours mean; otherwise it has to be in `BT601`."""

    def __init__(
        self,
        encoder: str,
        size: tuple[int, int],
        rate: Fraction,
        bit_rate: int,
        options: Mapping[str, str],
        *,
        keyframe_every_s: float = KEYFRAME_EVERY_S,
        colours: Colours = UNSPECIFIED,
    ) -> None:
        """Open FFmpeg's `encoder` for `rate` pictures a second of `size`, width and height."""
        context = CodecContext.create(encoder, "w")
        assert isinstance(context, VideoCodecContext)
        context.width, context.height = size
        context.pix_fmt = self.pixel_format
        context.time_base = Fraction(1, _CLOCK)
        context.framerate = rate
        context.bit_rate = bit_rate
        context.gop_size = max(1, round(keyframe_every_s * rate))
        context.flags |= Flags.global_header
        context.color_primaries, context.color_trc, context.colorspace = colours
        context.options = dict(options)
        context.open()
        self._context = context
        self._frame_s = 1 / rate

    def encode(self, frame: VideoFrame, pts: Fraction, *, keyframe: bool = False) -> list[Coded]:
        """Encode a picture that is shown at `pts` seconds, as a keyframe if need be."""
        if frame.format.name != self.pixel_format:
            frame = frame.reformat(format=self.pixel_format)
        frame.pts = round(pts * _CLOCK)
        frame.time_base = Fraction(1, _CLOCK)
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        return self._coded(self._context.encode(frame))

    def flush(self) -> list[Coded]:
        """What is still inside, at the end."""
        return self._coded(self._context.encode(None))

    @abstractmethod
    def _units(self, data: bytes) -> list[bytes]:
        """The units of an access unit as the encoder writes it."""

    def _coded(self, packets: Iterable[Packet[Stream]]) -> list[Coded]:
        return [
            Coded(
                self._units(bytes(packet)),
                Fraction(packet.pts or 0, _CLOCK),
                Fraction(packet.dts or 0, _CLOCK),
                self._frame_s,
                packet.is_keyframe,
            )
            for packet in packets
        ]
