"""Which encoder makes a publisher's picture: presets by name, the hardware's where there is one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Literal, get_args

from av.error import FFmpegError

from streamsocket.codecs.av1 import Av1Encoder
from streamsocket.codecs.encode import encodable_size, make_video_encoder
from streamsocket.codecs.h26x import H264Encoder, H265Encoder
from streamsocket.codecs.hardware import HARDWARE, HardwareError, HardwareH264Encoder
from streamsocket.codecs.jpeg import RgbJpegEncoder
from streamsocket.codecs.video import Colours, VideoEncoder
from streamsocket.codecs.vp8 import Vp8Encoder
from streamsocket.codecs.vp9 import Vp9Encoder
from streamsocket.errors import ArgumentError

Codec = Literal["h264", "h265", "vp8", "vp9", "av1", "mjpeg"]
Preset = Literal["low-delay", "quality", "mjpeg"]

# With "superfast" a 720p picture takes 4 ms more from array to array than with "ultrafast", and is
# 1 dB better at the same bits.
_X264_PRESETS = {"low-delay": "ultrafast", "quality": "faster"}

# Each thread codes a slice of its own: more than that cost bits and no longer save time.
_MOST_THREADS = 4

# Keyframes are asked for by the clock, since pictures come as they like; left alone, an encoder
# would make one an hour.
_HARDLY_EVER_S = 3600.0

PictureEncoder = VideoEncoder | RgbJpegEncoder

BT709 = Colours(1, 1, 1)
BT601 = Colours(6, 6, 6)
_HD = 1280, 720


@dataclass(frozen=True, slots=True)
class VideoOptions:
    """What somebody wants of the picture's encoder, checked."""

    codec: Codec = "h264"
    preset: Preset = "low-delay"
    bit_rate: int | None = None
    """Bits a second; None for one that suits."""
    rate: Fraction = Fraction(30)
    encoder: str = "auto"
    """`auto`, `software`, or FFmpeg's name of one."""


def checked_options(
    *,
    codec: str,
    preset: str,
    bitrate: float | None,
    fps: float | Fraction | None,
    encoder: str | None,
) -> VideoOptions:
    """What a user wrote, as options. Raises ArgumentError for what cannot be meant."""
    _one_of("codec", codec, get_args(Codec))
    _one_of("preset", preset, get_args(Preset))
    if preset == "mjpeg":
        if codec not in ("h264", "mjpeg"):  # h264 is what nobody has chosen
            raise ArgumentError(f"preset: 'mjpeg' is no preset of {codec}: leave out one of them.")
        codec = "mjpeg"
    if bitrate is not None and not 10_000 <= bitrate <= 1_000_000_000:
        raise ArgumentError(
            f"bitrate: {bitrate} is not between 10,000 and 1,000,000,000 bits a second."
        )
    if fps is not None and not Fraction(1, 10) <= fps <= 1000:
        raise ArgumentError(f"fps: {fps} is not between 0.1 and 1000 pictures a second.")
    name = encoder or "auto"
    if name not in ("auto", "software", *HARDWARE):
        names = ", ".join(("auto", "software", *HARDWARE))
        raise ArgumentError(f"encoder: '{name}' is none of {names}.")
    if name in HARDWARE and codec != "h264":
        raise ArgumentError(f"encoder: {name} makes H.264, not {codec}.")
    return VideoOptions(
        codec=codec,  # type: ignore[arg-type]  # it has been looked up
        preset=preset,  # type: ignore[arg-type]
        bit_rate=None if bitrate is None else round(bitrate),
        rate=Fraction(30) if fps is None else Fraction(fps).limit_denominator(1001),
        encoder=name,
    )


def colours_for(size: tuple[int, int]) -> Colours:
    """What pictures of that size are in where nobody has said so: BT.709 from 720 lines on."""
    return BT709 if size[0] >= _HD[0] or size[1] >= _HD[1] else BT601


def coded_size(codec: Codec, size: tuple[int, int]) -> tuple[int, int]:
    """The size that pictures of `size` are coded in: even; for MJPEG a multiple of 8, 2040 at most.

    One pixel too many is cut off; anything else is scaled.
    """
    return encodable_size(codec, *size)


def open_video_encoder(
    options: VideoOptions, size: tuple[int, int], colours: Colours, *, is_rgb: bool = False
) -> tuple[PictureEncoder, str]:
    """Open the encoder for pictures of that size; return it with its name.

    `is_rgb`: they will mostly be RGB, not YUV.
    With `auto`, the hardware's if there is one that holds no picture back, else the software's.
    Raises HardwareError where one was asked for by its name and cannot be had, and ArgumentError
    for a size that is too much for the codec.
    """
    if options.codec == "h264" and options.encoder != "software":
        asked_for = options.encoder != "auto"
        names = [options.encoder] if asked_for else _hardware_here()
        for name in names:
            try:
                return _hardware(name, options, size, colours), name
            except HardwareError:
                if asked_for:
                    raise
    if options.codec == "mjpeg" and is_rgb:
        return RgbJpegEncoder(*size, options.rate, bit_rate=options.bit_rate), "libjpeg-turbo"
    try:
        return _software(options, size, colours)
    except FFmpegError as error:
        raise ArgumentError(
            f"codec: pictures of {size[0]}x{size[1]} cannot be made {options.codec} "
            f"({error.strerror})."
        ) from error


@cache
def _hardware_here() -> Sequence[str]:
    """The hardware's encoders that work here; found out once, since it may take a moment."""
    working = []
    for name in HARDWARE:
        try:
            _hardware(name, VideoOptions(), (640, 360), BT601)
        except HardwareError:
            continue
        working.append(name)
    return working


def _hardware(
    name: str, options: VideoOptions, size: tuple[int, int], colours: Colours
) -> VideoEncoder:
    return HardwareH264Encoder(
        name,
        *size,
        options.rate,
        bit_rate=options.bit_rate,
        keyframe_every_s=_HARDLY_EVER_S,
        colours=colours,
    )


def _software(
    options: VideoOptions, size: tuple[int, int], colours: Colours
) -> tuple[VideoEncoder, str]:
    rate, bit_rate = options.rate, options.bit_rate
    match options.codec:
        case "h264":
            encoder: VideoEncoder = H264Encoder(
                *size,
                rate,
                bit_rate=bit_rate,
                preset=_X264_PRESETS[options.preset],
                keyframe_every_s=_HARDLY_EVER_S,
                colours=colours,
                threads=min(_MOST_THREADS, os.cpu_count() or 1),
            )
            return encoder, "libx264"
        case "h265":
            encoder = H265Encoder(
                *size, rate, bit_rate=bit_rate, keyframe_every_s=_HARDLY_EVER_S, colours=colours
            )
            return encoder, "libx265"
        case "vp8":
            encoder = Vp8Encoder(*size, rate, bit_rate=bit_rate, keyframe_every_s=_HARDLY_EVER_S)
            return encoder, "libvpx"
        case "vp9":
            encoder = Vp9Encoder(
                *size, rate, bit_rate=bit_rate, keyframe_every_s=_HARDLY_EVER_S, colours=colours
            )
            return encoder, "libvpx-vp9"
        case "av1":
            encoder = Av1Encoder(
                *size, rate, bit_rate=bit_rate, keyframe_every_s=_HARDLY_EVER_S, colours=colours
            )
            return encoder, "libsvtav1"
        case "mjpeg":
            return make_video_encoder("mjpeg", *size, rate, bit_rate=bit_rate), "mjpeg"


def _one_of(argument: str, value: str, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ArgumentError(f"{argument}: '{value}' is none of {', '.join(allowed)}.")
