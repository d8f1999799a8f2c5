"""Where things are in the window."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.desktop.sdl.geometry import Rect, first_size, fit, inset, place

_lengths = st.integers(1, 5000)
_sizes = st.tuples(_lengths, _lengths)
_aspects = st.floats(0.25, 4)


@pytest.mark.parametrize(
    ("picture", "aspect", "within", "rect"),
    [
        ((1280, 720), 1, Rect(0, 0, 1280, 720), Rect(0, 0, 1280, 720)),
        ((640, 480), 1, Rect(0, 0, 1280, 720), Rect(160, 0, 960, 720)),
        ((1280, 720), 1, Rect(0, 0, 1000, 1000), Rect(0, 219, 1000, 562)),
        ((720, 576), 64 / 45, Rect(0, 0, 1920, 1080), Rect(0, 0, 1920, 1080)),
        ((1, 1), 1, Rect(10, 20, 100, 50), Rect(35, 20, 50, 50)),
        ((1920, 1), 1, Rect(0, 0, 100, 100), Rect(0, 49, 100, 1)),
    ],
)
def test_fit(picture: tuple[int, int], aspect: float, within: Rect, rect: Rect) -> None:
    assert fit(picture, aspect, within) == rect


@given(_sizes, _aspects, _sizes)
def test_a_fitted_picture_touches_two_sides(
    picture: tuple[int, int], aspect: float, window: tuple[int, int]
) -> None:
    rect = fit(picture, aspect, Rect(0, 0, *window))
    assert rect.width == window[0] or rect.height == window[1]
    assert 0 <= rect.x <= rect.x + rect.width <= window[0]
    assert 0 <= rect.y <= rect.y + rect.height <= window[1]
    assert abs(2 * rect.x + rect.width - window[0]) <= 1
    assert abs(2 * rect.y + rect.height - window[1]) <= 1


def test_the_inset_takes_a_quarter_of_the_width() -> None:
    assert inset((1280, 720), 1, (1280, 720), 1) == Rect(944, 524, 320, 180)
    assert inset((1280, 720), 1, (1280, 720), 2) == Rect(928, 508, 320, 180)


def test_a_tall_inset_takes_half_of_the_height() -> None:
    assert inset((720, 1280), 1, (1280, 720), 1) == Rect(1062, 344, 202, 360)


@given(_sizes, _aspects, st.tuples(st.integers(80, 5000), st.integers(80, 5000)))
def test_the_inset_stays_in_the_window(
    picture: tuple[int, int], aspect: float, window: tuple[int, int]
) -> None:
    rect = inset(picture, aspect, window, 1)
    assert rect.x >= 0
    assert rect.y >= 0
    assert rect.x + rect.width == window[0] - 16
    assert rect.y + rect.height == window[1] - 16


def test_layers() -> None:
    window = (640, 360)
    assert place("card", (640, 360), window, 1) == Rect(0, 0, 640, 360)
    assert place("top-left", (100, 30), window, 1) == Rect(16, 16, 100, 30)
    assert place("top-right", (100, 30), window, 1) == Rect(524, 16, 100, 30)
    assert place("bottom", (100, 30), window, 1) == Rect(270, 314, 100, 30)
    assert place("centre", (100, 30), window, 1) == Rect(270, 165, 100, 30)
    assert place("top-left", (100, 30), window, 1.5) == Rect(24, 24, 100, 30)


def test_a_card_of_another_size_fills_the_window() -> None:
    assert place("card", (640, 360), (1000, 500), 1) == Rect(0, 0, 1000, 500)


def test_the_first_size() -> None:
    assert first_size((1280, 720), 1, (1920, 1080)) == (1280, 720)
    assert first_size((1280, 720), 1.5, (1920, 1080)) == (1920, 1080)
    assert first_size((1280, 720), 2, (1920, 1080)) == (1920, 1080)
    assert first_size((1280, 720), 1, (1024, 768)) == (1024, 576)


def test_a_grown_rectangle() -> None:
    assert Rect(10, 20, 30, 40).grown(2) == Rect(8, 18, 34, 44)
