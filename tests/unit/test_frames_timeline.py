"""Where on the stream's own time line pictures and sound are placed."""

from __future__ import annotations

from itertools import pairwise

from streamsocket.frames.timeline import JUMP_S, START_S, Timeline

EPOCH = 1_700_000_000.0


def test_irregular_intervals_stay_as_they_are() -> None:
    timeline = Timeline()
    at = [0.0, 0.031, 0.1, 0.101, 1.7]
    places = [timeline.place_picture(EPOCH + each, 50.0 + each) for each in at]
    assert [round(place - START_S, 5) for place in places] == at
    assert abs(timeline.captured(places[2]) - (EPOCH + 0.1)) < 1e-6


def test_pictures_of_the_same_time_or_earlier_follow_the_one_before() -> None:
    timeline = Timeline()
    places = [timeline.place_picture(EPOCH - each / 10, 50.0) for each in range(5)]
    steps = [round(b - a, 6) for a, b in pairwise(places)]
    assert steps == [0.001] * 4


def test_a_delay_that_grows_is_no_jump() -> None:
    timeline = Timeline()
    timeline.place_picture(EPOCH, 50.0)
    place = timeline.place_picture(EPOCH + 1.0, 52.5)  # processed for longer than the one before
    assert round(place - START_S, 6) == 1.0


def test_a_clock_that_is_set_back_or_forward_goes_on_at_the_pace_of_real_time() -> None:
    for jump_s in (-3600.0, 3600.0, JUMP_S + 0.6):
        timeline = Timeline()
        timeline.place_picture(EPOCH, 50.0)
        place = timeline.place_picture(EPOCH + jump_s, 50.5)
        assert round(place - START_S, 6) == 0.5
        assert abs(timeline.captured(place) - (EPOCH + jump_s)) < 1e-6
        place = timeline.place_picture(EPOCH + jump_s + 0.5, 51.0)
        assert round(place - START_S, 6) == 1.0


def test_both_tracks_share_it() -> None:
    timeline = Timeline()
    timeline.place_picture(EPOCH, 50.0)
    assert round(timeline.place(EPOCH - 0.02, 50.0) - START_S, 6) == -0.02
    assert round(timeline.reached(51.0) - START_S, 6) == 1.0
