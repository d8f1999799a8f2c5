"""The figures and the help over the picture."""

from __future__ import annotations

import numpy as np
import pytest
from drawing_helpers import (
    HARD_TEXTS,
    contrast,
    is_clear_of_its_edge,
    is_ink,
    panel_over_white,
)

from streamsocket.player.drawing import overlay, theme
from streamsocket.player.drawing.overlay import KEYS, draw_facts, draw_help

ROWS = [
    ("Picture", "H.264 High 1280×720, 30.0 fps, 2.43 Mbit/s"),
    ("Loss", "0 of 12,345 packets"),
    ("Latency", "58 ms from capture"),
]


def test_text_has_contrast_over_any_picture() -> None:
    for panel in (panel_over_white(), theme.PANEL):
        assert contrast(theme.INK, panel) >= 7
        assert contrast(theme.INK_SOFT, panel) >= 4.5
    assert contrast(theme.INK, theme.KEYCAP) >= 4.5


def test_the_panel_is_half_transparent_with_round_corners() -> None:
    image = draw_facts(ROWS, title="lobby", scale=1)
    assert image.dtype == np.uint8
    assert image.shape[2] == 4
    assert image[0, 0, 3] == image[-1, -1, 3] == 0
    assert image[image.shape[0] // 2, 5, 3] == theme.PANEL_ALPHA
    assert tuple(image[0, 0, :3]) == theme.PANEL  # no fringe where it fades out


@pytest.mark.parametrize("scale", [1, 1.25, 1.5, 2, 3])
def test_everything_grows_with_the_scale(scale: float) -> None:
    for draw in (lambda by: draw_facts(ROWS, title="lobby", scale=by), draw_help):
        plain, scaled = draw(1), draw(scale)
        assert scaled.shape[0] == pytest.approx(plain.shape[0] * scale, rel=0.03)
        assert scaled.shape[1] == pytest.approx(plain.shape[1] * scale, rel=0.06)
        # Text and not just the panel: there is as much ink in as much room.
        assert is_ink(scaled).mean() == pytest.approx(is_ink(plain).mean(), rel=0.35)


def test_the_panel_keeps_its_size_while_figures_change() -> None:
    shapes = {
        draw_facts(
            [("Loss", f"{lost:,} of {lost * 9:,} packets"), ("Latency", f"{lost} ms")],
            title="lobby",
            scale=1,
        ).shape
        for lost in (0, 1, 9, 10, 77, 111, 888, 1000, 123_456)
    }
    assert len(shapes) == 1


def test_what_doesnt_change_stays_where_it_is() -> None:
    one, other = (
        draw_facts([("Sync", f"sound +{figure} ms late")], title="lobby", scale=1)
        for figure in (3, 8)
    )
    changed = (one != other).any(axis=(0, 2)).nonzero()[0]
    assert 0 < len(changed) <= 10  # a digit's columns and no more


def test_every_row_is_written() -> None:
    image = is_ink(draw_facts(ROWS, title="lobby", scale=1))
    fewer = is_ink(draw_facts(ROWS[:2], title="lobby", scale=1))
    assert image.shape[0] > fewer.shape[0]
    lines = np.diff(np.concatenate([[0], image.any(axis=1).astype(int)]))
    assert (lines == 1).sum() >= 4  # the title and three rows, with blanks between them


@pytest.mark.parametrize("hard", HARD_TEXTS)
def test_hard_texts_stay_inside(hard: str) -> None:
    image = draw_facts([(hard, hard), ("Sound", hard)], title=hard, scale=1)
    assert image.shape[1] < 700
    assert is_clear_of_its_edge(image, 8)
    image = draw_help(1, keys=[((hard,), hard), (("a",), "b")])
    assert is_clear_of_its_edge(image, 4)


def test_there_are_never_too_many_rows() -> None:
    image = draw_facts([("Row", "value")] * 1000, title="lobby", scale=1)
    assert image.shape[0] < 700


@pytest.mark.parametrize("window", [(320, 180), (240, 400), (480, 270), (640, 360)])
@pytest.mark.parametrize("scale", [1, 2])
def test_panels_fit_small_windows(window: tuple[int, int], scale: float) -> None:
    room = theme.space(window, scale)
    image = draw_facts(ROWS * 4, title="lobby", scale=scale, window=window)
    assert image.shape[1] <= room[0]
    assert image.shape[0] <= room[1]
    assert is_clear_of_its_edge(image, 4)
    if scale == 1:
        image = draw_help(scale, window=window)
        assert image.shape[1] <= room[0]
        assert image.shape[0] <= room[1]


def test_large_windows_change_nothing() -> None:
    large = draw_help(1, window=(1920, 1080))
    assert np.array_equal(large, draw_help(1))
    rows = draw_facts(ROWS, title="lobby", scale=1, window=(1920, 1080))
    assert np.array_equal(rows, draw_facts(ROWS, title="lobby", scale=1))


def test_the_help_shows_every_key() -> None:
    image = draw_help(1)
    assert is_clear_of_its_edge(image, 8)
    for row in range(len(KEYS)):
        fewer = [*KEYS[:row], ((), ""), *KEYS[row + 1 :]]
        without = draw_help(1, keys=fewer)
        width = min(image.shape[1], without.shape[1])
        different = (image[:, :width] != without[:, :width]).any(axis=(1, 2)).nonzero()[0]
        assert len(different) >= overlay._AIRY.cap - 4


def test_arrows_are_drawn_rather_than_written() -> None:
    arrows = [draw_help(1, keys=[((name,), "x")]) for name in ("up", "down", "left", "right")]
    assert len({image.tobytes() for image in arrows}) == 4
    assert len({image.shape for image in arrows}) == 1
