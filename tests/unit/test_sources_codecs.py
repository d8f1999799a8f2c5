"""Sources in every codec, as files have them and as they are asked for, cut, joined and decoded."""

from __future__ import annotations

import itertools
import subprocess
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from av.video.frame import VideoFrame
from tests.unit.source_helpers import Seen, decode, run_test_pattern

from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Vp8, Vp9
from streamsocket.sources import yardstick
from streamsocket.sources.encoding import AS_IT_IS, AUDIO_CODECS, VIDEO_CODECS, Encoding
from streamsocket.sources.movie import make_movie
from streamsocket.sources.plan import make_plan
from streamsocket.sources.reader import MovieReader
from streamsocket.sources.schedule import Unit
from streamsocket.sources.spec import TestSpec

_SIZE = (320, 176)
_RATE = Fraction(25)
_SOUND_RATE = {"pcmu": 8000, "pcma": 8000}

# Of what ffmpeg makes a picture.
_H265 = ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=1:bframes=2")
_VP8 = ("-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "500k")
_MJPEG = ("-c:v", "mjpeg", "-huffman", "default", "-pix_fmt", "yuvj420p", "-q:v", "4")
_G711 = ("-ar", "8000", "-ac", "1")


@dataclass
class Read:
    """One pass through a movie, or several."""

    units: list[list[Unit]]
    """By track."""
    codecs: list[Codec]
    notes: list[str]
    passed: list[bool]
    """Whether each track is passed on as it is."""

    def seen(self, track: int) -> Seen:
        return decode(self.codecs[track], [unit.batch for unit in self.units[track]])


def _read(path: Path, encoding: Encoding = AS_IT_IS, passes: int = 1) -> Read:
    plan = make_plan(str(path), encoding)
    notes = [track.note for track in plan.tracks if track.note]
    reader = MovieReader(str(path), plan, passes > 1, notes.append)
    units: list[list[Unit]] = [[] for _ in plan.tracks]
    for unit in itertools.takewhile(lambda unit: unit.loops < passes, reader.units()):
        units[unit.track].append(unit)
    return Read(units, reader.codecs, notes, [track.codec is not None for track in plan.tracks])


def _ffmpeg(source: Path, target: Path, *options: str) -> Path:
    command = ["ffmpeg", "-v", "error", "-i", str(source), *options, str(target)]
    subprocess.run(command, check=True, timeout=60)
    return target


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 25 pictures a second, B-frames, AAC."""
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    make_movie(path, seconds=2, size=_SIZE, rate=_RATE, gop_seconds=1)
    return path


@pytest.mark.parametrize("audio", AUDIO_CODECS)
@pytest.mark.parametrize("video", VIDEO_CODECS)
def test_the_test_pattern_beeps_when_it_flashes(
    video: str, audio: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoding = Encoding(video_codec=video, audio_codec=audio, video_bitrate_bps=800_000)
    outlet = run_test_pattern(TestSpec(*_SIZE, _RATE, encoding), monkeypatch, 2.3)
    assert [track.codec.name for track in outlet.tracks] == [video, audio]
    assert outlet.tracks[0].frame_rate == _RATE
    pictures, sound = outlet.seen(0), outlet.seen(1)
    assert not outlet.notes
    assert len(pictures.frames) == len(pictures.batches) in range(56, 59)
    assert {luma.shape for _, luma in pictures.pictures} == {_SIZE[::-1]}
    assert isinstance(pictures.codec, H264 | H265 | Vp8 | Vp9 | Av1 | Mjpeg)
    assert pictures.codec.size == _SIZE
    assert sound.codec.clock_rate == _SOUND_RATE.get(audio, 48_000)
    assert len(pictures.flashes) == 2
    assert sound.beeps == pytest.approx(pictures.flashes, abs=0.001)
    readings = [yardstick.read(luma) for _, luma in pictures.pictures]
    numbers = [reading.frame_number for reading in readings if reading]
    assert len(numbers) == len(readings) - 2
    assert pictures.bit_rate == pytest.approx(800_000, rel=0.25)


@pytest.mark.parametrize("codec", VIDEO_CODECS)
def test_the_test_pattern_makes_keyframes_on_request(
    codec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = TestSpec(*_SIZE, _RATE, Encoding(video_codec=codec))
    outlet = run_test_pattern(spec, monkeypatch, 2.0, keyframes_at=[1.19])
    pictures = [batch for track, batch in outlet.made if track == 0]
    keyframes = [number for number, batch in enumerate(pictures) if batch.keyframe]
    assert 0 in keyframes
    assert 30 in keyframes
    assert len(keyframes) == (len(pictures) if codec == "mjpeg" else 3)
    assert len(outlet.seen(0).frames) == len(pictures)


def test_the_encoding_says_how_large_and_fast_the_test_pattern_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoding = Encoding((160, 90), Fraction(10), audio_bitrate_bps=32_000, audio_codec="opus")
    outlet = run_test_pattern(TestSpec(encoding=encoding), monkeypatch, 1.55)
    pictures, sound = outlet.seen(0), outlet.seen(1)
    assert outlet.tracks[0].frame_rate == 10
    assert {luma.shape for _, luma in pictures.pictures} == {(90, 160)}
    assert set(np.diff([batch.timestamp for batch in pictures.batches])) == {9000}
    assert len(pictures.frames) == 16
    assert sound.bit_rate == pytest.approx(32_000, rel=0.05)


def test_a_test_pattern_in_jpeg_is_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = TestSpec(322, 182, _RATE, Encoding(video_codec="mjpeg"))
    outlet = run_test_pattern(spec, monkeypatch, 0.2)
    assert outlet.tracks[0].codec == Mjpeg((320, 176))


@pytest.mark.parametrize(
    ("suffix", "options", "video", "audio"),
    [
        (".mp4", (*_H265, "-tag:v", "hvc1", "-c:a", "copy"), H265, Aac),
        (".mkv", (*_H265, "-c:a", "copy"), H265, Aac),
        (".ts", (*_H265, "-c:a", "copy"), H265, Aac),
        (".mov", (*_H265, "-tag:v", "hvc1", "-c:a", "pcm_alaw", *_G711), H265, G711),
        (".mkv", (*_VP8, "-c:a", "pcm_mulaw", *_G711), Vp8, G711),
        (".mkv", (*_VP8, "-c:a", "copy"), Vp8, Aac),
        (".mov", (*_MJPEG, "-c:a", "pcm_s16be"), Mjpeg, L16),
        (".avi", (*_MJPEG, "-c:a", "pcm_s16le"), Mjpeg, L16),
        (".mkv", ("-c:v", "copy", "-c:a", "pcm_s16le", "-ar", "44100"), H264, L16),
    ],
)
def test_what_rtp_can_carry_is_passed_on(
    movie: Path,
    tmp_path: Path,
    suffix: str,
    options: tuple[str, ...],
    video: type[Codec],
    audio: type[Codec],
) -> None:
    read = _read(_ffmpeg(movie, tmp_path / f"movie{suffix}", *options))
    assert [type(codec) for codec in read.codecs] == [video, audio]
    assert read.passed == [True, True]
    assert not read.notes
    pictures, sound = read.seen(0), read.seen(1)
    assert len(pictures.frames) == 50
    assert len(pictures.flashes) == 2
    assert isinstance(pictures.codec, H264 | H265 | Vp8 | Vp9 | Av1 | Mjpeg)
    assert pictures.codec.size == _SIZE
    assert sound.beeps == pytest.approx(pictures.flashes, abs=0.0015)
    units = read.units[0]
    assert all(unit.batch.capture_time >= unit.due_s - 1e-9 for unit in units)
    assert np.diff([unit.due_s for unit in units]) == pytest.approx(np.full(49, 0.04), abs=0.0015)


def test_frames_that_vp8_does_not_show_have_a_time_of_their_own(
    movie: Path, tmp_path: Path
) -> None:
    options = ["-an", "-c:v", "libvpx", "-b:v", "300k", "-deadline", "good", "-cpu-used", "4"]
    options += ["-lag-in-frames", "16", "-auto-alt-ref", "1"]
    options += ["-passlogfile", str(tmp_path / "log"), "-pass"]
    _ffmpeg(movie, tmp_path / "first.mkv", *options, "1")
    read = _read(_ffmpeg(movie, tmp_path / "movie.mkv", *options, "2"))
    stamps = [unit.batch.timestamp for unit in read.units[0]]
    assert len(stamps) > 50
    assert len(set(stamps)) == len(stamps)
    assert len(read.seen(0).frames) == 50


@pytest.mark.parametrize(
    ("suffix", "codec", "law"), [(".wav", "pcm_alaw", "pcma"), (".wav", "pcm_mulaw", "pcmu")]
)
def test_g711_goes_in_frames_of_20_ms(
    movie: Path, tmp_path: Path, suffix: str, codec: str, law: str
) -> None:
    read = _read(_ffmpeg(movie, tmp_path / f"sound{suffix}", "-vn", "-c:a", codec, *_G711))
    assert [codec.name for codec in read.codecs] == [law]
    stamps = [unit.batch.timestamp for unit in read.units[0]]
    assert set(np.diff(stamps)) == {160}


def test_l16_is_the_files_own_samples(movie: Path, tmp_path: Path) -> None:
    sound = _ffmpeg(movie, tmp_path / "sound.wav", "-vn", "-c:a", "pcm_s16le")
    raw = _ffmpeg(sound, tmp_path / "raw.sw", "-f", "s16be", "-c:a", "pcm_s16be").read_bytes()
    read = _read(sound)
    assert read.codecs == [L16(48_000, 2)]
    assert b"".join(bytes(unit.batch.buffer)[12:] for unit in read.units[0]) == raw
    assert {len(unit.batch.buffer) for unit in read.units[0][:-1]} == {12 + 960}


def test_uncompressed_sound_loops_without_a_seam(movie: Path, tmp_path: Path) -> None:
    options = ("-c:v", "copy", "-c:a", "pcm_s16le", "-t", "2")
    read = _read(_ffmpeg(movie, tmp_path / "movie.mov", *options), passes=3)
    stamps = [unit.batch.timestamp for unit in read.units[1]]
    assert max(np.diff(stamps)) <= 241
    assert set(np.diff([unit.batch.timestamp for unit in read.units[0]]).tolist())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("-c:v", "mjpeg", "-pix_fmt", "yuvj444p"), "JPEG of a kind that RTP has no place for"),
        (("-c:v", "mjpeg", "-huffman", "optimal"), "with Huffman tables of its own"),
        ((*_MJPEG, "-s", "316x172"), "of 316x172 pixels"),
    ],
)
def test_jpeg_that_rtp_cannot_carry_is_transcoded(
    movie: Path, tmp_path: Path, options: tuple[str, ...], reason: str
) -> None:
    read = _read(_ffmpeg(movie, tmp_path / "movie.mov", *options, "-an"))
    [note] = read.notes
    assert reason in note
    assert note.endswith(": it is transcoded to H.264.")
    assert isinstance(read.codecs[0], H264)
    assert len(read.seen(0).frames) == 50


@pytest.mark.parametrize("audio", AUDIO_CODECS)
@pytest.mark.parametrize("video", VIDEO_CODECS)
def test_a_file_is_transcoded_as_asked_for(movie: Path, video: str, audio: str) -> None:
    encoding = Encoding(None, None, 700_000, None, video, audio)
    read = _read(movie, encoding)
    assert [codec.name for codec in read.codecs] == [video, audio]
    assert read.passed == [False, audio == "aac"]
    assert len(read.notes) == 1 + (audio != "aac")
    assert all(note.endswith("as asked for.") for note in read.notes)
    pictures, sound = read.seen(0), read.seen(1)
    assert len(pictures.frames) == 50
    assert len(pictures.flashes) == 2
    assert sound.beeps == pytest.approx(pictures.flashes, abs=0.001)
    # VP9 leaves bits that pictures as simple as these don't need.
    assert pictures.bit_rate == pytest.approx(700_000, rel=0.35 if video == "vp9" else 0.25)


@pytest.mark.parametrize(
    "encoding",
    [
        AS_IT_IS,
        Encoding(video_codec="h264", audio_codec="aac"),
        Encoding(size=_SIZE, fps=_RATE),
    ],
)
def test_what_already_is_as_asked_for_is_passed_on(movie: Path, encoding: Encoding) -> None:
    read = _read(movie, encoding)
    assert read.passed == [True, True]
    assert not read.notes


@pytest.mark.parametrize(
    ("encoding", "passed", "note"),
    [
        (Encoding(video_codec="vp8"), [False, True], "transcoded to VP8, as asked for"),
        (Encoding(audio_codec="opus"), [True, False], "transcoded to Opus, as asked for"),
        (Encoding(audio_bitrate_bps=96_000), [True, False], "AAC, 96 kbit/s, as asked for"),
        (Encoding(size=(160, 90)), [False, True], "H.264, 160x90, as asked for"),
        (Encoding(fps=Fraction(30_000, 1001)), [False, True], "29.97 pictures a second"),
        (Encoding(video_bitrate_bps=500_000), [False, True], "H.264, 500 kbit/s, as asked for"),
    ],
)
def test_only_that_track_is_transcoded_of_which_something_is_asked(
    movie: Path, encoding: Encoding, passed: list[bool], note: str
) -> None:
    read = _read(movie, encoding)
    assert read.passed == passed
    assert len(read.notes) == 1
    assert note in read.notes[0]


def test_a_size_is_exact_and_another_shape_gets_bars(movie: Path) -> None:
    pictures = _read(movie, Encoding(size=(160, 160))).seen(0)
    [frame] = pictures.frames[13:14]
    assert isinstance(frame, VideoFrame)
    luma = pictures.pictures[13][1]  # a flash
    assert luma.shape == (160, 160)
    assert luma[:30].max() < 40
    assert luma[-30:].max() < 40
    assert luma[40:-40].min() > 180


@pytest.mark.parametrize(
    ("fps", "pictures", "step"),
    [(Fraction(50), 100, 1800), (Fraction(25, 2), 25, 7200), (Fraction(30_000, 1001), 60, 3003)],
)
def test_a_rate_is_exact(movie: Path, fps: Fraction, pictures: int, step: int) -> None:
    read = _read(movie, Encoding(fps=fps))
    stamps = [unit.batch.timestamp for unit in read.units[0]]
    assert len(stamps) == pictures
    assert set(np.diff(stamps)) == {step}
    shown = [yardstick.read(luma) for _, luma in read.seen(0).pictures]
    for number, reading in enumerate(shown):
        if reading:
            assert abs(reading.frame_number / _RATE - number / fps) <= 1 / fps


def test_pictures_that_rtp_refuses_are_left_out_and_it_is_said(movie: Path, tmp_path: Path) -> None:
    path = _ffmpeg(movie, tmp_path / "movie.avi", *_MJPEG, "-an")
    data = path.read_bytes()
    *_, last = (at for at in range(len(data)) if data.startswith(b"\xff\xc0\x00\x11", at))
    spoilt = bytearray(data)
    spoilt[last + 1] = 0xC2  # progressive
    path.write_bytes(spoilt)
    read = _read(path, passes=2)
    assert read.passed == [True]
    assert len(read.units[0]) == 98
    assert len(read.notes) == 1
    assert "is left out" in read.notes[0]
    assert "progressive" in read.notes[0]


@pytest.mark.parametrize(
    ("codec", "matrix", "expected"),
    [
        ("h264", 1, (63, 102, 240)),
        ("h265", 1, (63, 102, 240)),
        ("vp8", 5, (81, 90, 240)),
        ("mjpeg", 5, (76, 85, 255)),
    ],
)
def test_red_stays_red(
    tmp_path: Path, codec: str, matrix: int, expected: tuple[int, int, int]
) -> None:
    """Red in BT.709, which VP8 and JPEG don't know: they have it in BT.601, JPEG in full range."""
    path = tmp_path / "red.mp4"
    source = "color=red:s=320x176:r=25:d=0.2,scale=out_color_matrix=bt709,format=yuv420p"
    options = ("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709")
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, *options, str(path)]
    subprocess.run(command, check=True, timeout=60)
    [frame, *_] = (
        _read(path, Encoding(video_codec=codec, video_bitrate_bps=1_000_000)).seen(0).frames
    )
    assert isinstance(frame, VideoFrame)
    assert frame.colorspace == matrix
    planes = frame.to_ndarray().reshape(-1)
    size = _SIZE[0] * _SIZE[1]
    found = [planes[at] for at in (size // 2, size * 9 // 8, size * 11 // 8)]
    assert found == pytest.approx(expected, abs=3)


def test_pixels_that_are_not_square_become_so(tmp_path: Path) -> None:
    path = tmp_path / "movie.mpg"
    source = "testsrc2=s=176x144:r=25:d=0.2,setsar=12/11"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", source, "-c:v", "mpeg2video"]
    subprocess.run([*command, str(path)], check=True, timeout=60)
    codec = _read(path).seen(0).codec
    assert isinstance(codec, H264)
    assert codec.size == (192, 144)
