"""Short messages over the picture: notices that go by themselves, and badges that stay."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from streamsocket.player.drawing import shapes, symbols, text, theme
from streamsocket.player.drawing.canvas import Canvas
from streamsocket.player.drawing.theme import px

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Image

BadgeKind = Literal["live", "warning", "muted"]

MOST_VOLUME = 1.5
"""Where the bar of the volume ends; what is above 1 is amplified."""

_COLOURS = {"live": theme.GOOD, "warning": theme.WARNING, "muted": theme.QUIET}
_NOTICE_MOST, _NOTICE_LINES, _NOTICE_HEIGHT = 560, 3, 42
_BADGE_MOST, _BADGE_HEIGHT = 420, 28
_BAR, _BAR_HEIGHT = 160, 6


def draw_notice(words: str, scale: float, *, window: tuple[int, int] | None = None) -> Image:
    """Something that has just happened, in up to three lines, fit for a `window` of that size."""
    size, side = px(theme.TEXT, scale), px(18, scale)
    room = _room(_NOTICE_MOST, window, 2 * side, scale)
    line_height = round(size * theme.LINE)
    height = px(_NOTICE_HEIGHT, scale)
    lines = text.wrapped(text.clean(words), size, room, _NOTICE_LINES)
    height += (len(lines) - 1) * line_height
    width = max(text.width(line, size) for line in lines) + 2 * side
    canvas = Canvas.panel(width, height, px(theme.RADIUS, scale), scale)
    baseline = (px(_NOTICE_HEIGHT, scale) + text.ascent(size)) // 2
    for index, line in enumerate(lines):
        canvas.write_centred(line, size, theme.INK, baseline + index * line_height)
    return canvas.array()


def draw_volume(
    volume: float, muted: bool, scale: float, *, window: tuple[int, int] | None = None
) -> Image:
    """How loud it is, from 0 to 1 and with amplification to 1.5, as a bar and in percent.

    Always of the same size in a `window` of the same.
    """
    size, side, sign = px(theme.TEXT, scale), px(18, scale), px(22, scale)
    height, gap = px(_NOTICE_HEIGHT, scale), px(14, scale)
    figures = max(text.width(words, size) for words in ("Muted", "150%"))
    beside_bar = 2 * (side + gap) + sign + figures
    bar, thick = _room(_BAR, window, beside_bar, scale), px(_BAR_HEIGHT, scale)
    canvas = Canvas.panel(beside_bar + bar, height, px(theme.RADIUS, scale), scale)
    silent = muted or volume <= 0
    speaker = symbols.speaker(sign, 2 if volume > 0.5 else 1, crossed=silent)
    canvas.paint(speaker, theme.QUIET if silent else theme.INK, (side, (height - sign) // 2))

    left, top = side + sign + gap, (height - thick) // 2
    whole = left + round(bar / MOST_VOLUME)
    canvas.paint(shapes.rounded(bar, thick, thick // 2), theme.INK, (left, top), 0.22)
    filled = round(bar * min(max(volume, 0.0), MOST_VOLUME) / MOST_VOLUME)
    if filled:
        level = shapes.rounded(bar, thick, thick // 2).copy()
        level.paste(0, (filled, 0, bar, thick))
        canvas.paint(level, theme.QUIET if silent else theme.ACCENT, (left, top))
        if volume > 1 and not silent:
            level.paste(0, (0, 0, whole - left, thick))
            canvas.paint(level, theme.WARNING, (left, top))
    notch, reach = px(2, scale), px(4, scale)
    canvas.paint(
        shapes.rounded(notch, thick + 2 * reach, notch // 2),
        *(theme.INK, (whole - notch // 2, top - reach), 0.5),
    )
    words = "Muted" if muted else f"{min(max(volume, 0.0), MOST_VOLUME) * 100:.0f}%"
    x = canvas.width - side - text.width(words, size)
    canvas.write(words, size, theme.INK, x, (height + text.ascent(size)) // 2)
    return canvas.array()


def draw_badge(
    words: str, kind: BadgeKind, scale: float, *, window: tuple[int, int] | None = None
) -> Image:
    """How things stand, in one line with a coloured dot, fit for a `window` of that size."""
    size, side = px(theme.TEXT_SMALL, scale), px(12, scale)
    height, dot = px(_BADGE_HEIGHT, scale), px(8, scale)
    words_left = side + dot + px(theme.GAP, scale)
    room = _room(_BADGE_MOST, window, words_left + side, scale)
    line = text.fitted(text.one_line(words), size, room)
    canvas = Canvas.panel(
        words_left + text.width(line, size) + side, height, (height + 1) // 2, scale
    )
    canvas.paint(shapes.disc(dot, dot / 2), _COLOURS[kind], (side, (height - dot) // 2))
    canvas.write(line, size, theme.INK, words_left, (height + text.ascent(size)) // 2)
    return canvas.array()


def _room(most: int, window: tuple[int, int] | None, sides: int, scale: float) -> int:
    """How wide something may be in a panel that needs so much besides."""
    room = px(most, scale)
    return max(1, min(room, theme.space(window, scale)[0] - sides)) if window else room
