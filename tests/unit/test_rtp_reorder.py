"""The reordering buffer."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from streamsocket.rtp.reorder import ReorderBuffer


def buffer(max_age_s: float = 0.1, max_packets: int = 50) -> ReorderBuffer[int]:
    return ReorderBuffer(max_age_s, max_packets)


@given(st.integers(-10, 2**20), st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_what_is_reordered_comes_out_in_order_and_once(first: int, delays: list[int]) -> None:
    numbers = [first + n for n in range(len(delays))]
    # The first packet is where everything begins; the others overtake one another.
    order = sorted(numbers[1:], key=lambda n: n + delays[n - first])
    reorder = buffer()
    released = []
    for number in [first, *order]:
        released += reorder.push(number, number, 0.0)
        released += reorder.push(number, number, 0.0)  # a duplicate
    assert released == [(number, False) for number in numbers]
    assert reorder.dropped == len(numbers)
    assert reorder.deadline is None


@given(st.integers(0, 1000), st.sets(st.integers(1, 59)))
def test_what_is_lost_leaves_a_gap_and_nothing_else(seed: int, lost: set[int]) -> None:
    rng = random.Random(seed)
    numbers = [n for n in range(61) if n not in lost]
    order = [0, *sorted(numbers[1:], key=lambda n: n + rng.random() * 4)]
    reorder = buffer()
    released = []
    for time, number in enumerate(order):
        released += reorder.push(number, number, time * 0.01)
    released += reorder.flush()
    assert [number for number, _ in released] == numbers
    assert [gap for _, gap in released] == [n > 0 and n - 1 in lost for n in numbers]


def test_a_missing_packet_is_waited_for_as_long_as_it_is_worth() -> None:
    reorder = buffer(max_age_s=0.1)
    assert reorder.push(1, 1, 0.0) == [(1, False)]
    assert reorder.push(3, 3, 0.01) == []
    assert reorder.push(6, 6, 0.05) == []
    assert reorder.missing == [2, 4, 5]
    assert reorder.deadline == 0.11
    assert reorder.expire(0.10) == []
    assert reorder.expire(0.11) == [(3, True)]
    assert reorder.push(2, 2, 0.12) == []  # too late
    assert reorder.dropped == 1
    assert reorder.expire(0.2) == [(6, True)]
    assert reorder.missing == []
    assert reorder.deadline is None


def test_time_also_passes_when_packets_come() -> None:
    reorder = buffer(max_age_s=0.1)
    reorder.push(1, 1, 0.0)
    reorder.push(3, 3, 0.0)
    assert reorder.push(4, 4, 0.1) == [(3, True), (4, False)]


def test_what_comes_at_last_releases_what_waited_for_it() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    for number in (4, 3, 6):
        assert reorder.push(number, number, 0.0) == []
    assert reorder.push(2, 2, 0.0) == [(2, False), (3, False), (4, False)]
    assert reorder.flush() == [(6, True)]


def test_no_more_packets_wait_than_are_allowed() -> None:
    reorder = buffer(max_packets=3)
    reorder.push(0, 0, 0.0)
    for number in (2, 4, 6):
        assert reorder.push(number, number, 0.0) == []
    assert reorder.push(8, 8, 0.0) == [(2, True)]


def test_without_patience_nothing_waits() -> None:
    reorder = buffer(max_age_s=0.0)
    reorder.push(1, 1, 5.0)
    assert reorder.push(3, 3, 5.0) == [(3, True)]


def test_two_packets_from_far_away_are_a_restart() -> None:
    for restart in (100_000, -100_000):
        reorder = buffer()
        reorder.push(1, 1, 0.0)
        reorder.push(3, 3, 0.0)
        assert reorder.push(restart, 10, 0.0) == []
        assert reorder.push(restart + 1, 11, 0.0) == [(3, True), (10, True), (11, False)]
        assert reorder.push(restart + 2, 12, 0.0) == [(12, False)]


def test_one_packet_from_far_away_is_a_mistake() -> None:
    reorder = buffer()
    reorder.push(1, 1, 0.0)
    assert reorder.push(50_000, 0, 0.0) == []
    assert reorder.push(90_000, 0, 0.0) == []
    assert reorder.push(2, 2, 0.0) == [(2, False)]
    assert reorder.push(90_001, 0, 0.0) == []
    assert reorder.push(3, 3, 0.0) == [(3, False)]
    assert reorder.dropped == 3
