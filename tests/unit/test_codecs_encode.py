"""Encoders: when their frames come out, how large they are, and when they are to be shown."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsocket.client.decode import Decoder
from streamsocket.codecs.audio import AudioEncoder
from streamsocket.codecs.coded import Coded
from streamsocket.codecs.encode import encodable_size, make_audio_encoder, make_video_encoder
from streamsocket.media import jpeg
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Mjpeg, Opus
from streamsocket.rtp.payload import packetizer
from streamsocket.sources import yardstick
from streamsocket.sources.beeper import Beeper, flash_number
from streamsocket.sources.picture import PictureDrawer

_RATE = Fraction(25)
_SIZE = (320, 176)
_VIDEO = ["h264", "h265", "vp8", "vp9", "av1", "mjpeg"]
_AUDIO = ["aac", "opus", "pcmu", "pcma", "l16"]


def _picture(drawer: PictureDrawer, number: int) -> VideoFrame:
    return VideoFrame.from_ndarray(drawer.draw(number, number / 25), "yuv420p")


def _unit(coded: Coded, clock_rate: int) -> AccessUnit:
    return AccessUnit(coded.units, round(coded.pts * clock_rate), coded.keyframe)


def _sound(encoder: AudioEncoder, coded: list[Coded]) -> NDArray[np.float64]:
    """The first channel."""
    decoder = Decoder(encoder.codec)
    frames = [f for each in coded for f in decoder.decode(_unit(each, encoder.sample_rate))]
    channels = []
    for frame in frames:
        assert isinstance(frame, AudioFrame)
        array = frame.to_ndarray()
        first = array[0] if frame.format.is_planar else array[0][:: len(frame.layout.channels)]
        channels.append(first / 32768 if first.dtype == np.int16 else first)
    return np.concatenate(channels)


@pytest.mark.parametrize("codec", _VIDEO)
def test_every_picture_comes_out_at_once(codec: str) -> None:
    encoder = make_video_encoder(codec, *_SIZE, _RATE, in_a_hurry=True)
    assert (encoder.codec.name, encoder.codec.size) == (codec, _SIZE)
    drawer, decoder = PictureDrawer(*_SIZE), Decoder(encoder.codec)
    for number in range(60):
        [coded] = encoder.encode(_picture(drawer, number), number / _RATE)
        assert coded.pts == coded.dts == number / _RATE
        assert coded.duration == 1 / _RATE
        [frame] = decoder.decode(_unit(coded, 90_000))
        assert isinstance(frame, VideoFrame)
        assert (frame.width, frame.height) == _SIZE
        reading = yardstick.read(np.asarray(frame.to_ndarray()[: frame.height], np.uint8))
        assert reading
        assert reading.frame_number == number
    assert encoder.flush() == []


@pytest.mark.parametrize(
    ("codec", "expected"),
    [
        *(("h264", [0, 7, 57]), ("h265", [0, 7, 57]), ("vp8", [0, 7, 50])),
        *(("vp9", [0, 7, 50]), ("av1", [0, 7, 57])),
    ],
)
def test_keyframes_come_every_two_seconds_and_when_they_are_asked_for(
    codec: str, expected: list[int]
) -> None:
    encoder = make_video_encoder(codec, *_SIZE, _RATE)
    drawer = PictureDrawer(*_SIZE)
    coded: list[Coded] = []
    for number in range(60):
        frame = _picture(drawer, number)
        if number in (13, 38):
            frame = VideoFrame.from_ndarray(drawer.flash(), "yuv420p")
        coded += encoder.encode(frame, number / _RATE, keyframe=number == 7)
    assert [number for number, each in enumerate(coded) if each.keyframe] == expected


@pytest.mark.parametrize(
    ("codec", "bit_rate"),
    [
        *[
            (codec, bit_rate)
            for codec in ("h264", "h265", "vp8", "vp9", "av1")
            for bit_rate in (300_000, 600_000)
        ],
        ("mjpeg", 800_000),
        ("mjpeg", 1_600_000),
    ],
)
def test_pictures_keep_to_their_bit_rate(codec: str, bit_rate: int) -> None:
    encoder = make_video_encoder(codec, *_SIZE, _RATE, bit_rate=bit_rate)
    drawer = PictureDrawer(*_SIZE)
    sizes = []
    for number in range(100):
        [coded] = encoder.encode(_picture(drawer, number), number / _RATE)
        sizes.append(sum(map(len, coded.units)))
    assert 8 * sum(sizes[25:]) / 3 == pytest.approx(bit_rate, rel=0.25)


@pytest.mark.parametrize(
    ("codec", "size", "expected"),
    [
        ("h264", (641, 361), (640, 360)),
        ("h265", (1, 1), (2, 2)),
        ("mjpeg", (320, 180), (320, 176)),
        ("mjpeg", (1920, 1080), (1920, 1080)),
        ("mjpeg", (3840, 2160), (2040, 1144)),
        ("mjpeg", (1080, 2160), (1016, 2040)),
        ("vp8", (32_768, 16_384), (16_384, 8192)),
    ],
)
def test_a_size_becomes_one_that_can_be_encoded(
    codec: str, size: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert encodable_size(codec, *size) == expected


def test_parameter_sets_are_told_apart() -> None:
    for codec in ("h264", "h265"):
        encoder = make_video_encoder(codec, *_SIZE, _RATE)
        assert isinstance(encoder.codec, H264 | H265)
        [coded] = encoder.encode(_picture(PictureDrawer(*_SIZE), 0), Fraction(0))
        sets = {encoder.codec.sps, encoder.codec.pps}
        assert not sets & set(coded.units)


def test_jpegs_are_such_as_rtp_can_carry() -> None:
    encoder = make_video_encoder("mjpeg", *_SIZE, _RATE, bit_rate=500_000)
    drawer = PictureDrawer(*_SIZE)
    for number in range(20):
        [coded] = encoder.encode(_picture(drawer, number), number / _RATE)
        assert coded.keyframe
        headers, _ = jpeg.parse_jpeg(coded.units[0])
        assert headers.usual_huffman_tables
        assert headers.subsampling == "4:2:0"
        assert packetizer(Mjpeg(_SIZE)).packetize(_unit(coded, 90_000))


@pytest.mark.parametrize("codec", _AUDIO)
def test_sounds_times_are_those_of_what_is_heard(codec: str) -> None:
    encoder = make_audio_encoder(codec, 2)
    assert encoder.codec.name == codec
    rate = encoder.sample_rate
    beeper = Beeper(_RATE, encoder.layout, rate)
    coded: list[Coded] = []
    while beeper.next_sample < rate:
        coded += encoder.encode(beeper.next_frame(encoder.frame_size))
    coded += encoder.flush()
    samples = _sound(encoder, coded)
    [onset] = yardstick.beep_onsets(samples, rate)
    flash = flash_number(0, _RATE) / _RATE
    assert abs(coded[0].pts + Fraction(onset, rate) - flash) < Fraction(1, 1000)
    for before, after in pairwise(coded):
        assert after.pts == before.pts + before.duration


@pytest.mark.parametrize(
    ("codec", "channels", "made"),
    [
        ("opus", 1, Opus(1)),
        ("opus", 2, Opus(2)),
        ("opus", 6, Opus(2)),
        ("pcmu", 2, G711("pcmu")),
        ("pcma", 6, G711("pcma")),
        ("l16", 1, L16(48_000, 1)),
        ("l16", 6, L16(48_000, 2)),
    ],
)
def test_channels_are_as_many_as_the_codec_has(codec: str, channels: int, made: object) -> None:
    assert make_audio_encoder(codec, channels).codec == made


@pytest.mark.parametrize(("channels", "expected"), [(1, 1), (2, 2), (3, 2), (6, 6)])
def test_aac_has_surround_too(channels: int, expected: int) -> None:
    codec = make_audio_encoder("aac", channels).codec
    assert not isinstance(codec, G711 | L16)
    assert codec.channels == expected


@pytest.mark.parametrize(
    ("codec", "bit_rate"), [("aac", 64_000), ("aac", 160_000), ("opus", 32_000)]
)
def test_sound_keeps_to_its_bit_rate(codec: str, bit_rate: int) -> None:
    encoder = make_audio_encoder(codec, 2, bit_rate=bit_rate)
    noise = np.random.default_rng(1).normal(0, 0.2, (2, 3 * 48_000)).astype(np.float32)
    coded: list[Coded] = []
    for start in range(0, noise.shape[1] - encoder.frame_size, encoder.frame_size):
        samples = np.ascontiguousarray(noise[:, start : start + encoder.frame_size])
        frame = AudioFrame.from_ndarray(samples, "fltp", "stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, start, Fraction(1, 48_000)
        coded += encoder.encode(frame)
    seconds = sum(each.duration for each in coded)
    bits = 8 * sum(len(each.units[0]) for each in coded)
    assert bits / float(seconds) == pytest.approx(bit_rate, rel=0.25)


def test_uncompressed_frames_fit_into_packets_and_the_last_may_be_short() -> None:
    for codec, channels, size in (("l16", 2, 960), ("l16", 1, 960), ("pcmu", 1, 160)):
        encoder = make_audio_encoder(codec, channels)
        beeper = Beeper(_RATE, encoder.layout, encoder.sample_rate)
        [first] = encoder.encode(beeper.next_frame(encoder.frame_size))
        [last] = encoder.encode(beeper.next_frame(encoder.frame_size // 4))
        assert len(first.units[0]) == size
        assert len(last.units[0]) == size // 4
        assert last.duration == first.duration / 4
        assert encoder.flush() == []


def test_an_encoder_that_was_not_told_the_end_can_be_let_go() -> None:
    script = (
        "from fractions import Fraction; from av import VideoFrame\n"
        "from streamsocket.codecs.encode import make_video_encoder\n"
        "for codec in ('vp9', 'av1'):\n"
        "    encoder = make_video_encoder(codec, 320, 176, Fraction(25))\n"
        "    encoder.encode(VideoFrame(320, 176, 'yuv420p'), Fraction(0))\n"
        "    del encoder\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=30)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
