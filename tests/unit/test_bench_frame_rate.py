"""How delivered pictures are held against a file."""

from __future__ import annotations

import pytest
from bench.frame_rate import Timeline, compare

PERIOD = 10 * 3000.0 + 900
PRESENTED = [3000.0 * n for n in (0, 3, 1, 2, 6, 4, 5, 9, 7, 8)]
TIMELINE = Timeline(PRESENTED, [3000.0 * n - 6000 for n in range(10)], PERIOD)


def received(begin: int, end: int, period: float = PERIOD) -> list[int]:
    return [round(777 + PRESENTED[n % 10] + n // 10 * period) for n in range(begin, end)]


def test_all_pictures_are_there_across_loops() -> None:
    delivered = compare(received(4, 37), TIMELINE)
    assert (delivered.missing, delivered.loops) == (0, 3)
    # From 4 to 36: two steps in decoding order, and three whole periods less four steps.
    assert delivered.span_s == pytest.approx((2 * 3000 + 3 * PERIOD) / 90_000)


def test_a_seam_may_be_off_by_less_than_a_frame_of_sound() -> None:
    assert compare(received(4, 37, PERIOD - 900), TIMELINE).missing == 0
    assert compare(received(4, 37, PERIOD + 9000), TIMELINE).missing > 0


@pytest.mark.parametrize("lost", [range(10, 11), range(12, 15), range(19, 21)])
def test_missing_pictures_are_counted(lost: range) -> None:
    times = received(2, 38)
    assert compare([t for n, t in enumerate(times) if n not in lost], TIMELINE).missing == len(lost)


def test_a_timestamp_that_is_not_the_files_counts_as_missing() -> None:
    times = received(2, 18)
    times[7] += 500
    assert compare(times, TIMELINE).missing > 0
