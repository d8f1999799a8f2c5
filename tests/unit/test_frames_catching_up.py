"""Telling what a server sends from its cache from what is live."""

from __future__ import annotations

import random

import pytest

from streamsocket.frames.catching_up import LONGEST_S, CatchingUp
from streamsocket.hub.join import CatchUp


def stale(pictures: list[tuple[float, float]]) -> list[bool]:
    """For captures and arrivals."""
    catching_up = CatchingUp()
    return [catching_up.is_stale(captured, arrived) for captured, arrived in pictures]


@pytest.mark.parametrize("fps", [5, 15, 30, 60])
@pytest.mark.parametrize("behind", [0.3, 1.0, 1.9, 9.9])
@pytest.mark.parametrize("delay", [0.0, 0.3])
def test_a_join_like_our_servers_is_stale_until_it_is_live(
    fps: int, behind: float, delay: float
) -> None:
    noise = random.Random(1)
    joined = 1_000.0
    line = CatchUp.start(
        now=joined,
        keyframe_arrived=joined - behind,
        live_timestamp=0,
        clock_rate=90_000,
        longest_s=1.5,
        squeezes=False,
    )
    captures = [joined - behind + number / fps for number in range(round((behind + 3) * fps))]
    pictures = [
        (captured - delay, line.due(captured) + noise.uniform(0, 0.003)) for captured in captures
    ]
    found = stale(pictures)
    late = [arrived - captured - delay for captured, arrived in pictures]
    handed_out = found.index(False)
    assert not any(found[handed_out:])
    # Late by no more than it is worth waiting for, or than one picture's interval explains.
    assert late[handed_out] <= max(0.12, 1 / fps)
    first_live = next(place for place, each in enumerate(late) if each < 0.005)
    assert handed_out <= first_live + max(2, 0.2 * fps)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.3, 4.0])
def test_a_stream_that_is_late_by_itself_is_live_soon(delay: float) -> None:
    noise = random.Random(2)
    pictures = [
        (1_000 + number / 30, 1_000 + number / 30 + delay + noise.uniform(0, 0.01))
        for number in range(60)
    ]
    found = stale(pictures)
    assert found.index(False) <= 6
    assert not any(found[found.index(False) :])


def test_it_is_over_after_two_seconds_whatever_comes() -> None:
    pictures = [(1_000 + number / 10, 1_100 + number / 20) for number in range(100)]
    found = stale(pictures)
    assert pictures[found.index(False)][1] - 1_100 == pytest.approx(LONGEST_S, abs=0.06)


def test_a_clock_that_is_set_back_does_not_keep_it_from_ending() -> None:
    pictures = [(1_000.0, 1_005.0), (1_000.1, 500.0)]
    assert stale(pictures) == [True, False]
