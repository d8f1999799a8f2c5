"""A source's own end: waiting, pacing, reading ahead."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from streamsocket.media.codec import Kind
from streamsocket.rtp.batch import Batch
from streamsocket.sources import link
from streamsocket.sources.ahead import ReadAhead
from streamsocket.sources.outlet import Outlet, StoppedError
from streamsocket.sources.pacer import Pacer
from streamsocket.sources.schedule import Unit
from streamsocket.sources.waker import Waker


@pytest.fixture
def ends() -> Iterator[tuple[Outlet, socket.socket]]:
    theirs, ours = socket.socketpair()
    with theirs, ours:
        yield Outlet(ours), theirs


def _batch(time_s: float = 0.0) -> Batch:
    return Batch(bytes(20), (20,), 7, time_s, True, True)


def _units(kind: Kind, count: int, apart_s: float = 0.04, size: int = 10) -> Iterator[Unit]:
    track = 0 if kind == "video" else 1
    for number in range(count):
        batch = Batch(bytes(size), (size,), number, number * apart_s + 0.08, True, True)
        yield Unit(kind, track, number * apart_s, batch, apart_s)


def test_it_waits_until_the_moment_and_not_much_longer(
    ends: tuple[Outlet, socket.socket],
) -> None:
    deadline = time.monotonic() + 0.05
    ends[0].wait_until(deadline)
    assert 0 <= time.monotonic() - deadline < 0.5


@pytest.mark.parametrize(
    ("commands", "muted", "hidden"),
    [
        (link.MUTE, True, False),
        (link.HIDE, False, True),
        (link.MUTE + link.HIDE + link.UNMUTE, False, True),
        (link.HIDE + link.SHOW + link.MUTE, True, False),
    ],
)
def test_the_last_word_on_sound_and_picture_counts(
    commands: bytes, muted: bool, hidden: bool, ends: tuple[Outlet, socket.socket]
) -> None:
    outlet, theirs = ends
    theirs.send(commands)
    outlet.wait_until(time.monotonic())
    assert (outlet.muted, outlet.hidden) == (muted, hidden)


def test_another_thread_ends_the_wait(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, theirs = ends
    with closing(Waker()) as waker:
        timer = threading.Timer(0.05, waker.wake)
        timer.start()
        outlet.wait_for(waker, time.monotonic() + 20)
        timer.join()
        began = time.monotonic()
        outlet.wait_for(waker, began + 0.05)  # it was heard
        assert time.monotonic() - began >= 0.05
        theirs.send(link.MUTE)
        outlet.wait_for(waker, time.monotonic() + 20)
        assert outlet.muted
        for _ in range(100_000):  # more than a socket holds: nobody is kept waiting by that
            waker.wake()


@pytest.mark.parametrize("command", [link.STOP, link.KEYFRAME + link.STOP])
def test_a_stop_ends_the_waiting(ends: tuple[Outlet, socket.socket], command: bytes) -> None:
    outlet, server = ends
    server.send(command)
    with pytest.raises(StoppedError):
        outlet.wait_until(time.monotonic() + 60)


def test_the_end_of_the_connection_is_a_stop(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, server = ends
    server.close()
    with pytest.raises(StoppedError):
        outlet.wait_until(time.monotonic() + 60)
    with pytest.raises(StoppedError):
        outlet.event(link.Ended())


def test_a_keyframe_is_asked_for_once(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, server = ends
    server.send(link.KEYFRAME)
    outlet.wait_until(time.monotonic())
    assert outlet.keyframe_wanted()
    assert not outlet.keyframe_wanted()


def test_batches_leave_with_the_wall_clocks_time(ends: tuple[Outlet, socket.socket]) -> None:
    outlet, server = ends
    pacer = Pacer(outlet, start_s=10.0, delay_s=0.1, at=time.monotonic())
    pacer.wait(10.02)
    pacer.send([link.TrackBatch(0, _batch(10.02)), link.TrackBatch(1, _batch(10.0))])
    first, second = link.Decoder().feed(server.recv(1000))
    assert isinstance(first, link.TrackBatch)
    assert isinstance(second, link.TrackBatch)
    assert first.batch.capture_time == pytest.approx(time.time() - 0.1, abs=0.2)
    assert first.batch.capture_time - second.batch.capture_time == pytest.approx(0.02, abs=1e-5)


def test_after_a_long_sleep_nothing_is_made_up_for(ends: tuple[Outlet, socket.socket]) -> None:
    pacer = Pacer(ends[0], start_s=0.0, delay_s=0.0, at=time.monotonic() - 99.95)
    pacer.wait(0.0)
    assert abs(pacer.late_s(0.0)) < 0.9
    assert pacer.capture_time(0.0) == pytest.approx(time.time(), abs=0.9)


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_reading_ahead_stops_at_a_second() -> None:
    read: list[Unit] = []

    def units() -> Iterator[Unit]:
        for unit in _units("video", 1000):
            read.append(unit)
            yield unit

    with ReadAhead(units(), ["video"]) as ahead:
        _until(ahead.settled)
        assert 25 <= len(read) <= 28
        assert ahead.reorder_delay_s() == pytest.approx(0.08)


def test_everything_that_is_read_comes_out_in_order() -> None:
    due = []
    with ReadAhead(_units("video", 200), ["video"]) as ahead:
        while True:
            _until(ahead.ready)
            group = ahead.pop()
            if group is None:
                break
            due.append(group[0])
    assert due == [number * 0.04 for number in range(200)]


def test_a_track_that_never_comes_does_not_hold_up_the_other() -> None:
    with ReadAhead(_units("video", 1000), ["video", "audio"]) as ahead:
        _until(ahead.settled)
        for number in range(500):
            _until(ahead.ready)
            group = ahead.pop()
            assert group
            assert group[0] == number * 0.04


def test_reading_ahead_is_bounded_in_bytes() -> None:
    read: list[Unit] = []

    def units() -> Iterator[Unit]:
        for unit in _units("video", 1000, size=4 << 20):
            read.append(unit)
            yield unit

    with ReadAhead(units(), ["video"]) as ahead:
        _until(ahead.settled)
        assert len(read) <= 10


def test_what_reading_raises_is_raised_after_what_was_read() -> None:
    def units() -> Iterator[Unit]:
        yield from _units("video", 2)
        raise ValueError("damaged")

    with ReadAhead(units(), ["video"]) as ahead:
        _until(ahead.settled)
        assert ahead.pop()
        assert ahead.pop()
        with pytest.raises(ValueError, match="damaged"):
            ahead.pop()
