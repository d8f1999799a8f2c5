"""A moving picture with noise, as a camera's, that carries its own number where it can be read."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.uint8]

SIZE = 1280, 720
_BITS, _SIDE = 16, 32
_KINDS = 8
_NOISE = 3.0
_ROOM = 512


class Pictures:
    """Draws pictures of 1280x720 in RGB."""

    def __init__(self) -> None:
        chance = np.random.default_rng(1)
        width, height = SIZE[0] + _ROOM, SIZE[1]
        rows, columns = np.mgrid[:height, :width].astype(np.float32)
        # Surfaces and edges, large and small.
        scene = np.stack(
            [
                110 + 60 * np.sin(columns / (60 + 20 * each) + rows / 90)
                + 30 * np.sign(np.sin(columns / 23 + each) * np.cos(rows / 31))
                for each in range(3)
            ],
            axis=2,
        )  # fmt: skip
        self._kinds = [
            np.clip(scene + chance.normal(0, _NOISE, scene.shape), 0, 255).astype(np.uint8)
            for _ in range(_KINDS)
        ]

    def draw(self, number: int) -> Image:
        """The picture of that number, from 0 to 65,535."""
        place = abs(number * 3 % (2 * _ROOM) - _ROOM)
        image = self._kinds[number % _KINDS][:, place : place + SIZE[0]].copy()
        for bit in range(_BITS):
            image[:_SIDE, bit * _SIDE : (bit + 1) * _SIDE] = 235 if number >> bit & 1 else 20
        return image


def number_of(image: Image) -> int:
    """The number that a picture carries, in RGB or BGR, after whatever coding."""
    middles = image[_SIDE // 2, _SIDE // 2 : _BITS * _SIDE : _SIDE, 1]
    return int((middles > 128) @ (1 << np.arange(_BITS)))
