"""Decoding times derived from presentation times."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.media.decode_order import MAX_DEPTH, DecodeTimes


def decode_times(pts: Iterable[int], depth: int | None, duration: int = 10) -> list[int]:
    times = DecodeTimes(depth, duration)
    return [times.next(each) for each in pts]


def reorder_depth(pts: Sequence[int]) -> int:
    """At most how many pictures are decoded before and shown after another."""
    return max(
        (sum(other > each for other in pts[:place]) for place, each in enumerate(pts)), default=0
    )


def assert_valid(pts: Sequence[int], dts: Sequence[int]) -> None:
    assert all(decoded <= shown for decoded, shown in zip(dts, pts, strict=True))
    assert all(earlier < later for earlier, later in pairwise(dts))


@st.composite
def reordered(draw: st.DrawFn, most: int = 6) -> list[int]:
    """Presentation times in decoding order, at a variable frame rate, some pictures lost."""
    shown = [0]
    for step in draw(st.lists(st.integers(1, 1000), min_size=1, max_size=60)):
        shown.append(shown[-1] + step)
    first, *rest = shown
    decoded = [first]
    while rest:  # an anchor, then what is shown before it, in some order
        count = draw(st.integers(0, min(most, len(rest) - 1)))
        decoded.append(rest[count])
        decoded += draw(st.permutations(rest[:count]))
        rest = rest[count + 1 :]
    kept = draw(st.lists(st.booleans(), min_size=len(decoded) - 1, max_size=len(decoded) - 1))
    return [first, *(pts for pts, keep in zip(decoded[1:], kept, strict=True) if keep)]


@given(reordered(), st.integers(1, 2000), st.integers(0, 3))
def test_with_the_depth_known_every_decoding_time_is_right(
    pts: list[int], duration: int, spare: int
) -> None:
    assert_valid(pts, decode_times(pts, reorder_depth(pts) + spare, duration))


@given(reordered(), st.one_of(st.none(), st.integers(0, MAX_DEPTH)))
def test_a_depth_that_is_too_small_grows_to_what_is_needed_and_no_further(
    pts: list[int], depth: int | None
) -> None:
    times = DecodeTimes(depth, 10)
    first = times.depth
    dts = [times.next(each) for each in pts]
    assert all(earlier < later for earlier, later in pairwise(dts))
    assert times.depth == max(first, reorder_depth(pts))


@given(st.lists(st.integers(-(1 << 40), 1 << 40), max_size=80), st.integers(-1, 40))
def test_whatever_comes_they_increase(pts: list[int], depth: int) -> None:
    times = DecodeTimes(None if depth < 0 else depth, 3000)
    dts = [times.next(each) for each in pts]
    assert all(earlier < later for earlier, later in pairwise(dts))
    assert times.depth <= MAX_DEPTH
    assert len(times._waiting) <= MAX_DEPTH


def test_without_reordering_they_are_the_presentation_times() -> None:
    pts = [0, 10, 20, 35, 90]
    assert decode_times(pts, 0) == pts


def test_a_pyramid_of_b_frames() -> None:
    pts = [0, 40, 20, 10, 30, 80, 60, 50, 70]
    assert decode_times(pts, 2) == [-20, -10, 0, 10, 20, 30, 40, 50, 60]


def test_leading_pictures_of_an_open_gop() -> None:
    pts = [0, 30, 10, 20, 60, 40, 50, 90, 70, 80]  # 60 is a keyframe; 40 and 50 come before it
    assert decode_times(pts, 1) == [-10, 0, 10, 20, 30, 40, 50, 60, 70, 80]


def test_after_a_gap_decoding_keeps_its_distance() -> None:
    pts = [0, 30, 10, 20, 9060, 9040, 9050, 9090]
    dts = decode_times(pts, 1)
    assert_valid(pts, dts)
    assert dts[-1] == 9060


@pytest.mark.parametrize("depth", [None, 0, 1])
def test_a_depth_that_was_too_small_is_learnt(depth: int | None) -> None:
    pts = [0]
    for start in range(0, 800, 80):  # three levels of B-frames
        pts += [start + each for each in (80, 40, 20, 10, 30, 60, 50, 70)]
    assert reorder_depth(pts) == 3
    times = DecodeTimes(depth, 10)
    dts = [times.next(each) for each in pts]
    assert times.depth == 3
    assert_valid(pts[17:], dts[17:])  # within two groups of pictures
