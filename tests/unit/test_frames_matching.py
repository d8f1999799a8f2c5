"""Pictures of several cameras, matched by when they were captured; cameras are simulated."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from streamsocket.frames.matching import MAX_WAITING, Matcher


@dataclass(frozen=True)
class Camera:
    fps: float = 30
    phase_s: float = 0.0
    delay_s: float = 0.05
    network_jitter_s: float = 0.0
    capture_jitter_s: float = 0.0
    loss: float = 0.0
    away: tuple[float, float] = (0.0, 0.0)
    """It brings nothing between these times."""


@dataclass(frozen=True)
class Match:
    at: float
    times: list[float | None]

    @property
    def spread(self) -> float:
        known = [time for time in self.times if time is not None]
        return max(known) - min(known)


def simulated(
    *cameras: Camera,
    seconds: float = 10.0,
    tolerance: float | None = None,
    partial: bool = False,
    seed: int = 0,
) -> list[Match]:
    """The sets in order; each picture stands for its own time of capture."""
    noise = random.Random(seed)
    arrivals = []
    for place, camera in enumerate(cameras):
        arrived = 0.0
        for number in range(round(seconds * camera.fps)):
            captured = camera.phase_s + number / camera.fps
            captured += noise.uniform(-camera.capture_jitter_s, camera.capture_jitter_s)
            lost = noise.random() < camera.loss or camera.away[0] <= captured < camera.away[1]
            delay = camera.delay_s + noise.uniform(0, camera.network_jitter_s)
            arrived = max(arrived, captured + delay)
            if not lost:
                arrivals.append((arrived, place, captured))
    matcher = Matcher[float](len(cameras), tolerance=tolerance, partial=partial)
    matches = []
    for arrived, place, captured in sorted(arrivals):
        matcher.put(place, captured, captured, arrived)
        if (times := matcher.match(arrived)) is not None:
            matches.append(Match(arrived, times))
    for column in zip(*(match.times for match in matches), strict=True):
        known = [time for time in column if time is not None]
        assert known == sorted(set(known)), "a picture was used twice, or out of turn"
    return matches


def rate(matches: list[Match], seconds: float = 10.0) -> float:
    return len(matches) / seconds


def test_cameras_that_run_alike_give_every_picture() -> None:
    matches = simulated(Camera(), Camera())
    assert rate(matches) > 29
    assert max(match.spread for match in matches) < 1e-9


@pytest.mark.parametrize("phase_s", [-0.015, -0.005, 0.002, 0.012])
def test_pictures_are_matched_with_the_nearest(phase_s: float) -> None:
    matches = simulated(Camera(), Camera(phase_s=phase_s, delay_s=0.2), Camera())
    assert rate(matches) > 29
    for match in matches:
        assert match.spread == pytest.approx(abs(phase_s))


def test_latencies_may_differ_by_a_second() -> None:
    matches = simulated(Camera(delay_s=0.02), Camera(delay_s=1.0))
    assert rate(matches) > 28
    assert max(match.spread for match in matches) < 1e-9
    assert all(match.at - match.times[0] < 1.01 for match in matches if match.times[0] is not None)


@pytest.mark.parametrize("slow", [5, 10, 14.5, 25])
def test_the_slowest_sets_the_rate_and_the_others_are_as_near_as_can_be(slow: float) -> None:
    matches = simulated(Camera(fps=30), Camera(fps=slow, phase_s=0.01, delay_s=0.1))
    assert rate(matches) == pytest.approx(slow, rel=0.07)
    assert max(match.spread for match in matches) <= 0.5 / 30 + 1e-9


def test_a_set_is_there_as_soon_as_no_nearer_picture_can_come() -> None:
    matches = simulated(Camera(delay_s=0.03), Camera(phase_s=0.004, delay_s=0.03))
    for match in matches[5:]:
        assert match.at - max(time for time in match.times if time is not None) <= 0.031


def test_jitter_and_loss_do_not_shift_cameras_against_each_other() -> None:
    camera = Camera(network_jitter_s=0.04, capture_jitter_s=0.004, loss=0.1)
    for seed in range(5):
        matches = simulated(camera, camera, seed=seed)
        assert rate(matches) > 20
        assert max(match.spread for match in matches) <= 0.021


def test_the_tolerance_bounds_the_spread() -> None:
    cameras = Camera(fps=30), Camera(fps=29, delay_s=0.1)
    assert max(match.spread for match in simulated(*cameras)) > 0.012
    bounded = simulated(*cameras, tolerance=0.005)
    assert max(match.spread for match in bounded) <= 0.005
    assert rate(bounded) > 5


def test_a_camera_that_is_away_is_waited_for() -> None:
    matches = simulated(Camera(), Camera(away=(3.0, 6.0)))
    assert not [match for match in matches if 3.2 < match.at < 5.9]
    assert len([match for match in matches if match.at > 6.2]) > 100
    assert max(match.spread for match in matches) < 0.02


def test_or_has_none_in_its_place() -> None:
    matches = simulated(Camera(), Camera(away=(3.0, 6.0)), partial=True)
    meanwhile = [match for match in matches if 4.2 < match.at < 6.0]
    assert len(meanwhile) > 45
    assert all(match.times[1] is None for match in meanwhile)
    assert all(None not in match.times for match in matches if match.at < 3 or match.at > 6.5)


def test_who_is_away_is_told() -> None:
    matcher = Matcher[int](3)
    matcher.put(1, 100.0, 0, 5.0)
    assert matcher.away(5.5) == [0, 2]
    assert matcher.away(6.5) == [0, 1, 2]


def test_a_clock_that_is_set_back_is_followed() -> None:
    matcher = Matcher[float](2)
    found = []
    for number in range(90):
        offset = 0.0 if number < 45 else -1_000.0
        for place in range(2):
            captured = 5_000 + offset + number / 30
            matcher.put(place, captured, captured, number / 30)
        found.append(matcher.match(number / 30))
    assert len([each for each in found[50:] if each]) > 35


def test_what_waits_is_bounded() -> None:
    matcher = Matcher[int](2)
    for number in range(10_000):
        matcher.put(0, number / 30, number, number / 30)
        matcher.match(number / 30)
    assert len(matcher._cameras[0].waiting) == MAX_WAITING
