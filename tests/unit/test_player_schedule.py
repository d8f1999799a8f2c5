"""How long after its capture everything is shown."""

import random
from itertools import pairwise

import pytest

from streamsocket.player.schedule import LONGEST_S, MARGIN_S, WINDOW_S, Schedule

START = 1_700_000_000.0


def play(
    schedule: Schedule,
    seconds: float,
    offsets: dict[str, object],
    *,
    begin: float = START,
    step_s: float = 0.02,
) -> list[float]:
    """Let both tracks come, each so much after its capture; the delays at every moment."""
    delays = []
    for tick in range(round(seconds / step_s)):
        now = begin + tick * step_s
        for kind, offset in offsets.items():
            late = offset() if callable(offset) else offset
            schedule.ready(kind, now - late, now)  # type: ignore[arg-type, operator]
        delays.append(schedule.delay_s(now))
    return delays


def test_nothing_is_known_before_anything_has_come() -> None:
    schedule = Schedule()

    assert not schedule.is_known
    assert schedule.delay_s(START) != schedule.delay_s(START)


def test_what_always_takes_the_same_is_due_a_margin_later() -> None:
    delays = play(Schedule(), 5, {"video": 0.03})

    assert delays[-1] == pytest.approx(0.03 + MARGIN_S)


def test_the_slower_track_decides_for_both() -> None:
    delays = play(Schedule(), 5, {"video": 0.03, "audio": 0.09})

    assert delays[-1] == pytest.approx(0.09 + MARGIN_S)


def test_jitter_is_allowed_for() -> None:
    rng = random.Random(1)
    schedule = Schedule()
    late = 0

    def offset() -> float:
        return 0.02 + rng.uniform(0, 0.04)

    play(schedule, 10, {"audio": offset})
    for tick in range(1000):
        now = START + 10 + tick * 0.02
        took = offset()
        schedule.ready("audio", now - took, now)
        late += took > schedule.delay_s(now)

    assert late <= 10
    assert schedule.delay_s(START + 30) < 0.07


def test_one_outlier_moves_no_picture() -> None:
    schedule = Schedule()
    play(schedule, 5, {"video": 0.03})

    schedule.ready("video", START + 5 - 0.2, START + 5)

    assert schedule.delay_s(START + 5.5) == pytest.approx(0.03 + MARGIN_S)


def test_the_delay_rises_at_once_and_falls_slowly() -> None:
    schedule = Schedule()
    play(schedule, 5, {"audio": 0.03})
    worse = play(schedule, 5, {"audio": 0.13}, begin=START + 5)
    better = play(schedule, WINDOW_S + 20, {"audio": 0.03}, begin=START + 10)

    assert worse[-1] == pytest.approx(0.13 + MARGIN_S)
    assert any(delay > 0.12 for delay in worse[:20])  # within 0.4 s
    falls = [before - after for before, after in pairwise(better)]
    assert max(falls) <= 0.003
    assert 0.05 < better[-1] < 0.13


def test_what_comes_while_joining_does_not_count_for_long() -> None:
    schedule = Schedule()
    joining = play(schedule, 0.2, {"video": 0.1, "audio": 0.12})
    delays = play(schedule, 2, {"video": 0.02, "audio": 0.03}, begin=START + 0.2)

    assert joining[-1] == pytest.approx(0.12 + MARGIN_S)
    assert delays[-1] == pytest.approx(0.03 + MARGIN_S)


def test_without_sound_it_falls_faster() -> None:
    schedule = Schedule()
    play(schedule, 5, {"video": 0.13})
    delays = play(schedule, WINDOW_S + 5, {"video": 0.03}, begin=START + 5)

    assert delays[-1] == pytest.approx(0.03 + MARGIN_S)


def test_a_latency_that_is_asked_for_is_held_in_store() -> None:
    schedule = Schedule(0.2)
    delays = play(schedule, 5, {"video": 0.03, "audio": 0.05})

    assert delays[-1] == pytest.approx(0.25)
    assert schedule.stored_s() == pytest.approx(0.2)


def test_a_drifting_clock_is_followed_both_ways() -> None:
    for drift in (-200e-6, 200e-6):
        schedule = Schedule()
        for tick in range(50 * 600):
            now = START + tick * 0.02
            offset = 0.05 + drift * tick * 0.02
            schedule.ready("audio", now - offset, now)
            delay = schedule.delay_s(now)

            assert 0.0 <= delay - offset <= 0.015


def test_another_clock_begins_anew() -> None:
    schedule = Schedule()
    play(schedule, 5, {"video": 0.03})
    delays = play(schedule, 1, {"video": -7.0}, begin=START + 5)

    assert delays[-1] == pytest.approx(-7.0 + MARGIN_S)


def test_a_track_that_is_far_behind_does_not_hold_the_other_for_ever() -> None:
    # Each jump of a second begins anew, so that it falls behind little by little.
    schedule = Schedule()
    for tick in range(2000):
        now = START + tick * 0.02
        schedule.ready("video", now - 0.03, now)
        schedule.ready("audio", now - min(20.0, tick * 0.02), now)

    assert schedule.delay_s(START + 40) <= 0.03 + LONGEST_S + 0.01
