"""What tests of drawings measure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from streamsocket.player.drawing import theme
from streamsocket.player.drawing.theme import Colour

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamsocket.desktop.backend import Image

HARD_TEXTS = [
    "",
    " ",
    "\n\n\n",
    "one line\nand another\r\nand\tmore",
    "W" * 400,
    "rtsp://" + "a" * 500,
    "many words " * 300,
    "日本語のテキスト",
    "שלום עולם \u202e left \u202d",
    "مرحبا بالعالم",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f389\ufe0f",
    "e\u0301" * 50,
    "\x00\x1b[31m\x7f\ud800",
    "Größe: 5 µs − 3 × 2 → “ok”",
]


def over(image: Image, background: int) -> NDArray[np.float64]:
    """What is seen of a drawing that lies over one grey, from 0 to 255."""
    alpha = image[..., 3:] / 255
    return np.asarray(image[..., :3] * alpha + background * (1 - alpha))


def is_ink(image: Image) -> NDArray[np.bool_]:
    """Where something is clearly brighter than the panel and the line around it."""
    return np.asarray(image[..., :3].max(axis=2).astype(np.uint16) * image[..., 3] > 90 * 255)


def is_clear_of_its_edge(image: Image, by: int) -> bool:
    """Whether nothing is written within so many pixels of the edge."""
    ink = is_ink(image)
    ink[by:-by, by:-by] = False
    return not ink.any()


def contrast(one: Colour, other: Colour) -> float:
    """The contrast ratio of two colours (WCAG 2.2)."""
    lighter, darker = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def panel_over_white() -> Colour:
    """The panel's colour where it lies over the brightest picture."""
    share = theme.PANEL_ALPHA / 255
    red, green, blue = (round(255 * (1 - share) + part * share) for part in theme.PANEL)
    return red, green, blue


def _luminance(colour: Colour) -> float:
    linear = [
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
        for part in (value / 255 for value in colour)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
