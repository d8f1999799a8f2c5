"""What a key shows over the picture: the figures, and what the keys do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from streamsocket.player.drawing import shapes, symbols, text, theme
from streamsocket.player.drawing.canvas import Canvas
from streamsocket.player.drawing.theme import px

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Image

_Keys = Sequence[tuple[Sequence[str], str]]

KEYS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("space",), "Pause, and go on"),
    (("f",), "Full screen, also by a double click"),
    (("m",), "Mute"),
    (("up", "down"), "Volume, also + and -"),
    (("left", "right"), "Sound 10 ms earlier, later"),
    (("s",), "Snapshot of the picture"),
    (("i",), "Figures"),
    (("h",), "This help"),
    (("q", "escape"), "Quit"),
)
"""The player's keys, by the names that the window gives them, and what they do."""

_MAX_ROWS = 24
_LEAST_TEXT = 9
_ARROWS = get_args(symbols.Arrow)

_FACTS_TEXT, _FACTS_LINE, _FACTS_TITLE = 14, 22, 38
# The column of values is so wide at least, and grows in steps: the panel keeps its size.
_VALUES, _VALUES_STEP, _VALUES_MOST = 300, 40, 460
_LABELS_MOST = 140


class _HelpStyle(NamedTuple):
    """Lengths of the help, in the design's pixels."""

    top: int
    """Where the first row is."""
    line: int
    """From row to row."""
    cap: int
    """How high a key is."""
    titled: bool = True


_FACE_MOST = 90
_AIRY, _DENSE = _HelpStyle(44, 34, 26), _HelpStyle(8, 24, 20, titled=False)


def draw_facts(
    rows: Sequence[tuple[str, str]],
    *,
    title: str,
    scale: float,
    window: tuple[int, int] | None = None,
) -> Image:
    """The figures of a stream: labels and values in two columns, below a title.

    The panel's size is the same while no row is added and no value becomes very much longer. It is
    smaller where a `window` of that width and height has no room for it; values that are too long
    then end with an ellipsis, and rows that are too many are left out.
    """
    rows = rows[:_MAX_ROWS]
    room = theme.space(window, scale) if window else None
    if room:
        scale = min(scale, max(room[1] / _facts_height(len(rows)), _LEAST_TEXT / _FACTS_TEXT))
        while rows and px(_facts_height(len(rows)), scale) > room[1]:
            rows = rows[:-1]
    padding, size = px(theme.PADDING, scale), px(_FACTS_TEXT, scale)
    texts = [(text.one_line(label), text.one_line(value)) for label, value in rows]
    labels = max((text.width(label, size) for label, _ in texts), default=0)
    labels = min(labels, px(_LABELS_MOST, scale))
    values_left = padding + labels + px(18, scale)
    values = _values_width([value for _, value in texts], size, scale)
    if room:
        values = max(size, min(values, room[0] - values_left - padding))

    canvas = Canvas.panel(
        *(values_left + values + padding, px(_facts_height(len(rows)), scale)),
        *(px(theme.RADIUS, scale), scale),
    )
    title_size, inside = px(theme.TEXT, scale), canvas.width - 2 * padding
    shown = text.fitted(text.one_line(title), title_size, inside)
    canvas.write(shown, title_size, theme.INK, padding, px(25, scale))
    rule = shapes.rounded(inside, px(1, scale), 0)
    canvas.paint(rule, theme.INK, (padding, px(_FACTS_TITLE - 3, scale)), theme.EDGE)
    for index, (label, value) in enumerate(texts):
        baseline = px(_FACTS_TITLE + _FACTS_LINE * index + 18, scale)
        label, value = text.fitted(label, size, labels), text.fitted(value, size, values)
        canvas.write(label, size, theme.INK_SOFT, padding, baseline)
        canvas.write(value, size, theme.INK, values_left, baseline)
    return canvas.array()


def draw_help(
    scale: float,
    *,
    keys: _Keys = KEYS,
    window: tuple[int, int] | None = None,
) -> Image:
    """What the keys do; smaller where a `window` of that width and height has no room for it.

    `keys` are names as the window gives them, and a few words on what they do.
    """
    keys = keys[:_MAX_ROWS]
    style, most = _AIRY, None
    if window:
        room = theme.space(window, scale)
        fitting = _help_scale(keys, _AIRY, room, scale)
        if _help_size(keys, _AIRY, fitting)[1] > room[1]:
            style, fitting = _DENSE, _help_scale(keys, _DENSE, room, scale)
        scale, most = fitting, room[0]
    width, height = _help_size(keys, style, scale)
    size, padding = px(theme.TEXT, scale), px(theme.PADDING, scale)
    canvas = Canvas.panel(min(width, most or width), height, px(theme.RADIUS, scale), scale)
    if style.titled:
        canvas.write("Keys", px(17, scale), theme.INK, padding, px(31, scale))
    texts_left = padding + _caps_width(keys, style, scale) + px(18, scale)
    room_right = canvas.width - padding - texts_left
    for index, (names, does) in enumerate(keys):
        top = px(style.top + style.line * index, scale)
        x = padding
        for name in names:
            x += _draw_cap(canvas, name, x, top, style, scale) + px(6, scale)
        baseline = top + (px(style.cap, scale) + text.ascent(size)) // 2
        line = text.fitted(text.one_line(does), size, room_right)
        canvas.write(line, size, theme.INK_SOFT, texts_left, baseline)
    return canvas.array()


def _values_width(values: Sequence[str], size: int, scale: float) -> int:
    widest = max((text.width(value, size) for value in values), default=0)
    least, step = px(_VALUES, scale), px(_VALUES_STEP, scale)
    steps = max(0, -(-(widest - least) // step))
    return min(least + steps * step, px(_VALUES_MOST, scale))


def _facts_height(rows: int) -> int:
    """The height of the figures' panel in the design's pixels."""
    return _FACTS_TITLE + _FACTS_LINE * rows + theme.PADDING - 4


def _help_scale(keys: _Keys, style: _HelpStyle, room: tuple[int, int], scale: float) -> float:
    """The scale at which the help fits, or the least at which it can be read."""
    least = min(scale, _LEAST_TEXT / theme.TEXT)
    while scale > least:
        width, height = _help_size(keys, style, scale)
        if width <= room[0] and height <= room[1]:
            return scale
        # Text shrinks in whole pixels only, so a try may not be enough.
        scale *= max(0.5, min(0.97, room[0] / width, room[1] / height))
    return least


def _help_size(keys: _Keys, style: _HelpStyle, scale: float) -> tuple[int, int]:
    size, padding = px(theme.TEXT, scale), px(theme.PADDING, scale)
    texts = max((text.width(text.one_line(does), size) for _, does in keys), default=0)
    texts = min(texts, px(_VALUES_MOST, scale))
    width = 2 * padding + _caps_width(keys, style, scale) + px(18, scale) + texts
    return width, px(style.top + style.line * len(keys) + 6, scale)


def _caps_width(keys: _Keys, style: _HelpStyle, scale: float) -> int:
    gap = px(6, scale)
    rows = (sum(_cap_width(name, style, scale) + gap for name in names) - gap for names, _ in keys)
    return max(rows, default=0)


def _face(name: str, scale: float) -> str:
    """What is written on a key."""
    face = {"escape": "Esc", "return": "Enter", "backspace": "Back"}.get(name, name)
    room = px(_FACE_MOST, scale)
    return text.fitted(text.one_line(face.capitalize()), px(theme.TEXT_SMALL, scale), room)


def _cap_width(name: str, style: _HelpStyle, scale: float) -> int:
    if name in _ARROWS:
        return px(style.cap, scale)
    letters = text.width(_face(name, scale), px(theme.TEXT_SMALL, scale))
    return max(px(style.cap, scale), letters + 2 * px(9, scale))


def _draw_cap(canvas: Canvas, name: str, x: int, y: int, style: _HelpStyle, scale: float) -> int:
    """Draw a key; return its width."""
    width, height = _cap_width(name, style, scale), px(style.cap, scale)
    radius, edge = px(5, scale), px(1, scale)
    canvas.paint(shapes.rounded(width, height, radius), theme.INK, (x, y), 0.2)
    top = shapes.rounded(width - 2 * edge, height - 3 * edge, max(1, radius - edge))
    canvas.paint(top, theme.KEYCAP, (x + edge, y + edge))
    middle = y + edge + (height - 3 * edge) / 2
    if name in _ARROWS:
        side = px(16, scale)
        sign = symbols.arrow(side, cast(symbols.Arrow, name))
        canvas.paint(sign, theme.INK, (x + (width - side) // 2, round(middle - side / 2)))
        return width
    size, face = px(theme.TEXT_SMALL, scale), _face(name, scale)
    baseline = round(middle + text.ascent(size) / 2)
    canvas.write(face, size, theme.INK, x + (width - text.width(face, size)) // 2, baseline)
    return width
