"""Where things are in the window. Rectangles are in pixels; the origin is the upper left corner."""

from __future__ import annotations

from typing import NamedTuple

from streamsocket.desktop.backend import Layer

_INSET_SHARE = 4
"""The inset takes one part in so many of the window's width …"""
_INSET_TALLEST = 2
"""… and at the most of its height: a telephone's picture is tall."""
_MARGIN = 16
"""Between the window's edge and what lies over the picture, in pixels at 96 dots an inch."""


class Rect(NamedTuple):
    x: int
    y: int
    width: int
    height: int

    def grown(self, by: int) -> Rect:
        """The same with so much more on every side."""
        return Rect(self.x - by, self.y - by, self.width + 2 * by, self.height + 2 * by)


def first_size(wanted: tuple[int, int], enlarge: float, room: tuple[int, int]) -> tuple[int, int]:
    """The size to open a window in: enlarged as wanted, in the same shape where room is short."""
    size = round(wanted[0] * enlarge), round(wanted[1] * enlarge)
    if size[0] <= room[0] and size[1] <= room[1]:
        return size
    within = fit(size, 1, Rect(0, 0, *room))
    return within.width, within.height


def fit(picture: tuple[int, int], pixel_aspect: float, within: Rect) -> Rect:
    """The largest rectangle of the picture's shape, in the middle of another one.

    `picture` is its width and height in pixels, `pixel_aspect` the width of one of them by its
    height.
    """
    width, height = picture[0] * pixel_aspect, picture[1]
    scale = min(within.width / width, within.height / height)
    shown = max(1, round(width * scale)), max(1, round(height * scale))
    return Rect(
        within.x + (within.width - shown[0]) // 2,
        within.y + (within.height - shown[1]) // 2,
        *shown,
    )


def inset(
    picture: tuple[int, int], pixel_aspect: float, window: tuple[int, int], scale: float
) -> Rect:
    """Where the small picture is."""
    most = max(1, window[0] // _INSET_SHARE), max(1, window[1] // _INSET_TALLEST)
    shown = fit(picture, pixel_aspect, Rect(0, 0, *most))
    margin = round(_MARGIN * scale)
    return Rect(
        window[0] - margin - shown.width,
        window[1] - margin - shown.height,
        shown.width,
        shown.height,
    )


def place(layer: Layer, image: tuple[int, int], window: tuple[int, int], scale: float) -> Rect:
    """Where a drawn layer of that width and height lies."""
    (width, height), margin = image, round(_MARGIN * scale)
    middle = (window[0] - width) // 2
    match layer:
        case "card":
            return Rect(0, 0, *window)
        case "top-left":
            return Rect(margin, margin, width, height)
        case "top-right":
            return Rect(window[0] - margin - width, margin, width, height)
        case "bottom":
            return Rect(middle, window[1] - margin - height, width, height)
        case "centre":
            return Rect(middle, (window[1] - height) // 2, width, height)
