"""What waits for the decoder: bounded, and always decodable."""

from __future__ import annotations

from streamsocket.client.receiver import Received
from streamsocket.frames.coded_queue import Coded, CodedQueue, Connection
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264

CONNECTION = Connection(H264(b"", b""))


def coded(number: int, *, keyframe: bool = False, size: int = 10, at: float | None = None) -> Coded:
    unit = AccessUnit([bytes(size)], number, keyframe)
    return Coded(Received(0, unit, number / 30 if at is None else at), "sender", CONNECTION)


def drained(queue: CodedQueue) -> list[tuple[int, int]]:
    """What waits, and how many are told as left out before each."""
    taken = [queue.pop() for _ in range(len(queue))]
    return [(each.received.unit.timestamp, each.dropped) for each in taken]


def test_what_fits_comes_out_as_it_came_in() -> None:
    queue = CodedQueue(pictures=True, max_units=5)
    for number in range(5):
        queue.put(coded(number, keyframe=number == 0))
    assert drained(queue) == [(number, 0) for number in range(5)]


def test_when_full_it_goes_on_with_the_newest_keyframe() -> None:
    queue = CodedQueue(pictures=True, max_units=5)
    for number in range(6):
        queue.put(coded(number, keyframe=number in (0, 2, 4)))
    assert drained(queue) == [(4, 4), (5, 0)]


def test_without_a_keyframe_it_waits_for_one() -> None:
    queue = CodedQueue(pictures=True, max_units=5)
    for number in range(9):
        queue.put(coded(number, keyframe=number == 0))
    assert not queue
    queue.put(coded(9, keyframe=True))
    queue.put(coded(10))
    assert drained(queue) == [(9, 9), (10, 0)]


def test_bytes_are_bounded_too() -> None:
    queue = CodedQueue(pictures=True, max_units=100, max_bytes=100)
    queue.put(coded(0, keyframe=True, size=60))
    queue.put(coded(1, size=30))
    queue.put(coded(2, keyframe=True, size=60))
    assert drained(queue) == [(2, 2)]
    queue.put(coded(3, keyframe=True, size=101))
    assert not queue
    queue.put(coded(4))
    queue.put(coded(5, keyframe=True))
    assert drained(queue) == [(5, 2)]


def test_what_is_taken_makes_room() -> None:
    queue = CodedQueue(pictures=True, max_units=2, max_bytes=25)
    for number in range(50):
        queue.put(coded(number, keyframe=number == 0))
        assert queue.pop().dropped == 0


def test_a_keyframe_overtakes_what_is_late_where_that_is_wanted() -> None:
    queue = CodedQueue(pictures=True, max_units=100, late_s=0.2)
    queue.put(coded(0, keyframe=True, at=0.0))
    queue.put(coded(1, at=0.1))
    queue.put(coded(2, keyframe=True, at=0.15))
    assert len(queue) == 3, "nothing has waited for long"
    queue.put(coded(3, at=0.25))
    queue.put(coded(4, keyframe=True, at=0.3))
    assert drained(queue) == [(4, 4)]


def test_what_is_far_too_late_is_not_waited_for() -> None:
    queue = CodedQueue(pictures=True, max_units=100, late_s=0.2)
    for number in range(31):
        queue.put(coded(number, keyframe=number == 0))
    assert len(queue) == 31
    queue.put(coded(31))
    assert not queue
    queue.put(coded(32))
    queue.put(coded(33, keyframe=True))
    assert drained(queue) == [(33, 33)]


def test_sound_loses_its_oldest() -> None:
    queue = CodedQueue(pictures=False, max_units=3)
    for number in range(5):
        queue.put(coded(number, keyframe=True))
    assert drained(queue) == [(2, 2), (3, 0), (4, 0)]
