"""The test pattern's picture: a drifting texture, a ball, a clock, and the yardstick."""

from __future__ import annotations

from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from streamsocket.sources import digits, yardstick

Plane = NDArray[np.uint8]

# The background drifts by up to so many pixels each way, once around in so many seconds.
_DRIFT = 64
_DRIFT_PERIOD_S = 16.0
_BALL_PERIOD_S = 3.0

_BALL_Y, _BALL_U, _BALL_V = 220, 60, 170
_NEUTRAL = 128

# How many characters wide the clock, which is the longest line, is with a margin.
_LINE_CHARACTERS = 14


class PictureDrawer:
    """Draws the test pattern as 8-bit 4:2:0, each picture into the same memory."""

    def __init__(self, width: int, height: int, utc_offset_s: int = 0) -> None:
        """`width` and `height` in pixels, both even; the clock shows UTC plus the offset."""
        self._width, self._height = width, height
        self._utc_offset_s = utc_offset_s
        self._background = _background(width + 2 * _DRIFT, height + 2 * _DRIFT)
        self._memory = np.empty(width * height * 3 // 2, np.uint8)
        self._planes = _planes(self._memory, width, height)
        self._white = np.full_like(self._memory, _NEUTRAL)
        self._white[: width * height] = yardstick.WHITE
        self._ball = _disc(max(4, height // 16) * 2)
        self._scale = max(1, min(height // 60, width // (_LINE_CHARACTERS * (digits.WIDTH + 1))))

    def draw(self, frame_number: int, capture_time: float) -> Plane:
        """Draw a picture: `height` * 3 / 2 lines of `width` bytes, Y, U and V behind each other.

        `capture_time` in seconds since the epoch is what the clock shows and the blocks say. The
        array is good until the next call.
        """
        self._draw_background(capture_time)
        self._draw_ball(capture_time)
        self._draw_text(frame_number, capture_time)
        luma, u, v = self._planes
        yardstick.draw_code(luma, frame_number, capture_time)
        for plane in (u, v):
            plane[-(yardstick.code_height(self._height) // 2) :] = _NEUTRAL
        return self._memory.reshape(-1, self._width)

    def flash(self) -> Plane:
        """The picture that is all white."""
        return self._white.reshape(-1, self._width)

    def _draw_background(self, time_s: float) -> None:
        angle = 2 * pi * time_s / _DRIFT_PERIOD_S
        # Even, so that the colours, of which there are half as many, move along exactly.
        x = 2 * round(_DRIFT / 2 * (1 + sin(angle)))
        y = 2 * round(_DRIFT / 2 * (1 + cos(angle)))
        for plane, source, step in zip(self._planes, self._background, (1, 2, 2), strict=True):
            height, width = plane.shape
            plane[:] = source[y // step : y // step + height, x // step : x // step + width]

    def _draw_ball(self, time_s: float) -> None:
        size = len(self._ball)
        phase = time_s % _BALL_PERIOD_S / _BALL_PERIOD_S
        x = 2 * int((self._width - size) / 2 * (0.5 + 0.5 * sin(2 * pi * phase)))
        room = self._height - yardstick.code_height(self._height) - size
        y = 2 * int(max(0, room) / 2 * abs(sin(4 * pi * phase)))
        luma, u, v = self._planes
        luma[y : y + size, x : x + size][self._ball] = _BALL_Y
        half = self._ball[::2, ::2]
        for plane, colour in ((u, _BALL_U), (v, _BALL_V)):
            plane[y // 2 : (y + size) // 2, x // 2 : (x + size) // 2][half] = colour

    def _draw_text(self, frame_number: int, capture_time: float) -> None:
        milliseconds = round((capture_time + self._utc_offset_s) * 1000)
        seconds, milliseconds = divmod(milliseconds, 1000)
        minutes, seconds = divmod(seconds, 60)
        hours = minutes // 60 % 24
        clock = f" {hours:02}:{minutes % 60:02}:{seconds:02}.{milliseconds:03} "
        line_height = (digits.HEIGHT + 2) * self._scale
        self._draw_line(clock, 2 * line_height)
        self._draw_line(f" #{frame_number} ", 3 * line_height)

    def _draw_line(self, text: str, y: int) -> None:
        """White on a black box, in the middle of the picture's width."""
        mask = digits.text_mask(text, self._scale)
        margin = self._scale
        height, width = mask.shape
        x = (self._width - width) // 2
        luma, u, v = self._planes
        luma[y - margin : y + height + margin, x : x + width] = yardstick.BLACK
        for plane in (u, v):
            plane[(y - margin) // 2 : (y + height + margin) // 2, x // 2 : (x + width) // 2] = (
                _NEUTRAL
            )
        luma[y : y + height, x : x + width][mask] = yardstick.WHITE


def _planes(memory: Plane, width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Views of a 4:2:0 picture's memory: Y, and U and V of half the size."""
    size = width * height
    half = height // 2, width // 2
    return (
        memory[:size].reshape(height, width),
        memory[size : size * 5 // 4].reshape(half),
        memory[size * 5 // 4 :].reshape(half),
    )


def _background(width: int, height: int) -> tuple[Plane, Plane, Plane]:
    """Soft waves of colour with a fine grain, so that motion is seen and costs bits."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / 64
    grain = np.random.default_rng(1).integers(-4, 5, (height, width))
    luma = 110 + 35 * np.sin(x) + 35 * np.sin(y + np.sin(x / 2)) + grain
    half_y, half_x = y[::2, ::2], x[::2, ::2]
    u = _NEUTRAL + 50 * np.sin(half_x / 2 + half_y / 3)
    v = _NEUTRAL + 50 * np.cos(half_x / 3 - half_y / 2)
    return luma.astype(np.uint8), u.astype(np.uint8), v.astype(np.uint8)


def _disc(diameter: int) -> NDArray[np.bool_]:
    centre = (diameter - 1) / 2
    y, x = np.ogrid[0:diameter, 0:diameter]
    return (y - centre) ** 2 + (x - centre) ** 2 <= (diameter / 2) ** 2
