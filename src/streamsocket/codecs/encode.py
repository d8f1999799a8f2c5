"""Encoders for what StreamSocket makes itself: H.264 by x264, AAC by FFmpeg."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

from av.audio.frame import AudioFrame
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.stream import Stream
from av.video.frame import PictureType, VideoFrame

from streamsocket.codecs.coded import Coded
from streamsocket.media import h264
from streamsocket.media.codec import H264, Aac

SAMPLE_RATE = 48_000
"""Hertz; what all sound is encoded at."""
AAC_FRAME = 1024
"""Samples in one coded frame."""

_VIDEO_CLOCK = H264.clock_rate

# 2.5 Mbit/s at 1280x720 and 30 pictures a second.
_BITS_A_PIXEL = 0.0905
_MIN_BIT_RATE = 200_000


def bit_rate_for(width: int, height: int, rate: Fraction) -> int:
    """Bits a second that suit pictures of that size and rate."""
    return max(int(_BITS_A_PIXEL * width * height * rate), _MIN_BIT_RATE)


def constant_rate(bit_rate: int) -> dict[str, str]:
    """Options that keep x264 to a rate: a keyframe is worth a quarter of a second at most."""
    return {"maxrate": str(bit_rate), "bufsize": str(bit_rate // 4)}


class VideoEncoder:
    """H.264, 8 bits, 4:2:0, no B-frames: every picture comes out as it goes in."""

    def __init__(
        self,
        width: int,
        height: int,
        rate: Fraction,
        *,
        preset: str = "veryfast",
        keyframe_every_s: float = 2.0,
    ) -> None:
        """Open the encoder for `rate` pictures a second of `width` x `height` (both even)."""
        context = CodecContext.create("libx264", "w")
        context.width, context.height = width, height
        context.pix_fmt = "yuv420p"
        context.time_base = Fraction(1, _VIDEO_CLOCK)
        context.framerate = rate
        bits = bit_rate_for(width, height, rate)
        context.bit_rate = bits
        context.gop_size = max(1, round(keyframe_every_s * rate))
        context.flags |= Flags.global_header
        context.options = {
            "preset": preset,
            "tune": "zerolatency",
            "forced-idr": "1",
            "refs": "2",  # after a flash, the picture before it is still known
            "sc_threshold": "0",  # keyframes come when they are due, no sooner
            **constant_rate(bits),
        }
        context.open()
        self._context = context
        self._frame_s = 1 / rate
        sets = h264.split_annexb(context.extradata or b"")
        self.codec = H264(
            sps=next(unit for unit in sets if h264.nal_type(unit) == h264.SPS),
            pps=next(unit for unit in sets if h264.nal_type(unit) == h264.PPS),
        )

    def encode(self, frame: VideoFrame, pts: Fraction, *, keyframe: bool = False) -> list[Coded]:
        """Encode a picture that is shown at `pts` seconds, as a keyframe if need be."""
        frame.pts = round(pts * _VIDEO_CLOCK)
        frame.time_base = Fraction(1, _VIDEO_CLOCK)
        frame.pict_type = PictureType.I if keyframe else PictureType.NONE
        return self._coded(self._context.encode(frame))

    def flush(self) -> list[Coded]:
        """What is still inside, at the end."""
        return self._coded(self._context.encode(None))

    def _coded(self, packets: Iterable[Packet[Stream]]) -> list[Coded]:
        return [
            Coded(
                h264.split_annexb(bytes(packet)),
                Fraction(packet.pts or 0, _VIDEO_CLOCK),
                Fraction(packet.dts or 0, _VIDEO_CLOCK),
                self._frame_s,
                packet.is_keyframe,
            )
            for packet in packets
        ]


class AudioEncoder:
    """AAC-LC at 48 kHz. The times of what comes out include the encoder's delay.

    A frame's `pts` is the time of the first sample that decoding it gives, the priming before
    the first sample included: it starts 1024 samples before what was put in first.
    """

    def __init__(self, layout: str = "stereo") -> None:
        """Open the encoder for a channel layout by FFmpeg's names: `"stereo"`, `"5.1"`."""
        context = CodecContext.create("aac", "w")
        context.sample_rate = SAMPLE_RATE
        context.layout = layout
        context.format = "fltp"
        context.time_base = Fraction(1, SAMPLE_RATE)
        context.bit_rate = 64_000 * context.channels
        context.flags |= Flags.global_header
        context.open()
        self._context = context
        self.codec = Aac(context.extradata or b"")

    def encode(self, frame: AudioFrame) -> list[Coded]:
        """Encode 1024 planar float samples; `frame.pts` counts samples."""
        return _coded_sound(self._context.encode(frame))

    def flush(self) -> list[Coded]:
        """What is still inside, at the end."""
        return _coded_sound(self._context.encode(None))


def _coded_sound(packets: Iterable[Packet[Stream]]) -> list[Coded]:
    duration = Fraction(AAC_FRAME, SAMPLE_RATE)
    coded = []
    for packet in packets:
        pts = Fraction(packet.pts or 0, SAMPLE_RATE)
        coded.append(Coded([bytes(packet)], pts, pts, duration))
    return coded
