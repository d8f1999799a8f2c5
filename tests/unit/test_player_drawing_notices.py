"""Notices, the volume and badges."""

from __future__ import annotations

import numpy as np
import pytest
from drawing_helpers import HARD_TEXTS, contrast, is_clear_of_its_edge, is_ink, over

from streamsocket.player.drawing import theme
from streamsocket.player.drawing.notices import BadgeKind, draw_badge, draw_notice, draw_volume


@pytest.mark.parametrize("hard", HARD_TEXTS)
def test_hard_texts_stay_inside(hard: str) -> None:
    for scale in (1, 2):
        notice = draw_notice(hard, scale)
        assert notice.shape[1] <= 600 * scale
        assert notice.shape[0] <= 90 * scale
        assert is_clear_of_its_edge(notice, 5 * scale)
        badge = draw_badge(hard, "live", scale)
        assert badge.shape[1] <= 470 * scale
        assert is_clear_of_its_edge(badge, 4 * scale)


def test_a_long_notice_has_more_lines() -> None:
    short = draw_notice("Muted", 1)
    long = draw_notice("The snapshot cannot be saved here: there is no room left. " * 2, 1)
    assert long.shape[0] > short.shape[0]
    assert long.shape[1] > short.shape[1]


@pytest.mark.parametrize("width", [200, 320, 500])
def test_they_fit_small_windows(width: int) -> None:
    window = (width, 180)
    room = theme.space(window, 1)[0]
    words = "Saved meeting-room-third-floor-2026-11-21-164530.png"
    notice = draw_notice(words, 1, window=window)
    assert notice.shape[1] <= room
    assert is_clear_of_its_edge(notice, 5)
    assert draw_volume(0.5, False, 1, window=window).shape[1] <= room
    badge = draw_badge(words, "warning", 1, window=window)
    assert badge.shape[1] <= room
    assert is_clear_of_its_edge(badge, 4)


def test_the_text_is_in_the_middle() -> None:
    ink = is_ink(draw_notice("Muted", 1))
    columns = ink.any(axis=0).nonzero()[0]
    assert abs(columns[0] - (ink.shape[1] - 1 - columns[-1])) <= 2
    rows = ink.any(axis=1).nonzero()[0]
    assert abs(rows[0] - (ink.shape[0] - 1 - rows[-1])) <= 2


@pytest.mark.parametrize("scale", [1, 1.5, 2])
def test_the_volume_is_always_of_one_size(scale: float) -> None:
    images = [
        draw_volume(volume, muted, scale)
        for volume in (-1, 0, 0.05, 0.5, 0.95, 1, 1.1, 1.5, 9)
        for muted in (False, True)
    ]
    assert len({image.shape for image in images}) == 1
    assert all(is_clear_of_its_edge(image, round(6 * scale)) for image in images)


def _accented(volume: float, *, muted: bool = False) -> int:
    image = draw_volume(volume, muted, 1)
    return int((image[..., :3] == theme.ACCENT).all(axis=2).sum())


def test_the_bar_shows_how_loud_it_is() -> None:
    half, full = _accented(0.5), _accented(1)
    assert 0 < half < full
    assert full / half == pytest.approx(2, rel=0.1)
    assert _accented(0) == _accented(0.8, muted=True) == 0


def test_amplification_has_a_colour_of_its_own() -> None:
    def warns(volume: float) -> bool:
        return bool((draw_volume(volume, False, 1)[..., :3] == theme.WARNING).all(axis=2).any())

    assert warns(1.25)
    assert not warns(1)
    assert _accented(1.5) == pytest.approx(_accented(1), rel=0.05)


def test_kinds_of_badges_have_their_colours() -> None:
    colours: dict[BadgeKind, theme.Colour] = {
        "live": theme.GOOD,
        "warning": theme.WARNING,
        "muted": theme.QUIET,
    }
    for kind, colour in colours.items():
        image = draw_badge("Paused", kind, 1)
        assert (image[..., :3] == colour).all(axis=2).sum() > 20
        assert contrast(colour, theme.PANEL) >= 4.5


def test_a_badge_is_round_at_its_ends() -> None:
    image = draw_badge("Paused", "warning", 2)
    assert image[:6, :6, 3].max() == 0
    assert image[image.shape[0] // 2, 3, 3] > 200
    assert over(image, 255)[0, 0].min() == 255


def test_edges_are_smooth() -> None:
    alpha = draw_notice("Muted", 2)[..., 3]
    assert len(np.unique(alpha[:24, :24])) > 5
