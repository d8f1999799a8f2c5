"""Pictures on the grid of another rate."""

from __future__ import annotations

from fractions import Fraction

import pytest
from av.video.frame import VideoFrame

from streamsocket.codecs.frame_rate import SteadyRate


def _numbers(rate: Fraction, times: list[Fraction], end: Fraction) -> list[tuple[int, Fraction]]:
    """Which picture is shown at which place."""
    steady = SteadyRate(rate)
    frames = [VideoFrame(2, 2, "gray") for _ in times]
    shown = [
        each for frame, time in zip(frames, times, strict=True) for each in steady.take(frame, time)
    ]
    shown += steady.flush(end)
    return [(frames.index(frame), time * rate) for frame, time in shown]


def _times(rate: Fraction, count: int) -> list[Fraction]:
    return [number / rate for number in range(count)]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (25, 50),
        (50, 25),
        (25, 25),
        (30, 25),
        (24, 30),
        (60, 24),
        (Fraction(24_000, 1001), 25),
        (25, 1),
    ],
)
def test_every_place_has_one_picture_that_is_near(given: Fraction, wanted: Fraction) -> None:
    given, wanted = Fraction(given), Fraction(wanted)
    end = 100 / given
    shown = _numbers(wanted, _times(given, 100), end)
    assert [place for _, place in shown] == list(range(-int(-end * wanted // 1)))
    for number, place in shown:
        assert abs(number / given - place / wanted) <= max(1 / given, 1 / wanted / 2)


def test_half_the_rate_is_every_other_picture() -> None:
    shown = _numbers(Fraction(25), _times(Fraction(50), 10), Fraction(1, 5))
    assert [number for number, _ in shown] == [0, 2, 4, 6, 8]


def test_a_variable_rate_becomes_steady() -> None:
    times = [Fraction(n) for n in (0, 1, 4, 5, 8)]
    shown = _numbers(Fraction(1), times, Fraction(9))
    assert [number for number, _ in shown] == [0, 1, 1, 1, 2, 3, 3, 3, 4]


def test_a_break_is_not_filled() -> None:
    shown = _numbers(Fraction(10), [Fraction(0), Fraction(3600)], Fraction(36001, 10))
    assert shown == [(0, 0), (1, 36_000)]


def test_nothing_gives_nothing() -> None:
    assert SteadyRate(Fraction(25)).flush(Fraction(1)) == []
