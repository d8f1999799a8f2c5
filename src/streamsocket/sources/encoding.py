"""What a user asks of a source's encoding: `--size`, `--fps`, the bitrates and `--codec`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from streamsocket.errors import ParseError, SettingsError
from streamsocket.rtp.mjpeg import MAX_SIDE

VIDEO_CODECS = ("h264", "h265", "vp8", "vp9", "av1", "mjpeg")
AUDIO_CODECS = ("aac", "opus", "pcmu", "pcma", "l16")

SMALLEST, LARGEST = (160, 90), (7680, 4320)
"""Pixels, width and height."""

JPEG_BLOCK = 8
"""RTP tells a JPEG's width and height in blocks of so many pixels (RFC 2435, 3.1.5)."""

_FPS = (Fraction(1), Fraction(240))
_VIDEO_BITRATE = (50_000, 200_000_000)
_AUDIO_BITRATE = (8_000, 512_000)
_WITHOUT_BITRATE = ("pcmu", "pcma", "l16")

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_RATE = re.compile(r"\d{1,6}(\.\d{1,3}|/\d{1,4})?")
_BITRATE = re.compile(r"(\d{1,9}(?:\.\d{1,3})?)([kM]?)", re.IGNORECASE)
_FACTORS = {"": 1, "k": 1000, "m": 1_000_000}

# Television's rates are written in decimals but are ratios.
_NTSC = {
    "23.976": Fraction(24_000, 1001),
    "23.98": Fraction(24_000, 1001),
    "29.97": Fraction(30_000, 1001),
    "59.94": Fraction(60_000, 1001),
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a source is to be encoded; what is None stays as it is, or as it suits."""

    size: tuple[int, int] | None = None
    """Width and height in pixels, exactly: a picture of another shape gets black bars."""
    fps: Fraction | None = None
    """Pictures a second, exactly: pictures are left out or repeated."""
    video_bitrate_bps: int | None = None
    audio_bitrate_bps: int | None = None
    video_codec: str | None = None
    """One of `VIDEO_CODECS`."""
    audio_codec: str | None = None
    """One of `AUDIO_CODECS`."""


AS_IT_IS = Encoding()
"""Nothing is asked for."""


def parse_encoding(
    *,
    size: str | None = None,
    fps: str | None = None,
    video_bitrate: str | None = None,
    audio_bitrate: str | None = None,
    codec: str | None = None,
) -> Encoding:
    """Read the command line's options: `1280x720`, `25` or `29.97`, `2.5M`, `128k`, `h264+opus`.

    Raises `SettingsError`.
    """
    video_codec, audio_codec = _parse_codecs(codec)
    encoding = Encoding(
        None if size is None else _parse_size(size),
        None if fps is None else _parse_fps(fps),
        _parse_bitrate("--video-bitrate", video_bitrate, _VIDEO_BITRATE),
        _parse_bitrate("--audio-bitrate", audio_bitrate, _AUDIO_BITRATE),
        video_codec,
        audio_codec,
    )
    _check_together(encoding)
    return encoding


def parse_rate(text: str) -> Fraction | None:
    """Pictures a second: `25`, `29.97` (which means 30000/1001) or `24000/1001`; None if not so."""
    if not _RATE.fullmatch(text):
        return None
    try:
        return _NTSC.get(text) or Fraction(text)
    except ZeroDivisionError:
        return None


def encoding_to_json(encoding: Encoding) -> dict[str, Any]:
    """What `json.dumps` takes, for a source's process."""
    return {
        "size": encoding.size and list(encoding.size),
        "fps": encoding.fps and str(encoding.fps),
        "video_bitrate_bps": encoding.video_bitrate_bps,
        "audio_bitrate_bps": encoding.audio_bitrate_bps,
        "video_codec": encoding.video_codec,
        "audio_codec": encoding.audio_codec,
    }


def encoding_from_json(fields: dict[str, Any]) -> Encoding:
    """The reverse of `encoding_to_json`. Raises `ParseError`."""
    try:
        fps = fields["fps"]
        encoding = Encoding(
            _size_from_json(fields["size"]),
            None if fps is None else Fraction(fps),
            _whole(fields["video_bitrate_bps"]),
            _whole(fields["audio_bitrate_bps"]),
            fields["video_codec"],
            fields["audio_codec"],
        )
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise ParseError(f"This is no encoding: {str(fields)[:100]}.") from error
    if encoding.video_codec not in (None, *VIDEO_CODECS) or encoding.audio_codec not in (
        None,
        *AUDIO_CODECS,
    ):
        raise ParseError(f"This is no encoding: {str(fields)[:100]}.")
    return encoding


def _size_from_json(size: Any) -> tuple[int, int] | None:
    match size:
        case None:
            return None
        case [int(width), int(height)]:
            return width, height
    raise ValueError(size)


def _whole(number: Any) -> int | None:
    return None if number is None else int(number)


def _parse_codecs(text: str | None) -> tuple[str | None, str | None]:
    """Video and audio of `h264`, `opus` or `h264+opus`."""
    if text is None:
        return None, None
    words = text.lower().split("+")
    for word in words:
        if word not in VIDEO_CODECS + AUDIO_CODECS:
            raise SettingsError(
                f"--codec: '{word}' is no codec to encode with: choose {_choice(VIDEO_CODECS)} for "
                f"the picture, {_choice(AUDIO_CODECS)} for the sound, or one of each with a + "
                "between them."
            )
    video = [word for word in words if word in VIDEO_CODECS]
    audio = [word for word in words if word in AUDIO_CODECS]
    if len(video) > 1 or len(audio) > 1:
        raise SettingsError(
            f"--codec: '{text}' names two codecs for the same: one for the picture and one for the "
            "sound are enough, as in h264+opus."
        )
    return (*video, None)[0], (*audio, None)[0]


def _choice(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _parse_size(text: str) -> tuple[int, int]:
    match = _SIZE.fullmatch(text)
    if not match:
        raise SettingsError(f"--size: '{text}' is no size: write width x height, as in 1280x720.")
    width, height = int(match[1]), int(match[2])
    if reason := size_reason(width, height):
        raise SettingsError(f"--size: a picture cannot be {width}x{height}: {reason}.")
    return width, height


def size_reason(width: int, height: int) -> str | None:
    """Why pictures of that size are not made, if so."""
    fits = SMALLEST[0] <= width <= LARGEST[0] and SMALLEST[1] <= height <= LARGEST[1]
    if fits and not width % 2 and not height % 2:
        return None
    return "width and height must be even, from {}x{} to {}x{}".format(*SMALLEST, *LARGEST)


def _parse_fps(text: str) -> Fraction:
    rate = parse_rate(text)
    if rate is None:
        raise SettingsError(
            f"--fps: '{text}' is no number of pictures a second: write 25, 29.97 or 30000/1001."
        )
    if not _FPS[0] <= rate <= _FPS[1]:
        raise SettingsError(
            f"--fps: {text} pictures a second are not possible: choose {_FPS[0]} to {_FPS[1]}."
        )
    return rate


def _parse_bitrate(option: str, text: str | None, limits: tuple[int, int]) -> int | None:
    if text is None:
        return None
    match = _BITRATE.fullmatch(text)
    if not match:
        raise SettingsError(
            f"{option}: '{text}' is no bitrate: write bits a second, as in 800k or 2.5M."
        )
    bits = int(Fraction(match[1]) * _FACTORS[match[2].lower()])
    if not limits[0] <= bits <= limits[1]:
        raise SettingsError(
            f"{option}: {bits} bits a second are not possible: "
            f"choose {_written(limits[0])} to {_written(limits[1])}."
        )
    return bits


def _written(bits: int) -> str:
    return f"{bits // 1_000_000}M" if bits >= 1_000_000 else f"{bits // 1000}k"


def _check_together(encoding: Encoding) -> None:
    size = encoding.size or (JPEG_BLOCK, JPEG_BLOCK)
    if encoding.video_codec == "mjpeg" and any(x % JPEG_BLOCK or x > MAX_SIDE for x in size):
        raise SettingsError(
            "--size: MJPEG cannot be {}x{} in RTP: width and height must be ".format(*size)
            + f"multiples of {JPEG_BLOCK}, up to {MAX_SIDE}."
        )
    if encoding.audio_bitrate_bps and encoding.audio_codec in _WITHOUT_BITRATE:
        raise SettingsError(
            f"--audio-bitrate: {encoding.audio_codec} has the bitrate that its samples have: "
            "leave the option out, or choose aac or opus."
        )
