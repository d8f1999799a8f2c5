"""Cards, which fill the window while there is no picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from drawing_helpers import HARD_TEXTS, contrast, is_clear_of_its_edge, is_ink

from streamsocket.player.drawing import theme
from streamsocket.player.drawing.cards import draw_card

SIZES = [(320, 180), (180, 320), (640, 360), (1280, 720), (1920, 800)]
LONG = "rtsp://streams.example.org:8554/" + "meeting-rooms/" * 20


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (64, 48), *SIZES])
def test_a_card_fills_the_window(size: tuple[int, int]) -> None:
    for phase in (None, 0.3):
        image = draw_card("Connecting", LONG, size=size, scale=1, phase=phase, hint="h: help")
        assert image.shape == (size[1], size[0], 4)
        assert image.dtype == np.uint8
        assert (image[..., 3] == 255).all()


def test_a_window_without_a_size_has_a_card_too() -> None:
    assert draw_card("Connecting", "", size=(0, 0), scale=1).shape == (1, 1, 4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize("symbol", ["mark", "speaker"])
def test_text_never_reaches_the_edge(size: tuple[int, int], scale: float, symbol: str) -> None:
    for title, message in (("Connecting", LONG), (LONG, LONG), ("W" * 300, "many words " * 90)):
        image = draw_card(
            *(title, message), size=size, scale=scale, phase=0.4, hint=LONG,
            symbol="speaker" if symbol == "speaker" else "mark",
        )  # fmt: skip
        assert is_ink(image).any()
        assert is_clear_of_its_edge(image, 5)


@pytest.mark.parametrize("hard", HARD_TEXTS)
def test_hard_texts_stay_inside(hard: str) -> None:
    image = draw_card(hard, hard, size=(480, 270), scale=1, phase=0.1, hint=hard)
    assert is_clear_of_its_edge(image, 5)


def test_it_is_drawn_for_the_largest_screens() -> None:
    small = draw_card("Connecting", "rtsp://host/lobby", size=(1280, 720), scale=1)
    large = draw_card("Connecting", "rtsp://host/lobby", size=(3840, 2160), scale=2)
    rows = [np.ptp(is_ink(image).any(axis=1).nonzero()[0]) for image in (small, large)]
    assert rows[1] == pytest.approx(2 * rows[0], rel=0.05)


def test_the_ring_goes_round_and_nothing_else_moves() -> None:
    images = [
        draw_card("Connecting", "rtsp://host/lobby", size=(640, 360), scale=1, phase=phase)
        for phase in (0, 0.25, 0.5, 0.75, 1)
    ]
    centres = []
    for one, other in pairwise(images):
        changed = (one != other).any(axis=2)
        assert changed.any()
        rows, columns = changed.nonzero()
        assert np.ptp(rows) < 110
        assert np.ptp(columns) < 110
        centres.append((rows.mean(), columns.mean()))
    assert np.array_equal(images[0], images[-1])
    middle = (images[0].shape[1] - 1) / 2
    assert np.mean([column for _, column in centres]) == pytest.approx(middle, abs=8)


def test_the_head_is_where_the_phase_says() -> None:
    def head(phase: float) -> tuple[float, float]:
        """Where the ring is brightest, from its middle, in pixels right and down."""
        moving = draw_card("", "", size=(400, 300), scale=1, phase=phase).astype(int)
        bright = moving[..., 2] > 215
        without = draw_card("", "", size=(400, 300), scale=1, phase=phase - 0.5).astype(int)
        rows, columns = (bright & (without[..., 2] < 150)).nonzero()
        return columns.mean() - 199.5, rows.mean()

    right, _ = head(0.2)
    left, _ = head(0.7)
    assert right > 20
    assert left < -20
    assert head(0.05)[1] < head(0.45)[1]


def test_no_ring_without_a_phase() -> None:
    still = draw_card("lobby", "Sound only", size=(640, 360), scale=1, symbol="speaker")
    assert np.array_equal(
        still, draw_card("lobby", "Sound only", size=(640, 360), scale=1, symbol="speaker")
    )
    moving = draw_card("lobby", "Sound only", size=(640, 360), scale=1, phase=0.0)
    assert not np.array_equal(still, moving)


def test_what_was_drawn_before_is_not_drawn_upon() -> None:
    def draw(phase: float) -> np.ndarray:
        return draw_card("Connecting", "", size=(320, 180), scale=1, phase=phase)

    first = draw(0.1)
    kept = first.copy()
    draw(0.6)
    draw_card("Something else", "", size=(320, 180), scale=1)
    assert np.array_equal(first, kept)
    assert np.array_equal(draw(0.1), kept)


def test_words_matter() -> None:
    def draw(title: str, message: str, hint: str | None) -> bytes:
        return draw_card(title, message, size=(640, 360), scale=1, hint=hint).tobytes()

    variants = [
        ("a", "b", "c"),
        ("x", "b", "c"),
        ("a", "x", "c"),
        ("a", "b", "x"),
        ("a", "b", None),
    ]
    assert len({draw(*variant) for variant in variants}) == 5


def test_a_small_window_has_at_least_the_title() -> None:
    shown = is_ink(draw_card("Connecting", "", size=(150, 40), scale=1))
    assert shown.sum() > 50


def test_text_has_contrast() -> None:
    for colour in (theme.INK, theme.INK_SOFT, theme.QUIET):
        assert contrast(colour, theme.CARD_LIGHT) >= 4.5
        assert contrast(colour, theme.CARD_DARK) >= 4.5


def test_the_background_has_no_steps() -> None:
    image = draw_card("", "", size=(1280, 720), scale=1).astype(float)
    row = image[700, :, 2]  # blue changes most
    smooth = np.convolve(row, np.ones(31) / 31, mode="valid")
    assert np.abs(np.diff(smooth)).max() < 0.2
    assert smooth.max() - smooth.min() > 5
