"""Recordings of streams of every kind, read back."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import av
import pytest
from record_helpers import Units, digests, interleaved, read, sound, video

from streamsocket.media import h264
from streamsocket.media.codec import H264, Aac, Mjpeg, Opus, Track, Vp8
from streamsocket.record.formats import sample
from streamsocket.record.writer import NewFileNeededError, RecordError, RecordingWriter

X264 = {"preset": "ultrafast"}
PYRAMID = {"preset": "veryfast", "bf": "3", "x264-params": "b-pyramid=normal:b-adapt=0:scenecut=0"}
OPEN_GOP = {"preset": "veryfast", "x264-params": "bframes=3:b-adapt=0:scenecut=0:open-gop=1"}
X265 = {"preset": "ultrafast", "x265-params": "bframes=4:b-pyramid=1:open-gop=1:log-level=none"}
VP8 = {"deadline": "realtime", "cpu-used": "8"}
VP9 = VP8 | {"lag-in-frames": "0"}
AV1 = {"preset": "11", "svtav1-params": "rtc=1:pred-struct=1:lp=1"}


def write(path: Path, tracks: list[Track], units: Units) -> RecordingWriter:
    writer = RecordingWriter(path, tracks)
    add(writer, units)
    writer.close()
    return writer


def add(writer: RecordingWriter, units: Units) -> None:
    for index, unit in units:
        writer.write(index, unit)


def finish(writer: RecordingWriter, units: Units) -> None:
    add(writer, units)
    writer.close()


def only_slices(units: Units) -> Units:
    """Without what MP4 keeps beside the stream."""
    for _, unit in units:
        unit.units = [nal for nal in unit.units if nal[0] >> 1 & 0x3F not in (32, 33, 34)]
    return units


@pytest.mark.parametrize(
    ("suffix", "encoder", "options", "sound_encoder", "sound_rate"),
    [
        (".mp4", "libx264", PYRAMID, "aac", 48_000),
        (".mp4", "libx264", X264, "aac", 44_100),
        (".mkv", "libx264", PYRAMID, "pcm_s16be", 44_100),
        (".mp4", "libx265", X265, "libopus", 48_000),
        (".mkv", "libx265", X265, "aac", 48_000),
        (".mkv", "libvpx", VP8, "libopus", 48_000),
        (".webm", "libvpx", VP8, "libopus", 48_000),
        *((suffix, "libvpx-vp9", VP9, "libopus", 48_000) for suffix in (".mp4", ".mkv", ".webm")),
        *((suffix, "libsvtav1", AV1, "libopus", 48_000) for suffix in (".mp4", ".mkv", ".webm")),
        (".mkv", "mjpeg", {}, "aac", 48_000),
        (".mp4", "mjpeg", {}, "aac", 48_000),
    ],
)
def test_every_picture_and_every_frame_of_sound_is_there_as_it_came(
    tmp_path: Path,
    suffix: str,
    encoder: str,
    options: dict[str, str],
    sound_encoder: str,
    sound_rate: int,
) -> None:
    picture, pictures = video(encoder, **options)
    voice, voices = sound(sound_encoder, rate=sound_rate, begins=0.013)
    path = tmp_path / f"clip{suffix}"
    writer = write(path, [picture, voice], interleaved(pictures, voices))
    content = read(path)
    if encoder == "libx265" and suffix == ".mp4":
        only_slices(pictures)
    assert [packet.digest for packet in content.packets[0]] == digests(pictures, 0)
    assert [packet.digest for packet in content.packets[1]] == digests(voices, 1)
    assert content.frames[0] == len(pictures) == writer.pictures
    assert content.frames[1] >= len(voices) - 1  # some decoders have a frame of delay

    tolerance = 0.0006 if suffix in (".mkv", ".webm") else 0.00002  # Matroska counts milliseconds
    for packets, units in zip(content.packets, (pictures, voices), strict=True):
        for packet, (_, unit) in zip(packets, units, strict=True):
            captured = (unit.capture_time or 0) - 1_700_000_000
            assert float(packet.pts_s) == pytest.approx(captured, abs=tolerance)
            assert packet.dts_s <= packet.pts_s
        if suffix == ".mp4":  # Matroska keeps no decoding times
            assert all(before.dts_s < after.dts_s for before, after in pairwise(packets))
    assert writer.duration_s == pytest.approx(3.0, abs=0.05)
    assert writer.bytes == path.stat().st_size


@pytest.mark.parametrize("encoder", ["pcm_mulaw", "pcm_alaw"])
def test_g711_becomes_the_samples_it_stands_for(tmp_path: Path, encoder: str) -> None:
    picture, pictures = video("libx264", **X264)
    voice, voices = sound(encoder, rate=8000, channels=1)
    path = tmp_path / "clip.mkv"
    write(path, [picture, voice], interleaved(pictures, voices))
    raw = b"".join(unit.units[0] for _, unit in voices)
    decoded = subprocess.run(
        f"ffmpeg -v error -f {encoder[4:]} -ar 8000 -ac 1 -i - -f s16be -".split(),
        input=raw,
        capture_output=True,
        check=True,
        timeout=30,
    ).stdout
    assert b"".join(sample(voice.codec, unit) for _, unit in voices) == decoded
    assert read(path).codecs == ["h264", "pcm_s16be"]


def test_a_transport_stream(tmp_path: Path) -> None:
    picture, pictures = video("libx264", **PYRAMID)
    voice, voices = sound("aac")
    path = tmp_path / "clip.ts"
    write(path, [picture, voice], interleaved(pictures, voices))
    content = read(path)
    assert content.codecs == ["h264", "aac"]
    assert content.frames[0] == len(pictures)


def test_pictures_alone_and_sound_alone(tmp_path: Path) -> None:
    picture, pictures = video("libx264", **X264)
    write(tmp_path / "picture.mp4", [picture], pictures)
    assert read(tmp_path / "picture.mp4").frames == [len(pictures)]
    voice, voices = sound("aac", index=0)
    write(tmp_path / "sound.mp4", [voice], voices)
    assert len(read(tmp_path / "sound.mp4").packets[0]) == len(voices)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_it_begins_with_a_keyframe_and_sound_from_there(tmp_path: Path, suffix: str) -> None:
    picture, pictures = video("libx264", gop=27, **OPEN_GOP)
    voice, voices = sound("aac", rate=48_000)
    units = interleaved(pictures[10:], voices)
    path = tmp_path / f"clip{suffix}"
    write(path, [picture, voice], units)
    content = read(path, strict=False)  # the first pictures' own references can be missing
    key = next(place for place in range(10, 75) if pictures[place][1].keyframe)
    start = pictures[key][1].capture_time or 0
    # What is decoded after the keyframe and shown before it refers to what is not there.
    expected = [each for each in pictures[key:] if (each[1].capture_time or 0) >= start]
    assert len(expected) < len(pictures[key:])
    assert [packet.digest for packet in content.packets[0]] == digests(expected, 0)
    heard = [each for each in voices if (each[1].capture_time or 0) >= start - 1e-6]
    assert [packet.digest for packet in content.packets[1]] == digests(heard, 1)
    assert content.packets[0][0].pts_s == 0
    assert 0 <= content.packets[1][0].pts_s < 0.022


def test_a_clock_that_is_known_only_after_the_first_units_counts_for_them_too(
    tmp_path: Path,
) -> None:
    picture, pictures = video("libx264", **X264)
    voice, voices = sound("aac", begins=0.013)
    pictures[0][1].capture_time = (pictures[0][1].capture_time or 0) + 0.3
    write(tmp_path / "clip.mp4", [picture, voice], interleaved(pictures, voices))
    packets = read(tmp_path / "clip.mp4").packets
    assert packets[0][0].pts_s == 0
    assert float(packets[1][0].pts_s) == pytest.approx(0.013, abs=0.0001)


def test_sound_that_comes_before_its_picture_is_kept(tmp_path: Path) -> None:
    picture, pictures = video("libx264", **X264)
    voice, voices = sound("aac")
    write(tmp_path / "clip.mp4", [picture, voice], voices[:20] + interleaved(pictures, voices[20:]))
    packets = read(tmp_path / "clip.mp4").packets
    assert [packet.digest for packet in packets[1]] == digests(voices, 1)
    assert packets[1][0].pts_s == 0


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("with_sound", [True, False])
def test_what_is_written_can_be_played_at_any_time(
    tmp_path: Path, suffix: str, with_sound: bool
) -> None:
    picture, pictures = video("libx264", seconds=8, gop=100, **PYRAMID)
    voice, voices = sound("aac", seconds=8)
    path, copy = tmp_path / f"clip{suffix}", tmp_path / f"copy{suffix}"
    writer = RecordingWriter(path, [picture, voice])
    next_look = 3.0
    for index, unit in interleaved(pictures, voices if with_sound else []):
        writer.write(index, unit)
        at = (unit.capture_time or 0) - 1_700_000_000
        if at >= next_look:
            next_look += 1.7
            shutil.copy(path, copy)
            content = read(copy)  # decodes it, too
            assert content.frames[0] / 25 >= at - 1.5
            assert writer.bytes == copy.stat().st_size
    writer.close()


def test_sound_that_comes_late_needs_a_new_file_from_the_next_keyframe_on(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=5, **X264)
    voice, voices = sound("aac", seconds=1.5, begins=3.3)
    units = interleaved(pictures, voices)
    key = units.index(pictures[100])
    writer = RecordingWriter(tmp_path / "clip.mp4", [picture, voice])
    add(writer, units[:key])
    with pytest.raises(NewFileNeededError, match=r"^The sound has begun\.$") as raised:
        writer.write(*units[key])
    assert raised.value.tracks == (picture, voice)
    writer.close()
    write(tmp_path / "next.mp4", list(raised.value.tracks), units[key:])
    first, second = read(tmp_path / "clip.mp4"), read(tmp_path / "next.mp4")
    assert (first.codecs, second.codecs) == (["h264"], ["h264", "aac"])
    assert (first.frames[0], second.frames[0]) == (100, 25)


def test_one_unit_that_the_muxer_does_not_take_is_left_out(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=2, **X264)
    writer = RecordingWriter(tmp_path / "clip.mp4", [picture])
    add(writer, pictures[:40])
    container = writer._container

    class Refusing:
        def mux_one(self, packet: object) -> None:
            raise av.error.InvalidDataError(1, "no")

    writer._container = cast(Any, Refusing())
    writer.write(*pictures[40])
    writer._container = container
    finish(writer, pictures[41:])
    assert (writer.pictures, writer.damaged) == (49, 1)
    assert len(read(tmp_path / "clip.mp4", strict=False).packets[0]) == 49


def test_sound_that_comes_soon_is_waited_for(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=4, **X264)
    voice, voices = sound("aac", seconds=2, begins=1.5)
    write(tmp_path / "clip.mp4", [picture, voice], interleaved(pictures, voices))
    content = read(tmp_path / "clip.mp4")
    assert float(content.packets[1][0].pts_s) == pytest.approx(1.5, abs=0.001)
    assert content.frames[0] == len(pictures)


@pytest.mark.parametrize(
    ("suffix", "encoder", "options"),
    [
        *((".mp4", "libx264", X264), (".mkv", "libvpx", VP8), (".mkv", "mjpeg", {})),
        *((".mp4", "libvpx-vp9", VP9), (".mp4", "libsvtav1", AV1)),
    ],
)
def test_another_size_needs_a_new_file(
    tmp_path: Path, suffix: str, encoder: str, options: dict[str, str]
) -> None:
    picture, pictures = video(encoder, seconds=1, **options)
    _, larger = video(encoder, seconds=1, size=(320, 192), **options)
    for _, unit in larger:
        unit.timestamp += 90_000
    path, other = tmp_path / f"clip{suffix}", tmp_path / f"clip-2{suffix}"
    writer = RecordingWriter(path, [picture])
    add(writer, pictures)
    with pytest.raises(NewFileNeededError, match="from 160x96 to 320x192") as raised:
        writer.write(0, larger[0][1])
    writer.close()
    write(other, list(raised.value.tracks), larger)
    assert read(path).frames == [25]
    assert read(other).frames == [25]


def test_the_stream_itself_is_believed_rather_than_its_announcement(tmp_path: Path) -> None:
    _, pictures = video("libx264", seconds=1, **X264)
    write(tmp_path / "clip.mp4", [Track(H264(b"", b""))], pictures)
    assert read(tmp_path / "clip.mp4").frames == [25]


def test_a_keyframe_without_parameter_sets_is_no_beginning_if_none_are_known(
    tmp_path: Path,
) -> None:
    _, pictures = video("libx264", seconds=2, **X264)
    pictures[0][1].units = [nal for nal in pictures[0][1].units if h264.nal_type(nal) == h264.IDR]
    writer = write(tmp_path / "clip.mp4", [Track(H264(b"", b""))], pictures)
    assert writer.pictures == 25


def test_damaged_pictures_are_kept_where_they_can_be_decoded(tmp_path: Path) -> None:
    for encoder, suffix, kept in (("libx264", ".mp4", 25), ("libvpx", ".webm", 24)):
        picture, pictures = video(encoder, seconds=1, **(X264 if kept == 25 else VP8))
        pictures[7][1].damaged = True
        writer = write(tmp_path / f"clip{suffix}", [picture], pictures)
        assert (writer.pictures, writer.damaged) == (kept, 1)


def test_after_another_session_the_picture_goes_on_with_a_keyframe(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=6, **PYRAMID)
    voice, voices = sound("aac", seconds=6)
    units = interleaved(pictures, voices)
    writer = RecordingWriter(tmp_path / "clip.mp4", [picture, voice])
    add(writer, units[:100])
    writer.rejoin()
    for index, unit in units[150:]:
        unit.timestamp += (123_456_789, 987_654_321)[index]
        writer.write(index, unit)
    writer.close()
    content = read(tmp_path / "clip.mp4")
    assert [packet.digest for packet in content.packets[1]] == digests(units[:100] + units[150:], 1)
    key = next(p for p in range(150, 400) if units[p][0] == 0 and units[p][1].keyframe)
    shown = [each for each in units[:100] + units[key:] if each[0] == 0]
    assert [packet.digest for packet in content.packets[0]] == digests(shown, 0)
    for packet, (_, unit) in zip(content.packets[0], shown, strict=True):
        captured = (unit.capture_time or 0) - 1_700_000_000
        assert float(packet.pts_s) == pytest.approx(captured, abs=0.0001)


@pytest.mark.parametrize(
    ("name", "codec", "way_out"),
    [
        ("clip.mp4", Vp8((160, 96)), "'clip.mkv'"),
        ("clip.webm", H264(b"", b""), "'clip.mkv'"),
        ("clip.ts", Opus(), "'clip.mkv'"),
        ("clip.avi", Mjpeg(), ".mkv"),
        ("clip", Aac(b"\x12\x10"), ".mp4"),
    ],
)
def test_what_a_container_cannot_hold_is_refused_with_a_way_out(
    tmp_path: Path, name: str, codec: Vp8 | H264 | Opus | Mjpeg | Aac, way_out: str
) -> None:
    with pytest.raises(RecordError) as raised:
        RecordingWriter(tmp_path / name, [Track(codec)])
    assert way_out in str(raised.value)
    assert not (tmp_path / name).exists()


def test_no_file_is_overwritten_by_itself(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=1, **X264)
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"precious")
    with pytest.raises(RecordError, match="already"):
        RecordingWriter(path, [picture])
    assert path.read_bytes() == b"precious"
    writer = RecordingWriter(path, [picture], overwrite=True)
    finish(writer, pictures)
    assert read(path).frames == [25]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="No such file or directory"):
        RecordingWriter(tmp_path / "nowhere" / "clip.mp4", [Track(Mjpeg())])


def test_a_file_without_anything_in_it_is_not_left(tmp_path: Path) -> None:
    picture, pictures = video("libx264", seconds=1, **X264)
    writer = write(tmp_path / "clip.mp4", [picture], pictures[1:])  # no keyframe
    assert (writer.bytes, writer.duration_s) == (0, 0)
    assert not writer.path.exists()


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Files may not get longer: the same to a writer as a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("limit", [60_000, 61_000, 62_500, 64_000])
def test_when_no_more_can_be_written_the_rest_can_be_played(
    tmp_path: Path, suffix: str, limit: int
) -> None:
    picture, pictures = video("libx264", seconds=6, **PYRAMID)
    voice, voices = sound("aac", seconds=6)
    path = tmp_path / f"clip{suffix}"
    writer = RecordingWriter(path, [picture, voice])
    with file_size_limit(limit), pytest.raises(RecordError, match="to its end: File too large"):
        finish(writer, interleaved(pictures, voices))
    with pytest.raises(RecordError):
        writer.write(0, pictures[0][1])
    writer.close()
    content = read(path)
    assert content.frames[0] / 25 == pytest.approx(writer.duration_s, abs=0.15)
    assert 25 <= content.frames[0] < 150
    assert content.frames[1] >= 40


def test_a_full_disk_is_named_with_its_free_space(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture, pictures = video("libx264", seconds=3, **X264)
    writer = RecordingWriter(tmp_path / "clip.mp4", [picture])
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    add(writer, pictures[:60])
    writer._file.failure = full
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 0))
    with pytest.raises(RecordError) as raised:
        finish(writer, pictures[60:])
    assert str(raised.value) == (
        f"'{tmp_path / 'clip.mp4'}' could not be written to its end: the disk is full "
        "(0 KB are free). The first 0:02 are in it."
    )
    assert read(tmp_path / "clip.mp4").frames[0] >= 25
