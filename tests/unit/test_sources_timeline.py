"""The time line of a source, through loops."""

from fractions import Fraction
from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from streamsocket.codecs.coded import Coded
from streamsocket.sources.packing import ticks
from streamsocket.sources.timeline import START_S, Timeline

_FRAME = Fraction(1024, 44_100)
_FILM = Fraction(24_000, 1001)


def _picture(
    number: int, rate: Fraction, delay: int = 0, discard: bool = False, shown: int | None = None
) -> Coded:
    pts = (number if shown is None else shown) / rate
    return Coded([b"\x41"], pts, (number - delay) / rate, 1 / rate, number == 0, discard)


def _sound(number: int, discard: bool = False) -> Coded:
    pts = number * _FRAME
    return Coded([b"\x00"], pts, pts, _FRAME, discard=discard)


def _pass(timeline: Timeline, pictures: int, sounds: int, rate: Fraction) -> list[Fraction]:
    timeline.begin_pass(Fraction(0))
    placed = [timeline.place(_sound(n), "audio") for n in range(-1, sounds)]
    for number in range(pictures):
        timeline.place(_picture(number, rate), "video")
    return [times[0] for times in placed if times]


def test_a_file_begins_where_the_time_line_does() -> None:
    timeline = Timeline()
    timeline.begin_pass(Fraction(7, 5))
    coded = Coded([b"\x65"], Fraction(7, 5), Fraction(6, 5), Fraction(1, 25))
    assert timeline.place(coded, "video") == (START_S, START_S - Fraction(1, 5))


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([Fraction(25), _FILM]))
def test_a_pass_is_as_long_as_its_longest_track_however_often_it_is_repeated(
    pictures: int, sounds: int, rate: Fraction
) -> None:
    timeline = Timeline()
    length = max(pictures / rate, sounds * _FRAME)
    for loop in range(20):
        _pass(timeline, pictures, sounds, rate)
        times = timeline.place(_picture(0, rate), "video")
        assert times is not None
        assert times[0] == START_S + loop * length
        assert timeline.loops == loop


@settings(max_examples=50, deadline=None)
@given(st.integers(20, 60), st.integers(20, 60))
def test_sound_never_overlaps_itself_at_the_seam(pictures: int, sounds: int) -> None:
    timeline = Timeline()
    times: list[Fraction] = []
    for _ in range(10):
        times += _pass(timeline, pictures, sounds, Fraction(25))
    assert all(after - before >= _FRAME / 2 for before, after in pairwise(times))


def test_priming_is_kept_where_nothing_sounds_before_it() -> None:
    timeline = Timeline()
    first = _pass(timeline, 100, 100, Fraction(25))  # the sound is 1.7 s shorter
    second = _pass(timeline, 100, 100, Fraction(25))
    assert first[0] == START_S - _FRAME
    assert second[0] == START_S + 4 - _FRAME


def test_priming_is_left_out_where_the_pass_before_still_sounds() -> None:
    timeline = Timeline()
    _pass(timeline, 10, 100, Fraction(25))
    assert _pass(timeline, 10, 100, Fraction(25))[0] == START_S + 100 * _FRAME


def test_pictures_that_are_cut_out_hurry_by_in_order_before_the_first_that_is_shown() -> None:
    timeline = Timeline()
    timeline.begin_pass(Fraction(0))
    rate = Fraction(25)
    placed = [
        timeline.place(_picture(number, rate, delay=1, discard=number < 0), "video")
        for number in range(-50, 2)
    ]
    shown = [times[0] for times in placed if times]
    assert shown == sorted(set(shown))
    assert shown[-2] == START_S
    assert START_S - shown[0] < Fraction(1, 100)
    assert len({ticks(time, 90_000) for time in shown}) == len(shown)


def test_sound_that_is_cut_out_is_left_out_but_for_what_the_decoder_needs() -> None:
    timeline = Timeline()
    timeline.begin_pass(Fraction(0))
    placed = [timeline.place(_sound(number, discard=True), "audio") for number in range(-50, 1)]
    assert [times[0] for times in placed if times] == [START_S - _FRAME, START_S]


def test_the_position_counts_from_each_pass() -> None:
    timeline = Timeline()
    _pass(timeline, 25, 0, Fraction(25))
    _pass(timeline, 25, 0, Fraction(25))
    times = timeline.place(_picture(10, Fraction(25)), "video")
    assert times is not None
    assert timeline.position(times[0]) == 0.4


def test_ticks_round_to_the_nearest() -> None:
    assert [ticks(Fraction(n, 2), 1) for n in range(4)] == [0, 1, 1, 2]
    assert ticks(Fraction(1001, 30_000), 90_000) == 3003
