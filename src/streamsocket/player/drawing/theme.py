"""How everything in the window looks: colours, and sizes in pixels at 96 dots an inch."""

from __future__ import annotations

Colour = tuple[int, int, int]

INK: Colour = (245, 248, 252)
"""What is to be read first."""
INK_SOFT: Colour = (190, 200, 212)
"""Labels and explanations; on a panel over a white picture it still stands out by 4.5 to 1."""
PANEL: Colour = (13, 17, 24)
PANEL_ALPHA = 217
"""Dark enough for text over any picture, light enough that the picture is felt behind it."""
EDGE = 0.11
"""How much of the ink is in the thin line around a panel, which shows it on black."""

ACCENT: Colour = (79, 193, 233)
GOOD: Colour = (72, 207, 143)
WARNING: Colour = (255, 189, 74)
QUIET: Colour = (152, 164, 180)

KEYCAP: Colour = (44, 53, 68)

CARD_LIGHT: Colour = (32, 42, 60)
CARD_DARK: Colour = (8, 10, 15)

TEXT = 15
TEXT_SMALL = 13
LINE = 1.3
"""From line to line, in sizes of the text."""
RADIUS = 10
PADDING = 16
GAP = 8
MARGIN = 16
"""Between the window's edge and what lies over the picture."""


def px(length: float, scale: float) -> int:
    """A length of the design in whole pixels, at least one."""
    return max(1, round(length * scale))


def space(window: tuple[int, int], scale: float) -> tuple[int, int]:
    """The width and height that a window has for what lies over the picture."""
    margin = round(MARGIN * scale)
    return max(1, window[0] - 2 * margin), max(1, window[1] - 2 * margin)
