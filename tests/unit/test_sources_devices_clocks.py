"""When pictures were taken, and which of them are shown."""

from __future__ import annotations

import random
from fractions import Fraction
from itertools import pairwise

import pytest

from streamsocket.sources.devices.clocks import LeastDelay, PictureClock
from streamsocket.sources.devices.pace import LivePace

_WALL = 1_700_000_000.0


def test_the_least_of_two_seconds() -> None:
    least = LeastDelay()
    assert least.add(0.5, 10.0) == 0.5
    assert least.add(0.2, 10.1) == 0.2
    assert least.add(0.9, 11.0) == 0.2
    assert least.add(0.8, 12.3) == 0.8
    assert [least.add(1.0, 12.5 + step / 10) for step in (0, 1, 2, 3)][-1] == 1.0  # it has jumped
    least.clear()
    assert least.add(0.9, 12.3) == 0.9


@pytest.mark.parametrize("clock", ["wall", "monotonic", "own"])
def test_pictures_keep_their_own_times(clock: str) -> None:
    """However late they come: by up to 60 ms, and once by half a second."""
    pictures, noise = PictureClock(), random.Random(1)
    errors, arrival = [], 0.0
    for number in range(600):
        taken = 100 + number / 30
        delay = 0.004 + noise.random() * 0.06 + (0.5 if number == 333 else 0)
        arrival = max(arrival, taken + delay)
        device = {"wall": taken + _WALL, "monotonic": taken, "own": taken * 1.0001 - 90}[clock]
        at = pictures.taken_at(device, arrival, arrival + _WALL)
        assert at <= arrival
        errors.append(at - taken)
    settled = errors[60:]
    assert -0.001 < min(settled) <= max(settled) < 0.015
    steps = [b - a for a, b in pairwise(settled)]
    assert max(map(abs, steps)) < 0.012


def test_without_times_the_arrival_counts() -> None:
    pictures = PictureClock()
    assert pictures.taken_at(None, 5.0, _WALL) == 5.0
    assert pictures.taken_at(None, 5.1, _WALL) == 5.1


def test_times_always_increase() -> None:
    pictures = PictureClock()
    times = [pictures.taken_at(device, 100.0, _WALL) for device in (99.9, 99.8, 99.9, 99.95)]
    assert all(a < b for a, b in pairwise(times))


def _shown(pace: LivePace, times: list[float]) -> list[float]:
    shown = []
    for at in times:
        turn = pace.take(at)
        shown += turn.repeats + [at] * turn.shown
    return shown


def _taken(rate: float, seconds: float = 10, jitter: float = 0.0) -> list[float]:
    noise = random.Random(2)
    return [number / rate + jitter * noise.random() for number in range(int(seconds * rate))]


@pytest.mark.parametrize("jitter", [0, 0.008])
def test_pictures_at_the_right_rate_pass_untouched(jitter: float) -> None:
    times = _taken(30, jitter=jitter)
    assert _shown(LivePace(Fraction(30), exactly=True), times) == times


@pytest.mark.parametrize("rate", [60, 50, 31, 240])
def test_pictures_too_many_are_left_out(rate: float) -> None:
    times = _taken(rate)
    shown = _shown(LivePace(Fraction(30), exactly=False), times)
    assert set(shown) <= set(times)
    assert len(shown) == pytest.approx(300, abs=2)


def test_pictures_that_are_missing_are_repeated_only_if_need_be() -> None:
    times = _taken(10)
    assert _shown(LivePace(Fraction(30), exactly=False), times) == times
    shown = _shown(LivePace(Fraction(30), exactly=True), times)
    assert len(shown) == pytest.approx(300, abs=4)
    assert set(times) <= set(shown)
    assert all(b - a == pytest.approx(1 / 30, abs=0.012) for a, b in pairwise(shown))


def test_a_long_pause_is_not_filled() -> None:
    times = [*_taken(30, 1), *(each + 60 for each in _taken(30, 1))]
    assert _shown(LivePace(Fraction(30), exactly=True), times) == times
