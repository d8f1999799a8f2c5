"""Timestamps of transport streams: unwrapped, repaired, made exact."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.multiplexer import FRAME, SECOND

from streamsocket.mpegts.timing import SoundClock, TimestampRepair, Unwrapper

STEP = SECOND // 25
WRAP = 1 << 33


@given(st.integers(0, WRAP - 1), st.lists(st.integers(-SECOND, SECOND * 60), max_size=50))
def test_33_bits_are_counted_on(first: int, steps: list[int]) -> None:
    unwrapper = Unwrapper()
    expected = unwrapper.unwrap(first)
    for step in steps:
        expected += step
        assert unwrapper.unwrap(expected % WRAP) == expected


def repaired(times: list[tuple[str, int, float]]) -> dict[str, list[int]]:
    """The repaired times of each track, of (kind, time, arrival)."""
    repair = TimestampRepair()
    found: dict[str, list[int]] = {"video": [], "audio": []}
    for kind, time, now in times:
        assert kind in ("video", "audio")
        found[kind].append(time + repair.offset(kind, time, now))  # type: ignore[arg-type]
    return found


def test_what_is_right_is_left_as_it_is() -> None:
    times = [("video", 1000 + number * STEP, number / 25) for number in range(100)]
    times += [("video", 1000 + 100 * STEP + 8 * SECOND, 4 + 8.0)]  # eight seconds were lost
    assert repaired(times)["video"] == [time for _, time, _ in times]


def test_both_tracks_are_moved_alike_when_the_sender_begins_anew() -> None:
    for jump in (-3 * SECOND, 3600 * SECOND, -50 * 3600 * SECOND):
        times = []
        for number in range(200):
            base = jump if number >= 100 else 0
            times.append(("video", base + number * STEP, number / 25))
            # The sound is 100 ms behind, and so crosses the border later.
            sound = number * STEP - SECOND // 10
            sound_base = jump if number >= 103 else 0
            times.append(("audio", sound_base + sound, number / 25))
        found = repaired(times)
        for kind in found.values():
            assert {later - earlier for earlier, later in pairwise(kind)} == {STEP}
        apart = {video - audio for video, audio in zip(*found.values(), strict=True)}
        assert apart == {SECOND // 10}


def test_a_track_that_jumps_alone_is_put_back_alone() -> None:
    times = []
    for number in range(200):
        times.append(("video", number * STEP, number / 25))
        jump = 60 * SECOND if number >= 100 else 0
        times.append(("audio", number * STEP + jump, number / 25))
    found = repaired(times)
    assert found["video"] == found["audio"]


def test_after_a_pause_that_timestamps_know_nothing_of_it_goes_on_by_the_clock() -> None:
    times = [("video", number * STEP, number / 25) for number in range(50)]
    times += [("video", number * STEP, 30 + number / 25) for number in range(50, 100)]
    found = repaired(times)["video"]
    assert found[50] - found[49] == round((30 + 1 / 25) * SECOND)
    assert found[51] - found[50] == STEP


def test_a_burst_faster_than_real_time_is_no_jump() -> None:
    times = [("video", number * STEP, number / 1000) for number in range(200)]
    assert repaired(times)["video"] == [time for _, time, _ in times]


def test_tracks_that_begin_far_apart_are_put_together() -> None:
    found = repaired([("video", 10 * SECOND, 1.0), ("audio", 9000 * SECOND, 1.5)])
    assert found == {"video": [10 * SECOND], "audio": [10 * SECOND + SECOND // 2]}


def test_sound_has_exact_timestamps() -> None:
    clock = SoundClock(44_100)
    stamps = [clock.stamp(round(n * 1024 * SECOND / 44_100), 1024) for n in range(500)]
    assert stamps == [n * 1024 for n in range(500)]


def test_a_gap_in_the_sound_stays_one() -> None:
    clock = SoundClock(48_000)
    assert [clock.stamp(each * FRAME, 1024) for each in (0, 1, 5, 6)] == [
        *(0, 1024, 5 * 1024, 6 * 1024)
    ]


def test_sound_that_would_sound_into_what_was_before_is_left_out() -> None:
    clock = SoundClock(48_000)
    stamps = [clock.stamp(each * FRAME, 1024) for each in (0, 1, 2, 3, 1, 2, 3, 4, 5)]
    assert stamps == [0, 1024, 2048, 3072, None, None, None, 4096, 5120]


def test_sound_whose_clock_is_slow_is_followed() -> None:
    clock = SoundClock(48_000)
    for number in range(20_000):
        shown = number * FRAME * 1001 // 1000
        stamp = clock.stamp(shown, 1024)
        assert stamp is not None
        assert abs(stamp - shown * 48_000 / SECOND) <= 49
