"""One stream on its way into files: where they begin and end, and what is in each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.unit.hub_helpers import SOUND, VIDEO

from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Aac, Track
from streamsocket.record import recording as recording_module
from streamsocket.record.errors import NewFileNeededError, RecordError
from streamsocket.record.index import INDEX_NAME, Index, read_index
from streamsocket.record.link import Follow
from streamsocket.record.recording import RETRY_S, StreamRecording
from streamsocket.record.rotation import RETURN_S
from streamsocket.record.rules import Rule
from streamsocket.rtp.builder import build_batch
from streamsocket.taps.packets import Packets

ORIGINS = (70_000, 90_000)
EPOCH = 1_700_000_000.0
GOP_S = 1.0


class FakeWriter:
    """Keeps what is written, and fails when told to."""

    written: dict[str, list[tuple[int, float]]]
    fail_open: RecordError | None
    fail_write: RecordError | None

    def __init__(self, path: Path, tracks: Sequence[Track]) -> None:
        if self.fail_open:
            raise self.fail_open
        self.path = path
        self.tracks = tracks
        self.units = self.written.setdefault(path.name, [])
        self.closed = False
        self.bytes = 0
        path.touch()

    @property
    def duration_s(self) -> float:
        times = [seconds for _, seconds in self.units]
        return max(times, default=0.0) - min(times, default=0.0)

    def write(self, track: int, unit: AccessUnit) -> None:
        assert not self.closed
        if self.fail_write:
            raise self.fail_write
        self.bytes += 1000
        rate = self.tracks[track].codec.clock_rate
        assert unit.capture_time == pytest.approx(EPOCH + unit.timestamp / rate)
        self.units.append((track, unit.timestamp / rate))

    def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """A recording that is fed seconds of pictures (ten a second) and sound (fifty a second)."""

    root: Path
    rule: Rule
    recording: StreamRecording
    keyframe_requests: list[int] = field(default_factory=list)
    now: float = 100.0
    sequences: list[int] = field(default_factory=lambda: [1000, 2000])

    def packets(self, track: int, seconds: float, *, keyframe: bool = False) -> Packets:
        rate = (90_000, 48_000)[track]
        timestamp = ORIGINS[track] + round(seconds * rate)
        payload = bytes(((0x65 if keyframe else 0x41) if track == 0 else 0xFC, 0x88, 0x80))
        batch = build_batch(
            [payload], timestamp=timestamp, capture_time=EPOCH + seconds, keyframe=keyframe
        )
        self.sequences[track] += 1
        return Packets(
            *(1, track, keyframe, timestamp, self.sequences[track], EPOCH + seconds, batch.sizes),
            memoryview(batch.buffer),
        )

    def feed(
        self,
        start: float,
        end: float,
        *,
        ahead: float = 0.0,
        keyframes: bool = True,
        sound: bool = True,
    ) -> None:
        """Pictures of that time, and sound that comes `ahead` of them."""
        events = [
            (number / 10, 0, number % round(GOP_S * 10) == 0)
            for number in range(round(start * 10), round(end * 10))
        ]
        if sound:
            events += [
                (number / 50 - ahead, 1, False)
                for number in range(round(start * 50), round(end * 50))
            ]
        for seconds, track, keyframe in sorted(events):
            at = seconds + ahead if track else seconds
            self.recording.take(
                self.packets(track, at, keyframe=keyframe and keyframes), self.now + at
            )

    @property
    def files(self) -> list[list[tuple[int, float]]]:
        return list(FakeWriter.written.values())

    def times(self, file: int, track: int) -> list[float]:
        return [round(seconds, 3) for index, seconds in self.files[file] if index == track]

    def reasons(self) -> list[str | None]:
        return [each.reason for each in read_index(self.root)]


def make(root: Path, *, tracks: tuple[Track, ...] = (VIDEO, SOUND), **settings: float) -> Bench:
    rule = Rule(path=f"{root}/{{name}}/{{time}}.mkv", **settings)  # type: ignore[arg-type]
    follow = Follow(1, "live/lobby", 0, tracks, ORIGINS[: len(tracks)])
    bench = Bench(root, rule, None)  # type: ignore[arg-type]
    index = Index(root)
    bench.recording = StreamRecording(
        follow, rule, lambda: index, lambda: bench.keyframe_requests.append(1)
    )
    return bench


@pytest.fixture(autouse=True)
def _fake_writer(monkeypatch: pytest.MonkeyPatch) -> None:
    FakeWriter.written = {}
    FakeWriter.fail_open = FakeWriter.fail_write = None
    monkeypatch.setattr(recording_module, "RecordingWriter", FakeWriter)


def tenths(start: float, end: float) -> list[float]:
    return [number / 10 for number in range(round(start * 10), round(end * 10))]


def fiftieths(start: float, end: float) -> list[float]:
    return [number / 50 for number in range(round(start * 50), round(end * 50))]


def test_a_file_begins_with_a_keyframe_and_its_sound(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0.5, 3)
    bench.recording.close("server stopped")
    assert bench.times(0, 0) == tenths(1, 3)
    assert bench.times(0, 1) == fiftieths(1, 3)
    [entry] = read_index(tmp_path)
    assert entry.began == EPOCH + 1
    assert entry.ended == pytest.approx(EPOCH + 2.98)
    assert (entry.stream, entry.reason) == ("live/lobby", "server stopped")
    assert entry.tracks == ("h264", "opus 48 kHz stereo")


@pytest.mark.parametrize("ahead", [0.0, 0.3, -0.3], ids=["even", "sound first", "sound last"])
def test_files_are_cut_at_one_moment_for_all_tracks(tmp_path: Path, ahead: float) -> None:
    bench = make(tmp_path, rotate_minutes=2.5 / 60)
    bench.feed(0, 7, ahead=ahead)
    bench.recording.close("stream ended")
    assert [bench.times(file, 0) for file in range(3)] == [tenths(0, 3), tenths(3, 6), tenths(6, 7)]
    assert [bench.times(file, 1) for file in range(3)] == [
        fiftieths(0, 3),
        fiftieths(3, 6),
        fiftieths(6, 7),
    ]
    assert bench.reasons() == ["rotated", "rotated", "stream ended"]


def test_files_are_cut_by_size(tmp_path: Path) -> None:
    bench = make(tmp_path, rotate_minutes=0, rotate_mb=0.1)
    bench.feed(0, 5)
    bench.recording.close("stream ended")
    assert [bench.times(file, 0) for file in range(3)] == [tenths(0, 2), tenths(2, 4), tenths(4, 5)]


def test_a_picture_alone_and_sound_alone_are_cut_too(tmp_path: Path) -> None:
    bench = make(tmp_path / "a", tracks=(VIDEO,), rotate_minutes=1 / 60)
    bench.feed(0, 2, sound=False)
    assert bench.files == [[(0, at) for at in tenths(0, 1)], [(0, at) for at in tenths(1, 2)]]
    assert bench.reasons() == ["rotated", None]
    FakeWriter.written.clear()
    bench = make(tmp_path / "b", tracks=(SOUND,), rotate_minutes=0.5 / 60)
    for number in range(50):
        packets = bench.packets(1, number / 50)
        timestamp = packets.timestamp - ORIGINS[1] + ORIGINS[0]
        bench.recording.take(packets._replace(track=0, timestamp=timestamp), 100 + number / 50)
    assert bench.files == [
        [(0, at) for at in fiftieths(0, 0.5)],
        [(0, at) for at in fiftieths(0.5, 1)],
    ]


def test_a_keyframe_is_asked_for_when_none_comes(tmp_path: Path) -> None:
    bench = make(tmp_path, rotate_minutes=2 / 60)
    bench.feed(0, 1)
    bench.feed(1, 9, keyframes=False)
    assert len(bench.keyframe_requests) == 3  # from 4 s on, every two
    bench.feed(9, 10)
    assert len(bench.files) == 2
    assert bench.times(1, 0) == tenths(9, 10)


def test_a_publisher_that_returns_soon_goes_on_in_the_same_file(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1.5)
    bench.recording.lose_publisher(200.0)
    bench.recording.tick(200.0 + RETURN_S - 1)
    bench.recording.begin_publication(Follow(1, "live/lobby", 0, (VIDEO, SOUND), ORIGINS))
    bench.recording.tick(200.0 + 2 * RETURN_S)
    bench.feed(3.5, 5, sound=False)  # decoding has to wait for a keyframe
    assert bench.times(0, 0) == tenths(0, 1.5) + tenths(4, 5)
    assert len(bench.files) == 1


def test_a_publisher_that_stays_away_has_ended_its_file(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1)
    bench.recording.lose_publisher(200.0)
    bench.recording.tick(200.0 + RETURN_S + 1)
    assert bench.reasons() == ["publisher left"]
    assert bench.recording.path is None
    bench.recording.begin_publication(Follow(1, "live/lobby", 0, (VIDEO, SOUND), ORIGINS))
    bench.feed(20, 21)
    assert len(bench.files) == 2


def test_other_parameters_of_the_sound_need_another_file(tmp_path: Path) -> None:
    stereo, mono = Track(Aac(b"\x11\x90")), Track(Aac(b"\x11\x88"))
    bench = make(tmp_path, tracks=(VIDEO, stereo))
    bench.feed(0, 1, sound=False)
    bench.recording.begin_publication(Follow(1, "live/lobby", 0, (VIDEO, mono), ORIGINS))
    bench.feed(1, 2, sound=False)
    assert len(bench.files) == 2


def test_a_picture_that_does_not_fit_begins_another_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1)
    write = FakeWriter.write

    def refuse_once(writer: FakeWriter, track: int, unit: AccessUnit) -> None:
        monkeypatch.setattr(FakeWriter, "write", write)
        raise NewFileNeededError("The picture changed.", (VIDEO, SOUND))

    monkeypatch.setattr(FakeWriter, "write", refuse_once)
    bench.recording.take(bench.packets(0, 1.0, keyframe=True), 101.0)
    bench.feed(1.1, 2)
    assert bench.times(0, 0) == tenths(0, 1)
    assert bench.times(1, 0) == tenths(1, 2)


def test_sound_that_begins_late_is_in_the_next_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make(tmp_path)
    write = FakeWriter.write

    def refuse_sound(writer: FakeWriter, track: int, unit: AccessUnit) -> None:
        if track == 1 and len(FakeWriter.written) == 1:
            raise NewFileNeededError("The sound has begun.", (VIDEO, SOUND))
        write(writer, track, unit)

    monkeypatch.setattr(FakeWriter, "write", refuse_sound)
    bench.feed(0, 2)
    bench.recording.close("stream ended")
    assert bench.times(0, 0) == tenths(0, 1)
    assert bench.times(1, 0) == tenths(1, 2)
    assert bench.times(1, 1) == fiftieths(1, 2)


def test_a_file_that_cannot_be_opened_is_told_and_tried_again(tmp_path: Path) -> None:
    bench = make(tmp_path)
    FakeWriter.fail_open = RecordError("'x.mkv' cannot be written: Permission denied.")
    bench.feed(0, 3)
    assert bench.recording.message == (
        "'live/lobby' is not recorded: 'x.mkv' cannot be written: Permission denied."
    )
    assert not (tmp_path / INDEX_NAME).exists()
    FakeWriter.fail_open = None
    bench.feed(3, 4)
    assert not bench.files  # not yet
    bench.feed(RETRY_S, RETRY_S + 2)
    assert bench.recording.message is None
    assert bench.times(0, 0) == tenths(RETRY_S, RETRY_S + 2)


def test_a_file_that_cannot_be_written_is_ended_and_another_begun(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1)
    FakeWriter.fail_write = RecordError("The disk is full.")
    bench.feed(1, 2)
    assert bench.recording.message == "'live/lobby' is not recorded: The disk is full."
    assert bench.reasons() == ["write error"]
    FakeWriter.fail_write = None
    bench.feed(1 + RETRY_S, 3 + RETRY_S)
    assert bench.times(1, 0) == tenths(1 + RETRY_S, 3 + RETRY_S)
    assert bench.recording.message is None


def test_while_the_disk_is_full_nothing_is_written(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1.5)
    bench.recording.block("The disk is full.")
    assert bench.reasons() == ["disk full"]
    bench.feed(1.5, 4)
    assert bench.recording.message == "The disk is full."
    bench.recording.block(None)
    assert bench.keyframe_requests
    bench.feed(4, 5)
    assert bench.recording.message is None
    assert [len(bench.times(file, 0)) for file in range(2)] == [15, 10]


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    bench = make(tmp_path)
    (tmp_path / "live").write_text("in the way")
    bench.feed(0, 1)
    assert "is not recorded" in (bench.recording.message or "")
    assert not (tmp_path / INDEX_NAME).exists()


def test_an_index_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    bench = make(tmp_path)
    (tmp_path / INDEX_NAME).mkdir()
    bench.feed(0, 1)
    assert "is not recorded" in (bench.recording.message or "")
    assert bench.recording.path is None


def test_what_comes_twice_is_written_once(tmp_path: Path) -> None:
    bench = make(tmp_path)
    first = bench.packets(0, 0.0, keyframe=True)
    for _ in range(3):
        bench.recording.take(first, 100.0)
    assert bench.times(0, 0) == [0.0]


def test_sound_far_ahead_of_a_picture_that_stopped_is_written(tmp_path: Path) -> None:
    bench = make(tmp_path)
    bench.feed(0, 1)
    for number in range(50, 300):
        bench.recording.take(bench.packets(1, number / 50), 100.0 + number / 50)
    assert len(bench.times(0, 1)) == 300
    assert len(bench.recording._held) == 0
