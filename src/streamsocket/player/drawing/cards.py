"""What fills the window while there is no picture."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

import numpy as np
import PIL.Image

from streamsocket.player.drawing import shapes, symbols, text, theme
from streamsocket.player.drawing.canvas import Canvas
from streamsocket.player.drawing.theme import px

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamsocket.desktop.backend import Image

Symbol = Literal["mark", "speaker"]

# The design is for a window of this size; in others everything grows and shrinks, within limits.
_DESIGN = (600, 340)
_SMALLEST, _LARGEST = 0.74, 1.4
_TITLE, _MESSAGE, _HINT = 25, 15, 13
_SYMBOL, _LONE_SYMBOL, _RING, _RING_LINE = 60, 76, 92, 3.5
_MARGIN = 20
_MOST_WIDE = 520

# Lines of title and message, with the symbol, with the hint: what is tried until it fits.
_PLANS = (
    (2, 4, True, True),
    (2, 2, True, True),
    (2, 2, True, False),
    (1, 1, True, False),
    (2, 3, False, False),
    (1, 1, False, False),
)

_LEVELS, _NOISE, _TILE = 1024, 36, 64


def draw_card(
    title: str,
    message: str,
    *,
    size: tuple[int, int],
    scale: float,
    phase: float | None = None,
    hint: str | None = None,
    symbol: Symbol = "mark",
) -> Image:
    """A picture of that width and height that says what is going on, and a hint at its foot.

    `phase` is how far round a ring that shows that something is under way has gone, from 0 to 1;
    None: no ring. What stands still is kept: the next phase of the same card costs a millisecond.
    """
    size = max(1, size[0]), max(1, size[1])
    still, ring = _still(title, message, size, scale, phase is not None, hint or "", symbol)
    if ring is None or phase is None:
        return still
    image = still.copy()
    left, top, side, line = ring
    part = image[top : top + side, left : left + side]
    canvas = Canvas(PIL.Image.fromarray(part))
    canvas.paint(shapes.comet(side, side / 2 - line, line, phase), theme.ACCENT, (0, 0))
    part[:] = canvas.array()
    return image


class _Layout:
    """Which parts of a card there is room for, and how large they are."""

    def __init__(self, size: tuple[int, int], scale: float, under_way: bool) -> None:
        width, height = size
        by_window = max(min(width / _DESIGN[0], height / _DESIGN[1]), _SMALLEST)
        self.unit = min(by_window, _LARGEST * scale)
        self.title, self.message = px(_TITLE, self.unit), px(_MESSAGE, self.unit)
        self.hint = px(_HINT, self.unit)
        self.title_line, self.message_line = round(self.title * 1.22), round(self.message * 1.4)
        self.symbol = px(_SYMBOL if under_way else _LONE_SYMBOL, self.unit)
        self.symbol_room = px(_RING, self.unit) if under_way else self.symbol
        self.gap, self.small_gap = px(20, self.unit), px(7, self.unit)
        self.margin = px(_MARGIN, self.unit)
        self.room = max(1, min(width - 2 * self.margin, px(_MOST_WIDE, self.unit)))
        self.height = height

    def plan(self, title: str, message: str, hint: bool) -> tuple[list[str], list[str], bool, bool]:
        """The lines of title and message, and whether symbol and hint fit."""
        for titles, messages, with_symbol, with_hint in _PLANS:
            title_lines = text.wrapped(title, self.title, self.room, titles)
            message_lines = text.wrapped(message, self.message, self.room, messages)
            foot = self.hint + self.margin if with_hint and hint else 0
            needed = self.content(title_lines, message_lines, with_symbol)
            if needed + 2 * (foot or self.margin // 2) <= self.height:
                return title_lines, message_lines, with_symbol, bool(foot)
        return [text.fitted(title, self.title, self.room)], [], False, False

    def content(self, titles: list[str], messages: list[str], with_symbol: bool) -> int:
        """How high symbol, title and message are together."""
        texts = len(titles) * self.title_line + len(messages) * self.message_line
        return texts + self.small_gap + (self.symbol_room + self.gap if with_symbol else 0)


@lru_cache(maxsize=1)
def _still(
    title: str,
    message: str,
    size: tuple[int, int],
    scale: float,
    under_way: bool,
    hint: str,
    symbol: Symbol,
) -> tuple[Image, tuple[int, int, int, int] | None]:
    """A card without its moving part, and where that goes: left, top, side and the line's width."""
    width, height = size
    layout = _Layout(size, scale, under_way)
    hint = text.fitted(text.one_line(hint), layout.hint, layout.room)
    titles, messages, with_symbol, with_hint = layout.plan(
        text.one_line(title), text.clean(message), bool(hint)
    )
    canvas = Canvas(PIL.Image.fromarray(_background(size)))
    # A little above the middle is where the eye takes the middle to be.
    content = layout.content(titles, messages, with_symbol)
    y = max(0, round((height - content) * (0.48 if with_symbol else 0.5)))
    ring = None
    if with_symbol:
        side = layout.symbol_room
        left = (width - side) // 2
        _paint_symbol(canvas, symbol, left, y, layout)
        if under_way:
            line = max(2, px(_RING_LINE, layout.unit))
            track = shapes.outline(side - line, side - line, side // 2, line)
            canvas.paint(track, theme.INK, (left + line // 2, y + line // 2), 0.1)
            ring = left, y, side, line
        y += side + layout.gap
    for lines, text_size, line_height, colour in (
        (titles, layout.title, layout.title_line, theme.INK),
        (messages, layout.message, layout.message_line, theme.INK_SOFT),
    ):
        for words in lines:
            baseline = y + (line_height + text.ascent(text_size)) // 2
            canvas.write_centred(words, text_size, colour, baseline)
            y += line_height
        y += layout.small_gap
    if with_hint:
        canvas.write_centred(hint, layout.hint, theme.QUIET, height - layout.margin)
    return canvas.array(), ring


def _paint_symbol(canvas: Canvas, symbol: Symbol, left: int, top: int, layout: _Layout) -> None:
    side = layout.symbol
    inset = (layout.symbol_room - side) // 2
    if symbol == "speaker":
        canvas.paint(symbols.speaker(side, 2), theme.ACCENT, (left + inset, top + inset))
    else:
        symbols.paint_mark(canvas, left + inset, top + inset, side)


@lru_cache(maxsize=1)
def _background(size: tuple[int, int]) -> NDArray[np.uint8]:
    """Nearly black, a little lighter behind the middle, without visible steps."""
    width, height = size
    x = np.linspace(-1, 1, width, dtype=np.float32)
    y = np.linspace(-0.92, 1.08, height, dtype=np.float32)
    light = np.multiply.outer(np.exp(-1.1 * y * y), np.exp(-0.9 * x * x) * (_LEVELS - _NOISE))
    # Noise of about one step of a colour channel hides where the steps are.
    noise = np.random.default_rng(1).uniform(0, _NOISE, (_TILE, _TILE)).astype(np.float32)
    light += np.tile(noise, (-(-height // _TILE), -(-width // _TILE)))[:height, :width]
    pixels: NDArray[np.uint8] = _shades()[light.astype(np.uint16)].view(np.uint8)
    return pixels.reshape(height, width, 4)


def _shades() -> NDArray[np.uint32]:
    """From the darkest colour to the lightest, four channels in one number."""
    share = np.linspace(0, 1, _LEVELS)[:, np.newaxis]
    colours = np.round(share * theme.CARD_LIGHT + (1 - share) * theme.CARD_DARK)
    opaque = np.full((_LEVELS, 1), 255)
    return np.hstack([colours, opaque]).astype(np.uint8).view(np.uint32)[:, 0]
