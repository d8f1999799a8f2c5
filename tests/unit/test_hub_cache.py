"""The keyframe cache, the history, the meter, the line of those who join."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.hub.cache import History, KeyframeCache
from streamsocket.hub.join import CatchUp
from streamsocket.hub.meter import Meter
from streamsocket.rtp.batch import Batch


def batch(
    sequence: int, *, packets: int = 1, keyframe: bool = False, arrived: float = 0.0
) -> Batch:
    return Batch(bytes(100 * packets), (100,) * packets, 0, 0.0, keyframe, True, sequence, arrived)


def test_the_group_begins_at_the_newest_keyframe() -> None:
    cache = KeyframeCache(10_000)
    for number in range(6):
        cache.add(batch(number, keyframe=number in (1, 4)))
    assert [b.sequence for b in cache.group()] == [4, 5]
    assert cache.bytes == 200


def test_before_the_first_keyframe_there_is_no_group() -> None:
    cache = KeyframeCache(10_000)
    cache.add(batch(0))
    assert cache.group() == []


def test_a_group_that_grows_too_large_is_not_kept_until_the_next_keyframe() -> None:
    cache = KeyframeCache(250)
    for number in range(4):
        cache.add(batch(number, keyframe=number == 0))
    assert cache.group() == []
    assert cache.bytes == 0
    cache.add(batch(4, keyframe=True))
    assert [b.sequence for b in cache.group()] == [4]


def test_a_group_handed_out_is_not_changed_by_what_follows() -> None:
    cache = KeyframeCache(10_000)
    cache.add(batch(0, keyframe=True))
    group = cache.group()
    cache.add(batch(1))
    assert len(group) == 1


def test_history_finds_packets_by_their_16_bit_number_across_the_wrap() -> None:
    history = History(2.0, 100_000)
    for first in range(0xFFFA, 0x10010, 3):
        history.add(batch(first, packets=3))
    found = history.packet(1)
    assert found is not None
    assert (found[0].sequence, found[1]) == (0x10000, 1)
    assert history.packet(0xFFF0) is None
    assert history.packet(0x0FFF) is None


def test_history_is_bounded_in_time_and_in_bytes() -> None:
    aged = History(2.0, 100_000)
    for number in range(5):
        aged.add(batch(number, arrived=float(number)))
    assert aged.packet(1) is None
    assert aged.packet(2) is not None
    sized = History(100.0, 250)
    for number in range(5):
        sized.add(batch(number))
    assert sized.packet(2) is None
    assert sized.packet(3) is not None


@given(
    behind=st.floats(0.0, 20.0),
    steps=st.lists(st.integers(0, 200_000), min_size=2, max_size=50),
)
def test_joining_keeps_the_order_of_pictures_and_ends_at_live(
    behind: float, steps: list[int]
) -> None:
    line = CatchUp.start(
        now=100.0,
        keyframe_arrived=100.0 - behind,
        live_timestamp=1_000_000,
        clock_rate=90_000,
        longest_s=1.5,
    )
    assert 100.0 < line.end <= 101.5
    assert line.due(100.0 - behind) == pytest.approx(100.0)
    assert line.due(line.end) == line.end
    stamps = sorted(1_000_000 - round(behind * 90_000) + step for step in steps)
    squeezed = [line.timestamp(stamp) for stamp in stamps]
    assert squeezed == sorted(squeezed)
    late = line.end_timestamp + 1
    assert line.timestamp(late) == late


def test_the_meter_tells_rates_over_the_last_seconds_and_forgets() -> None:
    meter = Meter()
    for tick in range(300):
        meter.add(1000, True, 10.0 + tick / 30)
    bits, units = meter.rates(20.0)
    assert bits == pytest.approx(240_000, rel=0.02)
    assert units == pytest.approx(30, rel=0.02)
    assert meter.rates(60.0) == (0.0, 0.0)
