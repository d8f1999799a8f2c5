"""The capture clock, driven through simulated networks and bad clocks."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.media.clock import SLEW_RATE, CaptureClock

RATE = 90_000
START = 1_700_000_000.0


def packets(
    seconds: float,
    *,
    delay: float = 0.05,
    jitter: float = 0.0,
    drift_ppm: float = 0.0,
    begin: float = 0.0,
    first_timestamp: int = 4_000_000_000,
    seed: int = 1,
) -> Iterator[tuple[float, int, float]]:
    """True capture time, RTP timestamp and arrival of pictures at 50 a second."""
    rng = random.Random(seed)
    for index in range(round(begin * 50), round((begin + seconds) * 50)):
        captured = START + index / 50
        ticks = (index / 50) * (1 + drift_ppm / 1e6) * RATE
        arrival = captured + delay + rng.random() * jitter
        yield captured, first_timestamp + round(ticks), arrival


def test_it_knows_nothing_before_the_first_packet() -> None:
    with pytest.raises(ValueError, match="neither"):
        CaptureClock(RATE).capture_time(0)


def test_without_sender_reports_the_least_delayed_packets_count() -> None:
    clock = CaptureClock(RATE)
    for captured, timestamp, arrival in packets(30, delay=0.05, jitter=0.2):
        clock.packet(timestamp, arrival)
        if captured > START + 2:
            assert clock.capture_time(timestamp) == pytest.approx(captured + 0.05, abs=0.015)
    assert (clock.source, clock.jumps) == ("arrival", 0)


def test_old_packets_in_a_burst_at_the_start_do_not_count() -> None:
    clock = CaptureClock(RATE)
    stream = list(packets(3, delay=0.0))
    joined = stream[100][2]
    for captured, timestamp, arrival in stream:
        clock.packet(timestamp, max(arrival, joined))
        if captured > joined:
            assert clock.capture_time(timestamp) == pytest.approx(captured, abs=0.001)
    assert clock.jumps == 0


@pytest.mark.parametrize("drift_ppm", [200, -200])
def test_drift_is_followed(drift_ppm: float) -> None:
    clock = CaptureClock(RATE)
    for captured, timestamp, arrival in packets(600, jitter=0.01, drift_ppm=drift_ppm):
        clock.packet(timestamp, arrival)
        if captured > START + 2:
            assert clock.capture_time(timestamp) == pytest.approx(captured + 0.05, abs=0.005)
    assert clock.jumps == 0


def test_the_first_sender_report_that_is_believed_sets_it() -> None:
    clock = CaptureClock(RATE)
    captured, timestamp, arrival = next(packets(1))
    clock.packet(timestamp, arrival)
    assert clock.capture_time(timestamp) == arrival
    clock.sender_report(captured, timestamp, arrival)
    assert clock.source == "sender_report"
    assert clock.capture_time(timestamp) == pytest.approx(captured, abs=1e-4)
    assert clock.jumps == 0


def test_a_sender_report_may_come_before_the_first_packet() -> None:
    clock = CaptureClock(RATE)
    clock.sender_report(START, 90_000, START + 0.3)
    assert clock.capture_time(180_000) == START + 1


@pytest.mark.parametrize("clock_error", [-START, -11.0, 11.0, 3600.0, 2_085_978_496.0])
def test_a_sender_with_another_time_is_not_believed(clock_error: float) -> None:
    clock = CaptureClock(RATE)
    for captured, timestamp, arrival in packets(10):
        clock.packet(timestamp, arrival)
        clock.sender_report(captured + clock_error, timestamp, arrival)
        assert clock.capture_time(timestamp) == pytest.approx(arrival, abs=0.001)
    assert (clock.source, clock.jumps) == ("arrival", 0)


def test_a_report_about_timestamps_that_no_packet_has_is_not_believed() -> None:
    clock = CaptureClock(RATE)
    for captured, timestamp, arrival in packets(10):
        clock.packet(timestamp, arrival)
        clock.sender_report(captured, 0, arrival)
        assert clock.capture_time(timestamp) == pytest.approx(arrival, abs=0.001)
    assert clock.source == "arrival"


def test_a_sender_whose_clock_is_lost_is_followed_by_arrival_without_a_jump() -> None:
    clock = CaptureClock(RATE)
    for captured, timestamp, arrival in packets(5):
        clock.packet(timestamp, arrival)
        clock.sender_report(captured, timestamp, arrival)
    for captured, timestamp, arrival in packets(30, begin=5):
        clock.packet(timestamp, arrival)
        clock.sender_report(captured - START, timestamp, arrival)
    assert (clock.source, clock.jumps) == ("arrival", 0)
    assert clock.capture_time(timestamp) == pytest.approx(arrival, abs=0.001)


def test_a_sender_that_corrects_its_clock_a_little_is_slewed_to() -> None:
    clock = CaptureClock(RATE)
    clock.sender_report(START, 0, START)
    clock.sender_report(START + 10.1, 10 * RATE, START + 10.1)
    after_10_s = START + 10 + 10.1 * SLEW_RATE
    assert clock.capture_time(10 * RATE) == pytest.approx(after_10_s, abs=1e-6)
    clock.sender_report(START + 40.1, 40 * RATE, START + 40.1)
    assert clock.capture_time(40 * RATE) == pytest.approx(START + 40.1, abs=1e-6)
    assert clock.jumps == 0


def test_the_first_reports_replace_each_other() -> None:
    clock = CaptureClock(RATE)
    clock.sender_report(START + 0.4, 0, START)
    clock.sender_report(START + 5, 5 * RATE, START + 5)
    assert clock.capture_time(5 * RATE) == START + 5
    assert clock.jumps == 0


def test_a_sender_that_corrects_its_clock_a_lot_makes_it_jump() -> None:
    clock = CaptureClock(RATE)
    clock.sender_report(START, 0, START)
    clock.sender_report(START + 11.5, 10 * RATE, START + 10)
    assert clock.capture_time(10 * RATE) == START + 11.5
    assert clock.jumps == 1


@pytest.mark.parametrize("seconds", [-3600, -3, 3, 3600])
def test_timestamps_that_begin_anew_are_followed_with_one_jump(seconds: int) -> None:
    clock = CaptureClock(RATE)
    for _, timestamp, arrival in packets(10):
        clock.packet(timestamp, arrival)
    anew = 4_000_000_000 + seconds * RATE
    for _, timestamp, arrival in packets(6, begin=10, first_timestamp=anew):
        clock.packet(timestamp, arrival)
    assert clock.capture_time(timestamp) == pytest.approx(arrival, abs=0.001)
    assert clock.jumps == 1


def test_what_was_known_before_a_long_silence_is_forgotten() -> None:
    clock = CaptureClock(RATE)
    for _, timestamp, arrival in packets(10, delay=0.0):
        clock.packet(timestamp, arrival)
    for _, timestamp, arrival in packets(0.1, begin=600, delay=2.0):
        clock.packet(timestamp, arrival)
    assert clock.capture_time(timestamp) == pytest.approx(arrival, abs=0.001)


@given(
    st.lists(
        st.tuples(
            st.floats(0, 2), st.floats(-1, 1), st.booleans(), st.floats(-12, 12), st.floats(-3, 3)
        ),
        max_size=60,
    )
)
def test_it_never_moves_faster_than_it_slews_unless_it_says_so(
    steps: list[tuple[float, float, bool, float, float]],
) -> None:
    clock = CaptureClock(RATE)
    now, media = START, 0.0
    clock.packet(0, now)
    clock.packet(2 * RATE, now + 2)
    clock.sender_report(now + 2, 2 * RATE, now + 2)
    now, media = now + 11, 11.0  # by now, packets and reports have settled
    clock.sender_report(now, round(media * RATE), now)
    for elapsed, skew, is_report, clock_error, delay in steps:
        before, jumps = clock.capture_time(0), clock.jumps
        now += elapsed
        media += max(0.0, elapsed + skew)
        timestamp = round(media * RATE)
        if is_report:
            clock.sender_report(now + clock_error, timestamp, now)
        else:
            clock.packet(timestamp, now + delay)
        moved = abs(clock.capture_time(0) - before)
        assert clock.jumps > jumps or moved <= SLEW_RATE * (elapsed + 6) + 1e-6
