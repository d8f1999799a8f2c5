"""The recorder's process from within: free space, retention, repair, reports."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.unit.hub_helpers import SOUND, VIDEO

from streamsocket.record import worker as worker_module
from streamsocket.record.index import INDEX_NAME, Index, Recorded, read_index
from streamsocket.record.link import Decoder, Event, Follow, Lost, Over, Report
from streamsocket.record.rules import Rule
from streamsocket.record.worker import Worker
from streamsocket.taps.packets import Packets

GB = 10**9


class _Usage(NamedTuple):
    free: int


class Bench:
    """A worker, the server's end of its socket, and a disk that is as full as one likes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ours, self.theirs = socket.socketpair()
        self.ours.setblocking(False)
        self._decoder = Decoder()
        self.capacity = 100 * GB
        monkeypatch.setattr(worker_module.shutil, "disk_usage", self._usage)
        self.roots: list[Path] = []

    def _usage(self, root: Path) -> _Usage:
        used = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        return _Usage(self.capacity - used)

    def worker(self, *rules: Rule) -> Worker:
        return Worker(rules, self.theirs)

    def told(self) -> list[Event | Packets]:
        try:
            return list(self._decoder.feed(self.ours.recv(1 << 20)))
        except BlockingIOError:
            return []


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    made = Bench(monkeypatch)
    yield made
    made.ours.close()
    made.theirs.close()


def store(root: Path, name: str, *, days_ago: float, size: int = 0, stream: str = "lobby") -> Path:
    """A finished recording, in a file with a hole of that size."""
    ended = time.time() - days_ago * 86_400
    index = Index(root)
    index.begin(Recorded(name, stream, ended - 60, ()))
    path = root / name
    path.touch()
    os.truncate(path, size)
    index.end(name, ended=ended, duration_s=60, size=size, reason="rotated")
    return path


def rule(root: Path, **settings: float | str) -> Rule:
    return Rule(path=f"{root}/{{time}}.mp4", **settings)  # type: ignore[arg-type]


def follow(number: int = 1, which: int = 0) -> Follow:
    return Follow(number, "lobby", which, (VIDEO, SOUND), (0, 0))


def test_what_is_too_old_is_deleted_and_strangers_are_left_alone(
    bench: Bench, tmp_path: Path
) -> None:
    old = store(tmp_path, "old.mp4", days_ago=8)
    new = store(tmp_path, "new.mp4", days_ago=1)
    stranger = tmp_path / "holiday.mp4"
    stranger.touch()
    os.utime(stranger, (0, 0))
    bench.worker(rule(tmp_path, keep_days=7)).tick(0)
    assert not old.exists()
    assert new.exists()
    assert stranger.exists()
    assert [each.path for each in read_index(tmp_path)] == ["new.mp4"]


def test_each_rule_deletes_its_own_streams_only(bench: Bench, tmp_path: Path) -> None:
    door = store(tmp_path, "door.mp4", days_ago=8, stream="door")
    lobby = store(tmp_path, "lobby.mp4", days_ago=8)
    forgotten = store(tmp_path, "yard.mp4", days_ago=8, stream="yard")
    rules = rule(tmp_path, streams="door", keep_days=30), rule(tmp_path, streams="l*", keep_days=1)
    bench.worker(*rules).tick(0)
    assert door.exists()
    assert forgotten.exists()
    assert not lobby.exists()


def test_many_files_are_deleted_in_portions(bench: Bench, tmp_path: Path) -> None:
    for number in range(50):
        store(tmp_path, f"{number:02}.mp4", days_ago=100 - number)
    worker = bench.worker(rule(tmp_path, keep_days=7))
    left = []
    for second in range(4):
        worker.tick(float(second))
        left.append(len(list(tmp_path.glob("*.mp4"))))
    assert left == [30, 10, 0, 0]


def test_a_full_disk_loses_the_oldest_where_any_may_go(bench: Bench, tmp_path: Path) -> None:
    files = [store(tmp_path, f"{n}.mp4", days_ago=9 - n, size=GB) for n in range(4)]
    worker = bench.worker(rule(tmp_path, keep_days=100, min_free_gb=1))
    bench.capacity = 4 * GB + GB // 2
    worker.handle(follow(), 0)
    worker.tick(0)
    assert [path.exists() for path in files] == [False, True, True, True]
    [report] = bench.told()
    assert isinstance(report, Report)
    assert report.recordings[0].message is None


def test_a_full_disk_where_nothing_may_go_pauses_until_there_is_room(
    bench: Bench, tmp_path: Path
) -> None:
    file = store(tmp_path, "a.mp4", days_ago=1000, size=GB)
    worker = bench.worker(rule(tmp_path, min_free_gb=1))
    worker.handle(follow(1), 0)
    bench.capacity = GB + GB // 2
    worker.tick(0)
    worker.handle(follow(2), 0)
    worker.tick(1)
    *_, report = bench.told()
    assert isinstance(report, Report)
    assert [state.message for state in report.recordings] == [
        f"The disk of '{tmp_path}' has 500.0 MB left, less than the 1.00 GB to be kept free: "
        "recording goes on when there is room."
    ] * 2
    assert file.exists()
    file.unlink()  # the user makes room
    worker.tick(2)
    *_, report = bench.told()
    assert isinstance(report, Report)
    assert [state.message for state in report.recordings] == [None, None]


def test_a_disk_at_its_limit_does_not_go_to_and_fro(bench: Bench, tmp_path: Path) -> None:
    worker = bench.worker(rule(tmp_path, min_free_gb=1))
    worker.handle(follow(), 0)
    for capacity, paused in [(1.01, False), (0.99, True), (1.01, True), (1.06, False)]:
        bench.capacity = round(capacity * GB)
        worker.tick(0)
        *_, report = bench.told()
        assert isinstance(report, Report)
        assert bool(report.recordings[0].message) == paused, capacity


def test_what_was_cut_off_is_repaired_at_the_start(bench: Bench, tmp_path: Path) -> None:
    Index(tmp_path).begin(Recorded("cut.mp4", "lobby", 1.0, ()))
    (tmp_path / "cut.mp4").write_bytes(b"picture")
    bench.worker(rule(tmp_path))
    [entry] = read_index(tmp_path)
    assert (entry.reason, entry.bytes) == ("interrupted", 7)


def test_streams_come_and_go(bench: Bench, tmp_path: Path) -> None:
    worker = bench.worker(rule(tmp_path, min_free_gb=0))
    for message in (follow(1), follow(2), follow(1), Lost(1), Over(2), Over(3), Lost(3)):
        worker.handle(message, 0)
    worker.tick(1)
    [report] = bench.told()
    assert isinstance(report, Report)
    assert [state.recording for state in report.recordings] == [1]
    assert not (tmp_path / INDEX_NAME).exists()  # nothing came, nothing was written
    worker.close()


def test_a_stream_that_is_beyond_us_ends_no_other(
    bench: Bench,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    worker = bench.worker(rule(tmp_path, min_free_gb=0))
    worker.handle(follow(1), 0)
    worker.handle(follow(2), 0)
    packets = Packets(1, 0, True, 0, 5, 1.7e9, (15,), memoryview(bytes(12) + b"\x65\x88\x80"))

    def stumble(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(worker._known[1].recording, "_turn_over", stumble)
    worker.handle(packets._replace(data=memoryview(b"\x80\x80" + packets.data[2:])), 0)
    worker.tick(1)
    *_, report = bench.told()
    assert isinstance(report, Report)
    assert [state.message for state in report.recordings] == [
        "'lobby' is not recorded: 'a bug'.",
        None,
    ]
    assert "stumble" in capsys.readouterr().err
