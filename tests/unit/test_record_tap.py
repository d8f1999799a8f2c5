"""The way from the streams to the recorder: gathered, bounded, and never in anybody's way."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from tests.unit.hub_helpers import HubUnderTest, batch, hub_under_test

from streamsocket.record.link import Decoder, Event, Over, encode_event
from streamsocket.record.tap import Tap
from streamsocket.taps.feed import GATHER_BYTES, Feed
from streamsocket.taps.packets import Packets


class FeedUnderTest:
    """A feed of a hub's stream, and the recorder's end of it."""

    def __init__(self, hub: HubUnderTest) -> None:
        self.hub = hub
        ours, self.theirs = socket.socketpair()
        ours.setblocking(False)
        self.theirs.setblocking(False)
        self._ours = ours
        self._decoder = Decoder()
        self.feed = Feed(hub.loop, ours, gather_s=0.1, max_age_s=10.0, max_bytes=64 << 20)
        self.tap: Tap | None = None

    def follow(self) -> Tap:
        self.tap = Tap(self.feed, 1, self.hub.stream.tracks)
        self.hub.stream.taps.append(self.tap)
        return self.tap

    def received(self) -> list[Event | Packets]:
        """What has come by now, everything that waits included."""
        messages: list[Event | Packets] = []
        for _ in range(3000):
            self.hub.run(0)
            try:
                messages += self._decoder.feed(self.theirs.recv(1 << 20))
            except BlockingIOError:
                if not self.feed._waiting:
                    break
        return messages

    def close(self) -> None:
        self.feed.close()
        self._ours.close()
        self.theirs.close()


@pytest.fixture
def bench() -> Iterator[FeedUnderTest]:
    with hub_under_test() as hub, _closing(FeedUnderTest(hub)) as under_test:
        yield under_test


@contextmanager
def _closing(under_test: FeedUnderTest) -> Iterator[FeedUnderTest]:
    try:
        yield under_test
    finally:
        under_test.close()


def pictures(messages: list[Event | Packets]) -> list[Packets]:
    return [each for each in messages if isinstance(each, Packets) and each.track == 0]


def gops(bench: FeedUnderTest, count: int, *, first: int = 0, size: int = 1000) -> None:
    """Send groups of ten pictures, a frame of sound with each."""
    for number in range(first * 10, (first + count) * 10):
        bench.hub.publication.write(1, batch(timestamp=number * 1600, size=100))
        bench.hub.publication.write(
            0, batch(timestamp=number * 3000, keyframe=number % 10 == 0, size=size)
        )
        bench.hub.publication.flush()


def test_everything_arrives_in_order_sound_first(bench: FeedUnderTest) -> None:
    bench.follow()
    gops(bench, 3)
    bench.feed.gather(encode_event(Over(1)))
    bench.hub.run(0.15)
    *packets, last = bench.received()
    assert last == Over(1)
    assert [each.track for each in packets if isinstance(each, Packets)] == [1, 0] * 30
    shown = pictures(packets)
    assert [each.keyframe for each in shown] == ([True] + [False] * 9) * 3
    steps = [each.sequence - shown[0].sequence for each in shown]
    assert steps == list(range(30))


def test_what_streams_flush_is_gathered(bench: FeedUnderTest) -> None:
    bench.follow()
    sends = []
    send = bench.feed._send
    bench.feed._send = lambda data: sends.append(len(data)) or send(data)  # type: ignore[method-assign,func-returns-value]
    gops(bench, 20)
    bench.hub.run(0.15)
    assert sum(sends) > 200 * 1100
    assert len(sends) == -(-sum(sends) // (GATHER_BYTES + 1100))


def test_a_recording_begins_with_the_group_of_pictures_that_is_there(bench: FeedUnderTest) -> None:
    gops(bench, 1)
    bench.hub.publication.write(0, batch(timestamp=90_000, size=500))  # not flushed yet
    bench.follow()
    bench.hub.publication.flush()
    bench.hub.run(0.15)
    sequences = [each.sequence for each in pictures(bench.received())]
    assert len(sequences) == 12  # the last comes twice, which its number tells
    assert sequences[-1] == sequences[-2]
    assert sequences[:-1] == list(range(sequences[0], sequences[0] + 11))


def test_a_stall_is_bridged(bench: FeedUnderTest) -> None:
    tap = bench.follow()
    gops(bench, 20, size=60_000)
    assert bench.feed._waiting_bytes > 5_000_000
    assert len(pictures(bench.received())) == 200
    assert not bench.feed._waiting_bytes
    assert tap.skipped_packets == 0


def test_past_its_bound_a_stall_costs_whole_groups_and_is_counted(bench: FeedUnderTest) -> None:
    bench.feed.max_bytes = 3_000_000
    tap = bench.follow()
    gops(bench, 20, size=60_000)
    assert bench.feed.overrun
    assert bench.feed._waiting_bytes < 3_000_000 + 70_000
    assert tap.skipped_packets > 100
    before = bench.received()
    assert not bench.feed.overrun
    bench.hub.send(0, batch(timestamp=10**6))
    assert not pictures(bench.received())
    gops(bench, 1, first=100)
    bench.hub.run(0.15)
    after = bench.received()
    first = after[0]
    assert isinstance(first, Packets)
    assert pictures(after)[0].keyframe
    assert len(pictures(after)) == 10
    lost = pictures(after)[0].sequence - pictures(before)[-1].sequence - 1
    assert lost == 200 - len(pictures(before)) + 1


def test_what_waits_for_too_long_counts_as_too_much(bench: FeedUnderTest) -> None:
    bench.feed.max_age_s = 0.05
    bench.follow()
    gops(bench, 1, size=60_000)
    gops(bench, 4, first=1, size=60_000)
    assert bench.feed._waiting
    assert not bench.feed.overrun
    bench.hub.run(0.06)
    gops(bench, 1, first=5, size=60_000)
    assert bench.feed.overrun


def test_a_recorder_that_reads_nothing_for_ever_is_given_up(bench: FeedUnderTest) -> None:
    bench.feed.max_bytes = 200_000
    for _ in range(100_000):
        bench.feed.gather(encode_event(Over(1)))
    assert not bench.feed._waiting
    while bench.theirs.recv(1 << 20):
        pass  # to the end: the socket was shut down


def test_a_recorder_that_is_gone_is_no_error(bench: FeedUnderTest) -> None:
    bench.follow()
    bench.theirs.close()
    gops(bench, 20)
    bench.hub.run(0.15)
    gops(bench, 1)
    assert not bench.feed._waiting


def test_drain_returns_when_all_is_written_or_time_is_over(bench: FeedUnderTest) -> None:
    bench.follow()
    bench.feed.gather(encode_event(Over(1)))
    bench.hub.loop.run_until_complete(bench.feed.drain(5))
    assert bench.received() == [Over(1)]
    gops(bench, 10, size=60_000)
    bench.hub.loop.run_until_complete(bench.feed.drain(0.05))
    assert bench.feed._waiting
