"""What waits to be decoded is live, or left out."""

from __future__ import annotations

from streamsocket.media.access_unit import AccessUnit
from streamsocket.transcode import backlog as backlog_module
from streamsocket.transcode.backlog import Backlog


def picture(number: int, *, keyframe: bool = False, size: int = 1000) -> AccessUnit:
    """One of 25 a second."""
    return AccessUnit([bytes(size)], number * 3600, keyframe)


def drained(backlog: Backlog) -> list[tuple[int, bool]]:
    """The numbers of all that wait, and whether they are encoded."""
    taken = []
    while following := backlog.next():
        taken.append((following[0].timestamp // 3600, following[1]))
    return taken


def test_who_keeps_up_gets_every_picture() -> None:
    backlog = Backlog(90_000)
    for number in range(100):
        backlog.add(picture(number, keyframe=number == 0), number / 25)
        assert drained(backlog) == [(number, True)]
    assert backlog.skipped == 0


def test_a_little_behind_is_caught_up_with() -> None:
    backlog = Backlog(90_000)
    for number in range(7):
        backlog.add(picture(number), 0.0)
    assert drained(backlog) == [(number, True) for number in range(7)]


def test_pictures_shown_at_long_intervals_are_few() -> None:
    backlog = Backlog(90_000)
    for number in range(0, 12, 3):  # eight a second
        backlog.add(picture(number), 0.0)
    assert [live for _, live in drained(backlog)] == [True] * 4


def test_what_is_behind_is_decoded_only_until_it_is_live_again() -> None:
    backlog = Backlog(90_000)
    for number in range(24):
        backlog.add(picture(number, keyframe=number == 0), 0.0)
    assert drained(backlog) == [(number, number >= 17) for number in range(24)]
    assert backlog.skipped == 17


def test_what_is_older_than_a_second_is_left_out_up_to_the_newest_keyframe() -> None:
    backlog = Backlog(90_000)
    for number in range(60):
        backlog.add(picture(number, keyframe=number % 25 == 0), 0.0)
    taken = drained(backlog)
    assert taken[0] == (50, False)
    assert taken[-1] == (59, True)
    assert backlog.skipped == 53


def test_pictures_in_another_order_are_not_late() -> None:
    backlog = Backlog(90_000)
    order = [0, 8, 4, 2, 1, 3, 6, 5, 7]
    for at, number in enumerate(order):
        backlog.add(picture(number, keyframe=number == 0), at / 25)
        assert drained(backlog) == [(number, True)]


def test_where_decoding_does_not_keep_up_either_the_next_keyframe_is_waited_for() -> None:
    backlog = Backlog(90_000)
    for number in range(100):
        backlog.add(picture(number, keyframe=number == 0), number / 25)
    assert backlog.wants_keyframe
    assert len(backlog) == 0
    assert backlog.skipped == 100
    backlog.add(picture(100, keyframe=True), 4.0)
    assert not backlog.wants_keyframe
    assert drained(backlog) == [(100, True)]
    for number in range(200):
        backlog.add(picture(number, keyframe=number == 199), number / 25)
    assert drained(backlog) == [(199, True)]


def test_it_is_bounded_in_bytes() -> None:
    backlog = Backlog(90_000)
    for number in range(100):
        backlog.add(picture(number, size=1 << 20), 0.0)
        assert backlog._bytes <= backlog_module.MAX_BYTES
    assert backlog.wants_keyframe


def test_time_that_jumps_back_with_a_keyframe_is_live() -> None:
    backlog = Backlog(90_000)
    backlog.add(picture(10_000, keyframe=True), 0.0)
    drained(backlog)
    for number in range(4):
        backlog.add(picture(number, keyframe=number == 0), 1.0)
    assert drained(backlog) == [(number, True) for number in range(4)]
