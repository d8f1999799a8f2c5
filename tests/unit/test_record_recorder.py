"""Which streams the server has its recorder follow, and what it does when that one is gone."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from itertools import count

import pytest
from tests.unit.hub_helpers import SOUND, VIDEO, HubUnderTest, batch, hub_under_test

from streamsocket.record import process as process_module
from streamsocket.record.link import (
    Decoder,
    Event,
    Follow,
    KeyframeWanted,
    Lost,
    Over,
    RecordingState,
    Report,
    encode_event,
)
from streamsocket.record.recorder import Recorder
from streamsocket.record.rules import Rule, rule_for, rules_from_json, rules_to_json
from streamsocket.settings import RecordSettings
from streamsocket.taps.packets import Packets


class FakeProcess:
    """A process that has ended by the time anybody looks."""

    pids = count(1000)
    returncode = -11

    def __init__(self) -> None:
        self.pid = next(self.pids)

    def poll(self) -> int:
        return self.returncode


class Bench:
    """A recorder with the far end of its process's socket."""

    def __init__(self, hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
        self.hub = hub
        self.theirs: socket.socket | None = None
        self.refused = False
        self._decoder = Decoder()
        monkeypatch.setattr(process_module, "start_child", self._start)
        monkeypatch.setattr(process_module, "_FIRST_RETRY_S", 0.05)
        rules = [Rule(streams="live/*", keep_days=1), Rule(streams="lobby")]
        self.recorder = Recorder(hub.loop, hub.hub, rules)
        self.recorder._process._retry_s = 0.05

    def _start(self, module: str, argument: str) -> tuple[FakeProcess, socket.socket]:
        assert module == "streamsocket.record.worker"
        assert len(rules_from_json(argument)) == 2
        if self.refused:
            raise OSError("Cannot allocate memory")
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.settimeout(0)
        self._decoder = Decoder()
        return FakeProcess(), ours

    def told(self) -> list[Event | Packets]:
        """What the process is told by now."""
        self.hub.run(0.12)
        assert self.theirs
        try:
            return list(self._decoder.feed(self.theirs.recv(1 << 20)))
        except BlockingIOError:
            return []

    def tell(self, event: Event) -> None:
        assert self.theirs
        self.theirs.send(encode_event(event))
        self.hub.run(0.02)

    def close(self) -> None:
        if self.theirs:
            self.theirs.close()
        self.hub.loop.run_until_complete(self.recorder.stop())


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    with hub_under_test() as hub:
        made = Bench(hub, monkeypatch)
        yield made
        made.close()


def test_streams_that_are_there_and_streams_that_come_are_followed(bench: Bench) -> None:
    bench.recorder.start()
    [follow] = bench.told()
    stream = bench.hub.stream
    origins = tuple(track.place(0.0) for track in stream.tracks)
    assert follow == Follow(1, "lobby", 1, (VIDEO, SOUND), origins)
    bench.hub.hub.publish("live/yard", [SOUND])
    bench.hub.hub.publish("yard", [SOUND])  # no rule is for it
    [follow] = bench.told()
    assert isinstance(follow, Follow)
    assert (follow.stream, follow.rule) == ("live/yard", 0)
    assert [status.stream for status in bench.recorder.status()] == ["lobby", "live/yard"]


def test_what_a_stream_flushes_is_passed_on_until_it_ends(bench: Bench) -> None:
    bench.recorder.start()
    assert bench.hub.keyframe_requests == 1
    bench.hub.send(0, batch(timestamp=0, keyframe=True))
    assert [type(each) for each in bench.told()] == [Follow, Packets]
    stream = bench.hub.stream
    bench.hub.publication.close()
    assert bench.told() == [Lost(1)]
    bench.hub.publication = bench.hub.publish()
    [follow] = bench.told()
    assert isinstance(follow, Follow)
    assert follow.recording == 1
    bench.hub.hub.remove("lobby")
    assert bench.told() == [Over(1)]
    assert not stream.taps
    assert bench.recorder.status() == []


def test_another_stream_of_the_same_name_is_another_recording(bench: Bench) -> None:
    bench.recorder.start()
    bench.told()
    bench.hub.publication.close()
    bench.hub.hub.publish("lobby", [SOUND])  # without a picture it is another stream
    lost, over, follow = bench.told()
    assert (lost, over) == (Lost(1), Over(1))
    assert isinstance(follow, Follow)
    assert follow.recording == 2


def test_how_recordings_are_doing_is_told(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.recorder.start()
    bench.tell(
        Report((RecordingState(1, "a.mp4", 1.5, 10, None), RecordingState(9, None, 0, 0, "")))
    )
    [status] = bench.recorder.status()
    assert (status.path, status.seconds, status.bytes, status.message) == ("a.mp4", 1.5, 10, None)
    for _ in range(3):
        bench.tell(Report((RecordingState(1, None, 0, 0, "The disk is full."),)))
    assert bench.recorder.status()[0].message == "The disk is full."
    assert [record.message for record in caplog.records] == ["The disk is full."]


def test_what_the_disk_was_too_slow_for_is_told(bench: Bench) -> None:
    bench.recorder.start()
    assert bench.recorder._process.feed
    bench.recorder._process.feed.overrun = True
    bench.hub.send(0, batch(timestamp=0, packets=3))
    [status] = bench.recorder.status()
    assert status.skipped_packets == 3
    assert status.message == "The disk is too slow: 3 packets were not recorded."


def test_a_keyframe_that_a_new_file_waits_for_is_asked_of_the_publisher(bench: Bench) -> None:
    bench.recorder.start()
    bench.hub.stream.tracks[0].keyframe_requested_at = -10.0
    before = bench.hub.keyframe_requests
    bench.tell(KeyframeWanted(1))
    bench.tell(KeyframeWanted(5))
    assert bench.hub.keyframe_requests == before + 1


def test_a_recorder_that_crashed_is_started_again_and_told_everything_anew(bench: Bench) -> None:
    bench.recorder.start()
    bench.hub.send(0, batch(timestamp=0, keyframe=True))
    assert bench.told()
    assert bench.theirs
    bench.theirs.close()
    pid = bench.recorder.pid
    bench.hub.run(0.02)
    assert bench.recorder.message == "The recorder crashed (SIGSEGV). It starts again in 0.05 s."
    assert bench.recorder.status()[0].message == bench.recorder.message
    assert bench.recorder.pid is None
    bench.hub.send(0, batch(timestamp=3000))
    bench.hub.run(0.1)
    assert bench.recorder.message is None
    assert bench.recorder.pid not in (None, pid)
    follow, *packets = bench.told()
    assert isinstance(follow, Follow)
    assert len(packets) == 2  # the group of pictures that viewers would get too
    assert len(bench.hub.stream.taps) == 1


def test_nonsense_from_the_recorder_ends_it(bench: Bench) -> None:
    bench.recorder.start()
    assert bench.theirs
    bench.theirs.send(b"X" * 100)
    bench.hub.run(0.02)
    assert "crashed" in (bench.recorder.message or "")


def test_a_recorder_that_cannot_be_started_is_tried_again(bench: Bench) -> None:
    bench.refused = True
    bench.recorder.start()
    assert bench.recorder.message == (
        "The recorder's process cannot be started: Cannot allocate memory. "
        "It starts again in 0.05 s."
    )
    bench.refused = False
    bench.hub.run(0.1)
    assert bench.recorder.message is None
    assert isinstance(bench.told()[0], Follow)


def test_stopping_lets_the_recorder_have_all_there_is(bench: Bench) -> None:
    bench.recorder.start()
    bench.hub.send(0, batch(timestamp=0, keyframe=True))
    bench.hub.loop.run_until_complete(bench.recorder.stop())
    assert [type(each) for each in bench.told()] == [Follow, Packets]
    assert bench.theirs
    assert bench.theirs.recv(1) == b""
    assert not bench.hub.stream.taps


def test_the_first_rule_that_fits_says_how() -> None:
    rules = [Rule(streams="live/*"), Rule(streams="*/lobby"), Rule(streams="*")]
    names = ["live/lobby", "old/lobby", "live/a/b", "x"]
    assert [rule_for(rules, name) for name in names] == [0, 1, 0, 2]
    assert rule_for(rules[:2], "x") is None
    assert rules_from_json(rules_to_json(rules)) == rules


def test_rules_are_what_the_settings_say() -> None:
    assert Rule(**RecordSettings().model_dump()) == Rule()
    assert set(RecordSettings.model_fields) == {field.name for field in dataclasses.fields(Rule)}
    rule = Rule(rotate_minutes=0, rotate_mb=1.5, keep_days=2)
    assert (rule.rotation.seconds, rule.rotation.bytes) == (None, 1_500_000)
    assert rule.retention.seconds == 2 * 86_400
