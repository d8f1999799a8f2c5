"""A picture under construction: a panel or a card, onto which shapes and text are put."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import PIL.Image

from streamsocket.player.drawing import shapes, text, theme
from streamsocket.player.drawing.theme import Colour

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Image


class Canvas:
    """Everything is put onto it with `paint`, from the back to the front."""

    def __init__(self, image: PIL.Image.Image) -> None:
        self._image = image
        self.width, self.height = image.size

    @classmethod
    def panel(cls, width: int, height: int, radius: int, scale: float) -> Canvas:
        """A dark, half transparent panel with round corners and a thin bright edge."""
        return cls(_panel(width, height, radius, theme.px(1, scale)).copy())

    def paint(
        self, mask: PIL.Image.Image, colour: Colour, at: tuple[int, int], opacity: float = 1.0
    ) -> None:
        """Put a colour where the mask covers, with the mask's upper left corner there."""
        if opacity < 1:
            mask = mask.point([round(value * opacity) for value in range(256)])
        self._image.paste((*colour, 255), at, mask)

    def write(self, line: str, size: int, colour: Colour, x: int, baseline: int) -> None:
        """Write a cleaned line of text from there on."""
        for word, offset in text.words(line, size):
            mask, left, above = text.word_mask(word, size)
            self._image.paste((*colour, 255), (x + offset - left, baseline - above), mask)

    def write_centred(self, line: str, size: int, colour: Colour, baseline: int) -> None:
        """Write a cleaned line of text in the middle."""
        self.write(line, size, colour, (self.width - text.width(line, size)) // 2, baseline)

    def array(self) -> Image:
        """The finished picture, which can't be written to."""
        return np.asarray(self._image)


@lru_cache(maxsize=16)
def _panel(width: int, height: int, radius: int, edge: int) -> PIL.Image.Image:
    # The panel's colour everywhere, so that its soft edges have no fringe.
    image = PIL.Image.new("RGBA", (width, height), (*theme.PANEL, 0))
    image.paste((*theme.PANEL, theme.PANEL_ALPHA), (0, 0), shapes.rounded(width, height, radius))
    Canvas(image).paint(shapes.outline(width, height, radius, edge), theme.INK, (0, 0), theme.EDGE)
    return image
