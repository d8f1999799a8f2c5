"""The time line that the tracks of a recording share."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.media.codec import H264, Opus, Track
from streamsocket.record.timeline import DRIFT_BEYOND_S, MAX_GAP_S, Timeline

PICTURE, SOUND = 0, 1
NOW = 1_700_000_000.0
TRACKS = (Track(H264(b"", b""), Fraction(25)), Track(Opus()))


def picture_only() -> Timeline:
    return Timeline(TRACKS[:1])


def both() -> Timeline:
    return Timeline(TRACKS)


def test_the_first_unit_is_at_zero_and_the_others_where_they_were_captured() -> None:
    timeline = both()
    assert timeline.place(PICTURE, 1_000_000, NOW) == 0
    assert timeline.place(SOUND, 777, NOW + 0.010) == 480
    assert timeline.place(PICTURE, 1_003_600, NOW + 0.040) == 3600
    assert timeline.end_s == 0.04


@given(st.lists(st.integers(-9000, 90_000), max_size=60), st.floats(-0.015, 0.015))
def test_timestamps_are_kept_to_the_tick_whatever_capture_times_waver(
    steps: list[int], wavering: float
) -> None:
    timeline = both()
    timeline.place(PICTURE, 0, NOW)
    timeline.place(SOUND, 0, NOW)
    timestamp = 0
    for number, step in enumerate(steps):
        timestamp = max(0, timestamp + step)
        captured = NOW + timestamp / 90_000 + wavering * (number % 2)
        assert timeline.place(PICTURE, timestamp, captured) == timestamp


def test_without_capture_times_tracks_begin_where_the_others_are() -> None:
    timeline = both()
    assert timeline.place(PICTURE, 5000, None) == 0
    assert timeline.place(PICTURE, 8600, None) == 3600
    assert timeline.place(SOUND, 99, None) == 1920
    assert timeline.place(SOUND, 99 + 960, None) == 2880


@pytest.mark.parametrize("parts_per_million", [-200, 200])
def test_clocks_that_drift_apart_are_kept_together_for_hours(parts_per_million: int) -> None:
    timeline = both()
    places = []
    worst = 0.0
    for number in range(25 * 3600 * 2):
        seconds = number / 25
        skew = 1 + parts_per_million / 1e6
        places.append(timeline.place(PICTURE, round(seconds * skew * 90_000), NOW + seconds))
        heard = timeline.place(SOUND, round(seconds * 48_000), NOW + seconds)
        assert heard == round(seconds * 48_000)
        worst = max(worst, abs(places[-1] / 90_000 - seconds))
    assert worst < DRIFT_BEYOND_S + 0.005
    steps = [after - before for before, after in pairwise(places)]
    assert max(abs(step - 3600) for step in steps) <= 73  # two percent, and the drift itself


def test_a_wrong_first_guess_of_the_offset_is_put_right() -> None:
    timeline = both()  # before the first sender report, it is only known when packets arrive
    for number in range(25 * 20):
        seconds = number / 25
        late = 0.080 if seconds < 5 else 0.0
        place = timeline.place(PICTURE, round(seconds * 90_000), NOW + seconds + late)
        heard = timeline.place(SOUND, round(seconds * 48_000), NOW + seconds)
    assert abs(place / 90_000 - heard / 48_000) < DRIFT_BEYOND_S


def test_a_jump_of_the_wall_clock_moves_nothing() -> None:
    timeline = both()
    for number in range(500):
        seconds = number / 25
        jump = 3600.0 if seconds > 10 else 0.0
        assert timeline.place(PICTURE, number * 3600, NOW + seconds + jump) == number * 3600
        assert timeline.place(SOUND, number * 1920, NOW + seconds + jump) == number * 1920


@pytest.mark.parametrize("jump", [-90_000 * 100, 90_000 * 100, 1 << 31])
def test_timestamps_that_jump_go_on_where_they_were_captured(jump: int) -> None:
    timeline = both()
    timeline.place(PICTURE, 0, NOW)
    timeline.place(SOUND, 0, NOW)
    assert timeline.place(PICTURE, 3600 + jump, NOW + 0.5) == 45_000
    assert timeline.place(PICTURE, 7200 + jump, NOW + 0.54) == 48_600
    assert timeline.place(SOUND, 48_000, NOW + 1) == 48_000


def test_a_jump_that_nothing_explains_goes_on_at_once() -> None:
    timeline = picture_only()
    timeline.place(PICTURE, 900_000, None)
    timeline.place(PICTURE, 903_600, None)
    assert timeline.place(PICTURE, 1000, None) == 3601
    assert timeline.place(PICTURE, 4600, None) == 7201


def test_what_a_server_sends_again_after_a_reconnect_rushes_by() -> None:
    timeline = both()
    for number in range(100):
        timeline.place(PICTURE, number * 3600, NOW + number / 25)
        timeline.place(SOUND, number * 1920, NOW + number / 25)
    end = 99 * 3600
    timeline.rejoin()
    for number in range(90, 100):  # these are there already
        assert timeline.place(PICTURE, number * 3600 + 5, NOW + number / 25) == end + 1
        assert timeline.place(SOUND, number * 1920 + 7, NOW + number / 25) <= 99 * 1920 + 2
    assert timeline.place(PICTURE, 110 * 3600 + 5, NOW + 110 / 25) == 110 * 3600
    assert timeline.place(SOUND, 110 * 1920 + 7, NOW + 110 / 25) == 110 * 1920


def test_a_reconnect_with_the_clock_set_back_by_an_hour_goes_on_at_once() -> None:
    timeline = picture_only()
    timeline.place(PICTURE, 0, NOW)
    timeline.rejoin()
    assert timeline.place(PICTURE, 10**9, NOW - 3600) == 1
    assert timeline.place(PICTURE, 10**9 + 3600, NOW - 3600 + 0.04) == 3601


def test_a_pause_is_kept_up_to_a_minute() -> None:
    timeline = both()
    timeline.place(PICTURE, 0, NOW)
    timeline.place(SOUND, 0, NOW)
    assert timeline.place(PICTURE, 50 * 90_000, NOW + 50) == 50 * 90_000
    assert timeline.place(SOUND, 50 * 48_000, NOW + 50) == 50 * 48_000


def test_what_a_pause_exceeds_a_minute_by_is_cut_out_of_all_tracks() -> None:
    timeline = both()
    timeline.place(PICTURE, 0, NOW)
    timeline.place(SOUND, 0, NOW)
    assert timeline.place(PICTURE, 1000 * 90_000, NOW + 1000) == MAX_GAP_S * 90_000
    assert timeline.place(SOUND, 1000 * 48_000 + 480, NOW + 1000.01) == MAX_GAP_S * 48_000 + 480
    assert timeline.place(PICTURE, 1001 * 90_000, NOW + 1001) == (MAX_GAP_S + 1) * 90_000


def test_a_track_that_pauses_alone_is_left_alone() -> None:
    timeline = both()
    timeline.place(PICTURE, 0, NOW)
    for number in range(50 * 300):
        timeline.place(SOUND, number * 960, NOW + number / 50)
    assert timeline.place(PICTURE, 300 * 90_000, NOW + 300) == 300 * 90_000
