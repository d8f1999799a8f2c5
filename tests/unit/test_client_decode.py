"""Decoding what arrives, and finding the test pattern's flash and beep in it."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from streamsocket.client.decode import Decoder
from streamsocket.client.inspector import Inspector, luma, mono
from streamsocket.client.receiver import Received
from streamsocket.codecs.vp9 import Vp9Encoder
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, L16, Aac, Codec, Opus, Vp9
from streamsocket.media.h264 import is_idr, parse_avcc, split_length_prefixed
from streamsocket.media.vp9 import superframe_index
from streamsocket.sources.movie import make_movie
from streamsocket.sources.yardstick import read

SECONDS = 4
RATE = 25


@pytest.fixture(scope="module")
def movies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Two movies with the same pictures: with B-frames and AAC, without and with Opus."""
    folder = tmp_path_factory.mktemp("movies")
    plain: dict[str, Any] = {"seconds": SECONDS, "size": (320, 240), "rate": Fraction(RATE)}
    made = {"b_frames": folder / "b.mp4", "plain": folder / "plain.mkv"}
    make_movie(made["b_frames"], b_frames=2, audio="aac", **plain)
    make_movie(made["plain"], b_frames=0, audio="opus", **plain)
    return made


def demux(path: Path, kind: str) -> tuple[Codec, list[AccessUnit]]:
    """The access units of a movie's picture or sound, as RTP would bring them."""
    with av.open(str(path)) as movie:
        stream = next(stream for stream in movie.streams if stream.type == kind)
        config = bytes(stream.codec_context.extradata or b"")
        codec: Codec
        length_size = 0
        if stream.codec_context.name == "h264":
            avcc = parse_avcc(config)
            codec, length_size = H264(avcc.sps, avcc.pps), avcc.length_size
        else:
            codec = Aac(config) if stream.codec_context.name == "aac" else Opus()
        units = []
        for packet in movie.demux(stream):
            if packet.pts is None or not packet.size:
                continue
            assert packet.time_base
            data = bytes(packet)
            nals = split_length_prefixed(data, length_size) if length_size else [data]
            timestamp = round(packet.pts * packet.time_base * codec.clock_rate)
            keyframe = is_idr(nals) if length_size else True
            units.append(AccessUnit(nals, timestamp, keyframe))
        return codec, units


def test_without_b_frames_no_picture_is_held_back(movies: dict[str, Path]) -> None:
    codec, units = demux(movies["plain"], "video")
    decoder = Decoder(codec)
    for unit in units:
        [frame] = decoder.decode(unit)
        assert frame.pts == unit.timestamp
    assert decoder.flush() == []
    assert (decoder.errors, decoder.skipped) == (0, 0)


def test_b_frames_come_in_the_order_in_which_they_are_shown(movies: dict[str, Path]) -> None:
    codec, units = demux(movies["b_frames"], "video")
    assert [unit.timestamp for unit in units] != sorted(unit.timestamp for unit in units)
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)]
    assert len(units) - len(frames) <= 2
    frames += decoder.flush()
    assert [frame.pts for frame in frames] == sorted(unit.timestamp for unit in units)


def test_pictures_before_the_first_keyframe_are_skipped(movies: dict[str, Path]) -> None:
    codec, units = demux(movies["plain"], "video")
    decoder = Decoder(codec)
    second_keyframe = next(n for n, unit in enumerate(units) if n and unit.keyframe)
    frames = [frame for unit in units[1:] for frame in decoder.decode(unit)]
    assert decoder.skipped == second_keyframe - 1
    assert len(frames) == len(units) - second_keyframe
    decoder.wait_for_keyframe()
    assert decoder.decode(units[1]) == []


def test_what_cannot_be_decoded_is_counted() -> None:
    decoder = Decoder(Opus())
    assert decoder.decode(AccessUnit([b"\xff" * 3], 0)) == []
    assert decoder.errors == 1


def test_parameter_sets_may_come_in_band_only(movies: dict[str, Path]) -> None:
    codec, units = demux(movies["plain"], "video")
    assert isinstance(codec, H264)
    units[0].units[:0] = [codec.sps, codec.pps]
    assert len(Decoder(H264(b"", b"")).decode(units[0])) == 1


@pytest.mark.parametrize("movie", ["b_frames", "plain"])
def test_sound_keeps_its_time(movies: dict[str, Path], movie: str) -> None:
    codec, units = demux(movies[movie], "audio")
    decoder = Decoder(codec)
    frames = [frame for unit in units for frame in decoder.decode(unit)]
    assert decoder.errors == 0
    assert len(frames) >= len(units) - 1
    rounding = codec.clock_rate // 1000 + 1  # Matroska's
    for earlier, later in pairwise(frames):
        assert isinstance(earlier, av.AudioFrame)
        assert earlier.pts is not None
        assert later.pts == pytest.approx(earlier.pts + earlier.samples, abs=rounding)


def test_the_brightness_of_a_picture_is_read_from_it(movies: dict[str, Path]) -> None:
    codec, units = demux(movies["plain"], "video")
    decoder = Decoder(codec)
    for number, unit in enumerate(units[:10]):
        [frame] = decoder.decode(unit)
        assert isinstance(frame, av.VideoFrame)
        picture = luma(frame)
        assert picture.shape == (240, 320)
        reading = read(picture)
        assert number == 0 or (reading and reading.frame_number == number)


def test_other_picture_formats_are_converted() -> None:
    rgb = av.VideoFrame.from_ndarray(np.full((16, 48, 3), 255, np.uint8), "rgb24")
    assert luma(rgb).shape == (16, 48)
    assert luma(rgb).min() > 230


def test_sound_is_mixed_to_one_channel() -> None:
    samples = np.array([[16384, -16384, 8192, 8192]], np.int16)
    frame = av.AudioFrame.from_ndarray(samples, "s16", "stereo")
    assert mono(frame).tolist() == pytest.approx([0.0, 0.25], abs=1e-3)


@pytest.mark.parametrize("movie", ["b_frames", "plain"])
def test_flash_and_beep_are_found_at_the_same_time(
    movies: dict[str, Path], movie: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsocket.client.inspector.MAX_WAITING", 1000)
    marks: dict[str, list[float]] = {}
    for kind in ("video", "audio"):
        codec, units = demux(movies[movie], kind)
        inspector = Inspector(codec)
        for unit in units:
            inspector.put(Received(0, unit, 0.0), settled=True)
        inspector.finish()
        assert inspector.not_decoded == 0
        assert inspector.first_frame is not None
        assert inspector.decoded >= len(units) - 1
        found = inspector.flashes if kind == "video" else inspector.beeps
        marks[kind] = [mark / codec.clock_rate for mark in found]
    assert len(marks["video"]) >= SECONDS - 1
    for flash in marks["video"]:
        nearest = min(marks["audio"], key=lambda beep: abs(beep - flash))
        if flash > 0.1:  # what sounds at once may have begun before
            assert nearest == pytest.approx(flash, abs=0.002)


def test_a_decoder_that_is_too_slow_leaves_out_whole_groups_of_pictures(
    movies: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamsocket.client.inspector.MAX_WAITING", 1)
    codec, units = demux(movies["plain"], "video")
    inspector = Inspector(codec)
    for unit in units:
        inspector.put(Received(0, unit, 0.0), settled=False)
    inspector.finish()
    assert inspector.not_decoded > 0
    assert inspector.decoded + inspector.not_decoded == len(units)
    assert inspector.damaged == 0


@pytest.mark.parametrize(
    ("codec", "data", "heard"),
    [
        (L16(8000, 2), b"\x40\x00\xc0\x00\x7f\xff\x00\x00", [[0.5, -0.5], [1, 0]]),
        (G711("pcmu"), b"\x80\x00\xff", [[0.98], [-0.98], [0]]),
        (G711("pcma", 16_000, 2), b"\xaa\x2a\xd5\xd5", [[0.98, -0.98], [0, 0]]),
    ],
)
def test_uncompressed_sound_is_read_sample_by_sample(
    codec: Codec, data: bytes, heard: list[list[float]]
) -> None:
    [frame] = Decoder(codec).decode(AccessUnit([data], 700))
    assert isinstance(frame, av.AudioFrame)
    assert (frame.pts, frame.sample_rate) == (700, codec.clock_rate)
    samples = frame.to_ndarray().reshape(-1, len(heard[0])) / 32_768
    assert samples == pytest.approx(np.array(heard), abs=0.01)


def test_of_a_pictures_layers_the_largest_is_shown() -> None:
    frames = []
    for size in ((160, 96), (320, 192)):
        encoder = Vp9Encoder(*size, Fraction(RATE))
        picture = av.VideoFrame(*size, "yuv420p")
        [coded] = encoder.encode(picture, Fraction(0))
        frames += coded.units
    superframe = b"".join(frames) + superframe_index([len(frame) for frame in frames])
    decoder = Decoder(Vp9())
    [shown] = decoder.decode(AccessUnit([superframe], 0))
    assert isinstance(shown, av.VideoFrame)
    assert (shown.width, shown.height) == (320, 192)
    assert decoder.errors == 0
