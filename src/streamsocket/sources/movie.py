"""Makes movies of the test pattern: for the demo, the tests and the bench."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import Literal

import av
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsocket.codecs.audio import SAMPLE_RATE
from streamsocket.codecs.video import bit_rate_for, constant_rate
from streamsocket.sources.beeper import Beeper, is_flash_number
from streamsocket.sources.picture import PictureDrawer

Sound = Literal["aac", "opus", "5.1"]

_OPUS_FRAME, _AAC_FRAME = 960, 1024


def make_movie(
    path: str | os.PathLike[str],
    *,
    seconds: float = 10.0,
    size: tuple[int, int] = (1280, 720),
    rate: Fraction = Fraction(30),
    b_frames: int = 2,
    gop_seconds: float = 2.0,
    audio: Sound | None = "aac",
    audio_seconds: float | None = None,
    bit_rate: int | None = None,
) -> None:
    """Write a movie of the test pattern, faster than real time; the suffix says what container.

    Its clock and its blocks begin at zero. `audio_seconds` makes the sound longer or shorter than
    the picture's `seconds`; `bit_rate` is the picture's, in bits a second.
    """
    with av.open(os.fspath(path), "w") as movie:
        video = _add_video(movie, size, rate, b_frames, gop_seconds, bit_rate)
        sound = _add_sound(movie, audio) if audio else None
        beeper = Beeper(rate, "5.1" if audio == "5.1" else "stereo")
        sound_end = round((seconds if audio_seconds is None else audio_seconds) * SAMPLE_RATE)
        drawer = PictureDrawer(*size)
        for number in range(round(seconds * rate)):
            if sound:
                _mux_sound(movie, sound, beeper, min(sound_end, round(number / rate * SAMPLE_RATE)))
            flash = is_flash_number(number, rate)
            drawn = drawer.flash() if flash else drawer.draw(number, float(number / rate))
            frame = VideoFrame.from_ndarray(drawn, "yuv420p")
            frame.pts, frame.time_base = number, 1 / rate
            movie.mux(video.encode(frame))
        if sound:
            _mux_sound(movie, sound, beeper, sound_end, last=True)
            movie.mux(sound.encode(None))
        movie.mux(video.encode(None))


def _add_video(
    movie: OutputContainer,
    size: tuple[int, int],
    rate: Fraction,
    b_frames: int,
    gop_seconds: float,
    bit_rate: int | None,
) -> VideoStream:
    video = movie.add_stream("libx264", rate)
    video.width, video.height = size
    video.pix_fmt = "yuv420p"
    context = video.codec_context
    context.time_base = 1 / rate
    context.gop_size = round(gop_seconds * rate)
    context.max_b_frames = b_frames
    bits = bit_rate or bit_rate_for(*size, rate)
    context.bit_rate = bits
    # A flash is no change of scene: keyframes come where they are expected.
    context.options = {
        "preset": "veryfast",
        "refs": "3",
        "sc_threshold": "0",
        **constant_rate(bits),
    }
    return video


def _add_sound(movie: OutputContainer, audio: Sound) -> AudioStream:
    layout = "5.1" if audio == "5.1" else "stereo"
    sound = movie.add_stream("libopus" if audio == "opus" else "aac", SAMPLE_RATE)
    sound.codec_context.layout = layout
    return sound


def _mux_sound(
    movie: OutputContainer, sound: AudioStream, beeper: Beeper, until: int, last: bool = False
) -> None:
    """Write the frames of sound that end by that sample; the last one may be short."""
    size = _OPUS_FRAME if sound.codec_context.name == "libopus" else _AAC_FRAME
    while beeper.next_sample + size <= until or (last and beeper.next_sample < until):
        movie.mux(sound.encode(beeper.next_frame(min(size, until - beeper.next_sample))))
