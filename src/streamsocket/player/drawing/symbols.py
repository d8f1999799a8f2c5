"""The few signs there are: the product's mark, a speaker, arrows."""

from __future__ import annotations

from functools import lru_cache, reduce
from typing import Literal

import PIL.Image
import PIL.ImageChops

from streamsocket.player.drawing import shapes, theme
from streamsocket.player.drawing.canvas import Canvas

Arrow = Literal["up", "down", "left", "right"]

_SPEAKER = ((-0.86, -0.26), (-0.52, -0.26), (-0.12, -0.62), (-0.12, 0.62), (-0.52, 0.26))
_SPEAKER_BODY = (*_SPEAKER, (-0.86, 0.26), (-0.86, -0.26))
_ARROWS: dict[Arrow, tuple[tuple[float, float], ...]] = {
    "up": ((-0.5, -0.1), (0.0, -0.6), (0.5, -0.1), (0.0, -0.6), (0.0, 0.6)),
    "down": ((-0.5, 0.1), (0.0, 0.6), (0.5, 0.1), (0.0, 0.6), (0.0, -0.6)),
    "left": ((-0.1, -0.5), (-0.6, 0.0), (-0.1, 0.5), (-0.6, 0.0), (0.6, 0.0)),
    "right": ((0.1, -0.5), (0.6, 0.0), (0.1, 0.5), (0.6, 0.0), (-0.6, 0.0)),
}


def paint_mark(canvas: Canvas, left: int, top: int, side: int) -> None:
    """The product's mark: an open socket, what it holds, and the streams that leave it."""
    unit, at = side / 2, (left - round(side * 0.07), top)  # it reaches farther to the right
    canvas.paint(shapes.arc(side, unit * 0.5, unit * 0.17, 0.5, 0.54), theme.INK, at)
    canvas.paint(shapes.disc(side, unit * 0.2), theme.ACCENT, at)
    canvas.paint(shapes.arc(side, unit * 0.5, unit * 0.17, 0.0, 0.2), theme.ACCENT, at)
    canvas.paint(shapes.arc(side, unit * 0.86, unit * 0.17, 0.0, 0.23), theme.ACCENT, at, 0.75)


@lru_cache(maxsize=16)
def speaker(side: int, waves: int, *, crossed: bool = False) -> PIL.Image.Image:
    """A loudspeaker with so many waves, up to two, or with a cross instead."""
    unit, line = side / 2, side * 0.075
    parts = [
        shapes.polygon(side, _SPEAKER_BODY),
        shapes.polyline(side, _SPEAKER_BODY, line),  # which makes the corners round
    ]
    if crossed:
        parts.append(shapes.polyline(side, ((0.28, -0.3), (0.88, 0.3)), line))
        parts.append(shapes.polyline(side, ((0.28, 0.3), (0.88, -0.3)), line))
    else:
        radii = (0.38, 0.76)[:waves]
        parts += [shapes.arc(side, unit * radius, line, 0.0, 0.26) for radius in radii]
    return reduce(PIL.ImageChops.lighter, parts)


def arrow(side: int, to: Arrow) -> PIL.Image.Image:
    """An arrow."""
    return shapes.polyline(side, _ARROWS[to], max(1.3, side * 0.1))
