"""Pictures are decoded beside, and taken when they are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from player_helpers import RATE, START, coded_pictures, received

from streamsocket.player.picture_track import MAX_DECODED, MAX_WAITING, PictureTrack

PATIENCE_S = 10.0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.002)


@pytest.fixture
def ready() -> list[float]:
    return []


@pytest.fixture
def track(ready: list[float]) -> Iterator[PictureTrack]:
    codec, _ = coded_pictures(1)
    track = PictureTrack(
        codec,
        clock=lambda: START,
        on_ready=lambda captured, at: ready.append(captured),
        on_picture=lambda: None,
    )
    yield track
    track.close()


def test_pictures_are_taken_when_their_time_has_come(track: PictureTrack) -> None:
    _, units = coded_pictures(4)
    for unit in units:
        track.put(received(unit))
    until(lambda: track.decoded == 4)

    assert track.take(START - 0.001) is None
    first = track.take(START)
    assert first is not None
    assert first.capture_time == START
    assert track.next_capture_time() == pytest.approx(START + 1 / RATE)


def test_of_several_that_are_due_the_newest_is_taken(track: PictureTrack) -> None:
    _, units = coded_pictures(4)
    for unit in units:
        track.put(received(unit))
    until(lambda: track.decoded == 4)

    picture = track.take(START + 2.5 / RATE)

    assert picture is not None
    assert picture.capture_time == pytest.approx(START + 2 / RATE)
    assert track.dropped == 2


def test_the_first_is_there_at_once(track: PictureTrack) -> None:
    _, units = coded_pictures(2)
    assert track.take_first() is None
    track.put(received(units[0]))
    until(lambda: track.decoded == 1)

    picture = track.take_first()

    assert picture is not None
    assert picture.capture_time == START


def test_only_a_few_wait_decoded(track: PictureTrack) -> None:
    _, units = coded_pictures(MAX_DECODED + 10)
    for unit in units:
        track.put(received(unit))
    until(lambda: track.decoded == MAX_DECODED)

    assert track.take(START) is not None
    until(lambda: track.decoded == MAX_DECODED + 1)


def test_too_many_that_wait_are_given_up_until_a_keyframe(track: PictureTrack) -> None:
    _, units = coded_pictures(MAX_DECODED + MAX_WAITING + 50)
    for unit in units:
        unit.keyframe = unit is units[0]
        track.put(received(unit))

    assert track.dropped > MAX_WAITING
    dropped = track.dropped
    track.put(received(units[1]))
    assert track.dropped == dropped + 1
    track.put(received(units[0]))
    assert track.dropped == dropped + 1


def test_a_picture_says_whether_it_is_whole(track: PictureTrack) -> None:
    _, units = coded_pictures(2)
    track.put(received(units[0]))
    track.put(received(units[1], intact=False))
    until(lambda: track.decoded == 2)

    first, second = track.take_first(), track.take_first()

    assert first is not None
    assert first.intact
    assert second is not None
    assert not second.intact


def test_it_is_told_when_each_was_ready(track: PictureTrack, ready: list[float]) -> None:
    _, units = coded_pictures(3)
    for unit in units:
        track.put(received(unit))
    until(lambda: len(ready) == 3)

    assert ready == pytest.approx([START + number / RATE for number in range(3)])


def test_closing_ends_the_thread(track: PictureTrack) -> None:
    track.close()

    assert not [t for t in threading.enumerate() if t.name == "decode video"]
