"""Movies, made, looked into and read in passes, without a process and without a clock."""

from __future__ import annotations

import itertools
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.container import InputContainer
from numpy.typing import NDArray

from streamsocket.errors import SourceError
from streamsocket.media.codec import H264, Aac, Opus
from streamsocket.sources import yardstick
from streamsocket.sources.movie import make_movie
from streamsocket.sources.passable import adts_config
from streamsocket.sources.plan import Plan, make_plan
from streamsocket.sources.reader import MovieReader
from streamsocket.sources.schedule import Unit
from streamsocket.sources.timeline import START_S

_SIZE = (320, 180)


@pytest.fixture(scope="session")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seconds, 25 pictures a second, B-frames, AAC."""
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    make_movie(path, seconds=2, size=_SIZE, rate=Fraction(25), gop_seconds=1)
    return path


def _copy(source: Path, target: Path, **options: str) -> Path:
    """The same packets in another container."""
    with av.open(str(source)) as given, av.open(str(target), "w", options=options) as made:
        streams = {s.index: made.add_stream_from_template(s) for s in given.streams}
        for packet in given.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream_index]
                made.mux(packet)
    return target


def _read(path: Path, passes: int = 1) -> tuple[Plan, MovieReader, list[list[Unit]], list[str]]:
    """So many passes of a movie, its units by track."""
    plan = make_plan(str(path))
    notes: list[str] = []
    reader = MovieReader(str(path), plan, passes > 1, notes.append)
    units = itertools.takewhile(lambda unit: unit.loops < passes, reader.units())
    tracks: list[list[Unit]] = [[] for _ in plan.tracks]
    for unit in units:
        tracks[unit.track].append(unit)
    return plan, reader, tracks, notes


def _steps(units: list[Unit]) -> set[int]:
    stamps = sorted(unit.batch.timestamp for unit in units)
    return {after - before for before, after in itertools.pairwise(stamps)}


def _frames(movie: InputContainer) -> list[tuple[float, NDArray[np.uint8]]]:
    """The time and the brightness of every picture."""
    return [
        (float(frame.time), np.asarray(frame.to_ndarray()[: frame.height], np.uint8))
        for frame in movie.decode(video=0)
    ]


@pytest.mark.parametrize("rate", [Fraction(25), Fraction(24_000, 1001), Fraction(60)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_made_movie_is_a_yardstick(tmp_path: Path, rate: Fraction, suffix: str) -> None:
    path = str(tmp_path / f"movie{suffix}")
    make_movie(path, seconds=2, size=_SIZE, rate=rate)
    with av.open(path) as made:
        frames = _frames(made)
    begin = frames[0][0]  # Matroska shifts all by the sound's priming
    flashes = [time for time, luma in frames if yardstick.is_flash(luma)]
    readings = [(time - begin, yardstick.read(luma)) for time, luma in frames]
    with av.open(path) as made:
        sound = list(made.decode(audio=0))
    samples = np.concatenate([frame.to_ndarray()[0] for frame in sound])
    onsets = [(sound[0].time or 0) + n / 48_000 for n in yardstick.beep_onsets(samples, 48_000)]
    assert onsets == pytest.approx(flashes, abs=0.001)
    assert len(flashes) == 2
    assert len(frames) == round(2 * rate)
    for time, reading in readings:
        assert reading is None or abs(reading.capture_time - time) <= 0.002
    assert sum(reading is None for _, reading in readings) == len(flashes)


def test_h264_and_aac_are_passed_on(movie: Path) -> None:
    plan, reader, (pictures, sounds), notes = _read(movie)
    assert [type(codec) for codec in reader.codecs] == [H264, Aac]
    assert reader.codecs[0] == plan.tracks[0].codec
    assert plan.tracks[0].frame_rate == 25
    assert plan.duration_s == 2
    assert len(pictures) == 50
    assert _steps(pictures) == {3600}
    assert _steps(sounds) == {1024}
    assert [unit.batch.keyframe for unit in pictures].count(True) == 2
    assert not notes


def test_pictures_leave_in_decoding_order_evenly(movie: Path) -> None:
    _, _, (pictures, _), _ = _read(movie)
    due = [unit.due_s for unit in pictures]
    assert np.diff(due) == pytest.approx(np.full(49, 0.04))
    assert all(unit.batch.capture_time >= unit.due_s - 1e-9 for unit in pictures)


@pytest.mark.parametrize("suffix", [".mkv", ".ts", ".mov"])
def test_another_container_gives_the_same_stream(movie: Path, tmp_path: Path, suffix: str) -> None:
    _, reader, (pictures, sounds), notes = _read(_copy(movie, tmp_path / f"movie{suffix}"))
    assert [type(codec) for codec in reader.codecs] == [H264, Aac]
    assert len(pictures) == 50
    assert _steps(pictures) == {3600}
    assert _steps(sounds) == {1024}
    assert np.diff([unit.due_s for unit in pictures]) == pytest.approx(np.full(49, 0.04))
    assert not notes


def test_adts_headers_are_left_out(movie: Path, tmp_path: Path) -> None:
    _, reader, (_, sounds), _ = _read(_copy(movie, tmp_path / "movie.ts"))
    assert reader.codecs[1] == Aac(b"\x11\x90")
    assert all(unit.batch.buffer[16:18] != b"\xff\xf1" for unit in sounds)


def test_loops_have_no_seam(movie: Path) -> None:
    _, _, (pictures, sounds), _ = _read(movie, passes=5)
    assert _steps(pictures) == {3600}
    assert len(pictures) == 250
    assert np.diff([unit.due_s for unit in pictures]) == pytest.approx(np.full(249, 0.04))
    # The sound of two seconds is no whole number of frames: half of one is missing, or is double.
    assert all(abs(step - 1024) <= 512 for step in _steps(sounds))
    first = [unit.batch.timestamp for unit in sounds if unit.position_s == 0 and unit.loops]
    assert first
    assert all((stamp - START_S * 48_000) % 96_000 == 0 for stamp in first)


def test_sound_that_is_longer_makes_the_pass_longer(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    make_movie(path, seconds=1, size=_SIZE, rate=Fraction(25), audio_seconds=1.6)
    _, _, (pictures, sounds), _ = _read(path, passes=3)
    assert _steps(sounds) == {1024}
    keyframes = [unit.batch.timestamp for unit in pictures if unit.batch.keyframe]
    assert np.diff(keyframes) == pytest.approx(1.6 * 90_000, abs=0.6 * 1024 / 48_000 * 90_000)


@pytest.mark.parametrize("audio", ["opus", "5.1", None])
def test_other_sound_is_passed_on_too(tmp_path: Path, audio: str | None) -> None:
    path = tmp_path / "movie.mp4"
    make_movie(path, seconds=1, size=_SIZE, b_frames=0, audio=audio)  # type: ignore[arg-type]
    _, reader, tracks, notes = _read(path)
    assert not notes
    if audio is None:
        assert len(tracks) == 1
    elif audio == "opus":
        assert reader.codecs[1] == Opus(2)
        assert _steps(tracks[1]) == {960}
    else:
        assert isinstance(reader.codecs[1], Aac)
        assert reader.codecs[1].channels == 6


def test_an_edit_list_begins_where_it_says(movie: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.mp4"
    command = ["ffmpeg", "-v", "error", "-ss", "0.6", "-i", str(movie), "-c", "copy", str(cut)]
    subprocess.run(command, check=True)
    _, _, (pictures, sounds), _ = _read(cut, passes=3)
    assert sum(unit.loops == 0 for unit in pictures) == 50  # those before the cut are for decoding
    begin = START_S * 90_000
    shown = sorted(u.batch.timestamp for u in pictures if u.batch.timestamp >= begin)
    assert shown[0] == begin
    hurried = [u.batch.timestamp for u in pictures if u.batch.timestamp < begin]
    assert 14 <= len(hurried) <= 16
    assert begin - min(hurried) < 900
    assert len({u.batch.timestamp for u in pictures}) == len(pictures)
    assert min(unit.batch.timestamp for unit in sounds) >= (START_S - Fraction(1, 20)) * 48_000


def test_other_codecs_are_transcoded_in_sync_and_said_so(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "old.mkv"
    command = ["ffmpeg", "-v", "error", "-i", str(movie), "-c:v", "mpeg4", "-c:a", "mp2"]
    subprocess.run([*command, str(path)], check=True)
    plan, reader, (pictures, sounds), _ = _read(path)
    assert [track.note for track in plan.tracks] == [
        "The picture is mpeg4, which is not passed on: it is transcoded to H.264.",
        "The sound is mp2, which is not passed on: it is transcoded to AAC.",
    ]
    assert [type(codec) for codec in reader.codecs] == [H264, Aac]
    assert len(pictures) == 50
    assert _steps(pictures) == {3600}
    assert _steps(sounds) == {1024}
    assert reader.codecs[1].clock_rate == 48_000


def test_a_turned_picture_is_set_upright(movie: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    with av.open(str(movie)) as given, av.open(str(turned), "w") as made:
        source = given.streams.video[0]
        target = made.add_stream_from_template(source)
        target.set_display_rotation(90)
        for packet in given.demux(source):
            if packet.dts is not None:
                packet.stream = target
                made.mux(packet)
    plan, reader, (pictures,), _ = _read(turned)
    assert "turned by 90°" in (plan.tracks[0].note or "")
    codec = reader.codecs[0]
    assert isinstance(codec, H264)
    assert codec.size == (180, 320)
    assert len(pictures) == 50


def test_avi_with_b_frames_is_transcoded_since_it_has_no_presentation_times(
    movie: Path, tmp_path: Path
) -> None:
    path = tmp_path / "movie.avi"
    command = ["ffmpeg", "-v", "error", "-i", str(movie), "-c", "copy", "-bsf:v"]
    subprocess.run([*command, "h264_mp4toannexb", str(path)], check=True)
    plan, _, (pictures, _), _ = _read(path)
    assert "does not say when its pictures are shown" in (plan.tracks[0].note or "")
    assert len(pictures) == 50
    assert _steps(pictures) == {3600}


def test_a_raw_stream_is_played_at_its_rate(movie: Path, tmp_path: Path) -> None:
    raw = tmp_path / "movie.h264"
    with av.open(str(movie)) as given, av.open(str(raw), "w") as made:
        source = given.streams.video[0]
        target = made.add_stream_from_template(source)
        for packet in given.demux(source):
            if packet.dts is not None:
                packet.stream = target
                made.mux(packet)
    _, _, (pictures,), _ = _read(raw)
    assert len(pictures) == 50
    assert _steps(pictures) == {3600}


def test_a_cover_picture_is_no_video(tmp_path: Path, movie: Path) -> None:
    path = tmp_path / "song.m4a"
    command = ["ffmpeg", "-v", "error", "-i", str(movie), "-map", "0:a", "-map", "0:v", "-c:a"]
    command += ["copy", "-c:v", "mjpeg", "-frames:v", "1", "-disposition:v", "attached_pic"]
    subprocess.run([*command, str(path)], check=True)
    plan = make_plan(str(path))
    assert [track.kind for track in plan.tracks] == ["audio"]


def test_a_movie_that_is_cut_off_is_played_as_far_as_it_goes(movie: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole.mkv"
    make_movie(whole, seconds=4, size=_SIZE, rate=Fraction(25))
    cut = tmp_path / "cut.mkv"
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    _, _, (pictures, _), notes = _read(cut, passes=2)
    assert 20 < len(pictures) / 2 < 80
    assert len(notes) == 1
    assert "is cut off or damaged" in notes[0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "There is no file"),
        (b"", "is empty"),
        (b"Dear diary,\n" * 100, "is no movie or sound"),
        (b"\x00\x00\x00\x18ftypisom" + bytes(200), "is damaged or cut off"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "is no movie or sound|has neither picture nor sound"),
    ],
)
def test_a_file_that_cannot_be_played_is_explained(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "movie.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SourceError, match=reason) as caught:
        make_plan(str(path))
    assert str(path) in str(caught.value)


def test_a_path_may_hold_any_sign(movie: Path, tmp_path: Path) -> None:
    path = tmp_path / "http: 100%03d ü.mp4"
    path.write_bytes(movie.read_bytes())
    assert len(make_plan(str(path)).tracks) == 2


def test_a_directory_is_explained(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is a directory"):
        make_plan(str(tmp_path))


def test_subtitles_alone_are_neither_picture_nor_sound(tmp_path: Path) -> None:
    path = tmp_path / "movie.srt"
    path.write_text("1\n00:00:01,000 --> 00:00:02,000\nHello.\n")
    with pytest.raises(SourceError, match="has neither picture nor sound"):
        make_plan(str(path))


def test_a_file_that_goes_away_while_it_loops_ends_with_a_reason(tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    make_movie(path, seconds=0.5, size=_SIZE, audio=None)
    reader = MovieReader(str(path), make_plan(str(path)), True, lambda note: None)
    units = reader.units()
    next(units)
    path.unlink()
    with pytest.raises(SourceError, match="There is no file"):
        for _ in units:
            pass


def test_an_adts_header_stands_for_a_configuration() -> None:
    assert adts_config(bytes.fromhex("fff14c8001bffc")) == b"\x11\x90"
    assert adts_config(b"") == adts_config(b"\x00" * 7) == b""


@pytest.mark.parametrize("module", ["process", "spec", "link"])
def test_the_server_needs_neither_ffmpeg_nor_numpy_for_its_sources(module: str) -> None:
    _must_not_import(f"streamsocket.sources.{module}", "av", "numpy")


def test_a_file_that_is_passed_on_needs_no_numpy() -> None:
    _must_not_import("streamsocket.sources.file", "numpy", "streamsocket.codecs.transcode")


def _must_not_import(module: str, *others: str) -> None:
    code = f"import {module}, sys; sys.exit(' '.join({set(others)!r} & set(sys.modules)) or 0)"
    subprocess.run([sys.executable, "-c", code], check=True)
