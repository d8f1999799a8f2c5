"""The server's own recording, with real sources, a real disk, and FFmpeg to look at the files."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

import pytest
from tests.interop.movies import MovieShelf

from streamsocket.hub.hub import Hub
from streamsocket.record.index import read_index
from streamsocket.record.recorder import Recorder
from streamsocket.record.rules import Rule
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.spec import FileSpec

PATIENCE_S = 30.0
NAME = "live/lobby"


class Bench:
    """A hub with one looping movie, and a recorder."""

    def __init__(self, root: Path, rule: Rule) -> None:
        self.root = root
        loop = asyncio.get_running_loop()
        self.hub = Hub(loop)
        self.hub.provide(NAME)  # a source that crashes comes back to the same stream
        self.recorder = Recorder(loop, self.hub, [rule])
        self.sources: list[SourceProcess] = []

    def play(self, movie: Path, *, loop: bool = True) -> SourceProcess:
        source = SourceProcess(
            NAME,
            FileSpec(str(movie), loop),
            asyncio.get_running_loop(),
            self.hub.publish,
            lambda status: self.hub.remove(NAME) if status.state == "ended" else None,
        )
        source.start()
        self.sources.append(source)
        return source

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - any condition, whatever changes it
                await asyncio.sleep(0.02)

    async def until_finished(self, count: int) -> None:
        await self.until(lambda: len(self.finished()) >= count)

    def finished(self) -> list[Path]:
        """The files that are done, in the order they were begun."""
        try:
            return [self.root / each.path for each in read_index(self.root) if each.ended]
        except FileNotFoundError:
            return []

    @property
    def message(self) -> str:
        """What is said about the recording."""
        return " ".join(status.message or "" for status in self.recorder.status())


def run(root: Path, rule: Rule, scenario: Callable[[Bench], Coroutine[None, None, None]]) -> Bench:
    """Run the scenario beside a recorder; all is stopped after it."""

    async def whole() -> Bench:
        async with _bench(root, rule) as bench:
            await scenario(bench)
        return bench

    return asyncio.run(whole())


@asynccontextmanager
async def _bench(root: Path, rule: Rule) -> AsyncIterator[Bench]:
    bench = Bench(root, rule)
    bench.recorder.start()
    try:
        yield bench
    finally:
        await bench.recorder.stop()
        await asyncio.gather(*(source.stop() for source in bench.sources))
        bench.hub.close()


def rule(root: Path, *, suffix: str = ".mp4", seconds: float = 2.0, **settings: float) -> Rule:
    path = f"{root}/{{name}}/{{time:%Y-%m-%d_%H-%M-%S}}{suffix}"
    settings.setdefault("min_free_gb", 0.0)
    return Rule(path=path, rotate_minutes=seconds / 60, **settings)


def pictures(path: Path) -> list[str]:
    """A digest of every decoded picture, by FFmpeg."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-f", "framemd5", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not done.stderr, done.stderr
    rows = [line.split(",") for line in done.stdout.splitlines() if not line.startswith("#")]
    return [row[-1].strip() for row in rows]


def durations(path: Path) -> dict[str, float]:
    """How long each track lasts, by ffprobe; from the packets, which every container has."""
    command = ["ffprobe", "-v", "error", "-show_packets", "-of", "json", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found: dict[str, list[float]] = {}
    for packet in json.loads(done.stdout)["packets"]:
        end = float(packet["pts_time"]) + float(packet.get("duration_time", 0))
        found.setdefault(packet["codec_type"], []).append(end)
    return {kind: max(ends) for kind, ends in found.items()}


def assert_continuous(files: list[Path], movie: Path) -> None:
    """Every picture of the files follows the one before it, in the movie that goes round.

    Where recording stopped, the B-frames before the last picture may not have come any more.
    """
    original = pictures(movie)
    recorded = [picture for file in files for picture in pictures(file)][:-4]
    assert len(recorded) > len(files)
    begin = recorded[:2]  # the flash alone looks the same every second
    first = next(at for at in range(len(original)) if original[at : at + 2] == begin)
    expected = [original[(first + place) % len(original)] for place in range(len(recorded))]
    assert recorded == expected


@pytest.mark.parametrize(
    ("name", "suffix"),
    [("pal", ".mp4"), ("b_frames", ".mkv"), ("b_frames", ".mp4"), ("opus", ".mp4")],
)
def test_no_picture_and_no_sound_is_lost_between_two_files(
    tmp_path: Path, movies: MovieShelf, name: str, suffix: str
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies[name])
        await bench.until_finished(3)
        assert len(bench.recorder.status()) == 1
        [stream] = bench.hub
        assert not stream.readers  # a recording is no viewer

    bench = run(tmp_path, rule(tmp_path, suffix=suffix), scenario)
    files = bench.finished()
    assert_continuous(files, movies[name])
    lengths = [durations(file) for file in files]
    assert len(files) >= 4
    for length in lengths[:-1]:
        assert 1.9 < length["video"] < 3.1
        assert abs(length["video"] - length["audio"]) < 0.1
    assert abs(sum(each["video"] - each["audio"] for each in lengths[:-1])) < 0.1
    entries = read_index(tmp_path)
    assert [each.reason for each in entries][:3] == ["rotated"] * 3
    assert entries[-1].reason == "server stopped"
    for entry, file, length in zip(entries, files, lengths, strict=True):
        assert entry.stream == NAME
        assert entry.path.startswith(f"{NAME}/2")
        assert entry.bytes == file.stat().st_size
        assert entry.duration_s == pytest.approx(max(length.values()), abs=0.06)
    for before, after in pairwise(entries):
        assert before.ended == pytest.approx(after.began, abs=0.1)


def test_a_stream_is_recorded_from_its_first_picture_to_its_last(
    tmp_path: Path, movies: MovieShelf
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["b_frames"], loop=False)
        await bench.until_finished(1)
        assert not bench.recorder.status()

    bench = run(tmp_path, rule(tmp_path, seconds=60), scenario)
    [file] = bench.finished()
    assert pictures(file) == pictures(movies["b_frames"])
    assert read_index(tmp_path)[0].reason == "stream ended"


def test_a_recorder_that_was_killed_comes_back_and_repairs_its_index(
    tmp_path: Path, movies: MovieShelf
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["pal"])
        await bench.until(lambda: any(s.seconds > 3 for s in bench.recorder.status()))
        pid = bench.recorder.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await bench.until(lambda: "The recorder crashed (SIGKILL). It starts" in bench.message)
        await bench.until(lambda: any(s.seconds > 1 for s in bench.recorder.status()))
        assert bench.recorder.pid not in (None, pid)
        assert not bench.message

    bench = run(tmp_path, rule(tmp_path, seconds=60), scenario)
    entries = read_index(tmp_path)
    assert [each.reason for each in entries] == ["interrupted", "server stopped"]
    interrupted, after = bench.finished()
    assert durations(interrupted)["video"] > 1.9  # it can be played, but for the last second
    assert_continuous([interrupted], movies["pal"])
    assert_continuous([after], movies["pal"])


def test_a_disk_that_stalls_costs_no_picture(tmp_path: Path, movies: MovieShelf) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until(lambda: any(s.seconds > 1 for s in bench.recorder.status()))
        assert bench.recorder.pid
        os.kill(bench.recorder.pid, signal.SIGSTOP)
        await asyncio.sleep(4)
        os.kill(bench.recorder.pid, signal.SIGCONT)
        await bench.until(lambda: any(s.seconds > 6 for s in bench.recorder.status()))

    bench = run(tmp_path, rule(tmp_path, seconds=60), scenario)
    assert_continuous(bench.finished(), movies["large"])


def test_a_publisher_that_crashes_goes_on_in_the_same_file(
    tmp_path: Path, movies: MovieShelf
) -> None:
    async def scenario(bench: Bench) -> None:
        source = bench.play(movies["pal"])
        await bench.until(lambda: any(s.seconds > 1.5 for s in bench.recorder.status()))
        assert source._process
        os.kill(source._process.pid, signal.SIGKILL)
        await bench.until(lambda: any(s.seconds > 5 for s in bench.recorder.status()))

    bench = run(tmp_path, rule(tmp_path, seconds=60), scenario)
    [file] = bench.finished()
    assert len(pictures(file)) > 75
    assert durations(file)["video"] > 5


def test_the_oldest_recordings_make_room(tmp_path: Path, movies: MovieShelf) -> None:
    sizes: list[int] = []

    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until_finished(1)
        [first] = bench.finished()
        sizes.append(first.stat().st_size)
        await bench.until(lambda: not first.exists())
        assert first not in bench.finished()

    run(tmp_path, rule(tmp_path, seconds=1, keep_gb=0.000001), scenario)
    assert sizes[0] > 10_000


@pytest.fixture
def small_disk(tmp_path: Path, cannot_test: Callable[[str], NoReturn]) -> Iterator[Path]:
    """A disk of three megabytes."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        cannot_test("a full disk: only root may mount a small one")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_told_and_recording_goes_on_when_there_is_room(
    small_disk: Path, movies: MovieShelf
) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until(lambda: "the disk is full" in bench.message)
        assert bench.message.startswith(f"'{NAME}' is not recorded: '")
        [stream] = bench.hub
        assert stream.publication
        [full, *_] = bench.finished()
        kept.append(pictures(full))
        full.unlink()  # the user makes room
        await bench.until(lambda: not bench.message and bench.recorder.status()[0].seconds > 1)

    kept: list[list[str]] = []
    bench = run(small_disk, rule(small_disk, seconds=60), scenario)
    assert len(kept[0]) > 30
    assert len(pictures(bench.finished()[-1])) > 20


def test_recording_pauses_before_the_disk_is_full(small_disk: Path, movies: MovieShelf) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until(lambda: "less than the 1.0 MB to be kept free" in bench.message)
        assert os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize > 100_000
        [file] = bench.finished()
        assert read_index(small_disk)[0].reason == "disk full"
        file.unlink()
        await bench.until(lambda: not bench.message and bench.recorder.status()[0].seconds > 1)

    run(small_disk, rule(small_disk, seconds=60, min_free_gb=0.001), scenario)


def test_the_oldest_go_before_the_disk_is_full(small_disk: Path, movies: MovieShelf) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until_finished(1)
        [first] = bench.finished()
        await bench.until(lambda: not first.exists())
        assert not bench.message

    run(small_disk, rule(small_disk, seconds=1, min_free_gb=0.001, keep_days=1), scenario)


def test_a_file_that_may_not_grow_is_told(tmp_path: Path, movies: MovieShelf) -> None:
    async def scenario(bench: Bench) -> None:
        bench.play(movies["large"])
        await bench.until(lambda: any(s.seconds > 1 for s in bench.recorder.status()))
        assert bench.recorder.pid
        resource.prlimit(bench.recorder.pid, resource.RLIMIT_FSIZE, (400_000, 400_000))
        await bench.until(lambda: "could not be written to its end" in bench.message)
        assert "File too large" in bench.message
        await bench.until(lambda: any(s.seconds > 0.5 for s in bench.recorder.status()))

    bench = run(tmp_path, rule(tmp_path, seconds=60), scenario)
    assert read_index(tmp_path)[0].reason == "write error"
    assert_continuous(bench.finished()[:1], movies["large"])
