"""The yardstick in the test pattern: what a program reads from its pictures and its sound.

Along the bottom edge of every picture but the flash, three rows of 32 black and white blocks say
which picture it is and when it was captured, with a checksum. Their place follows from the size of
the picture alone, so they are read from a scaled picture as well. Once a second the whole picture
is white for one picture, and a beep of 1 kHz begins with it.

Pictures are 2-D arrays of brightness, 8 bits, in which black is about 16 and white about 235, or 0
and 255. Sound is a 1-D array of floats within -1 … 1.
"""

from __future__ import annotations

import binascii
import struct
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLACK, WHITE = 16, 235
"""Brightness in the limited range of video (ITU-R BT.601)."""

COLUMNS, ROWS = 32, 3

BEEP_HZ = 1000
BEEP_S = 0.1

# Frame number, milliseconds since the epoch (upper 16 and lower 32 bits), checksum: 96 bits.
_CODE = struct.Struct("!IHIH")
_THRESHOLD = 126

# Not a pixel of a flash is darker than this, whatever an encoder made of it.
_FLASH_MEAN = 215
_FLASH_DARKEST = 180

# A beep has begun where the sound is louder than this, after so much of near silence.
_LOUD = 0.1
_QUIET_S = 0.05


@dataclass(frozen=True, slots=True)
class Reading:
    """What the blocks of one picture say."""

    frame_number: int
    capture_time: float
    """Seconds since the epoch, to the millisecond."""


def code_height(height: int) -> int:
    """How many lines the blocks take at the bottom of a picture that is `height` lines high."""
    return height - _edges(height - ROWS * max(4, height // 36), height, ROWS)[0]


def draw_code(luma: NDArray[np.uint8], frame_number: int, capture_time: float) -> None:
    """Draw the blocks into a picture's brightness."""
    milliseconds = round(capture_time * 1000) & (1 << 48) - 1
    head = struct.pack(
        "!IHI", frame_number & 0xFFFF_FFFF, milliseconds >> 32, milliseconds & 0xFFFF_FFFF
    )
    code = head + struct.pack("!H", binascii.crc_hqx(head, 0xFFFF))
    bits = np.unpackbits(np.frombuffer(code, np.uint8)).reshape(ROWS, COLUMNS)
    values = np.where(bits, np.uint8(WHITE), np.uint8(BLACK))
    height, width = luma.shape
    lines = _edges(height - code_height(height), height, ROWS)
    columns = np.diff(_edges(0, width, COLUMNS))
    for row in range(ROWS):
        luma[lines[row] : lines[row + 1]] = np.repeat(values[row], columns)


def read(luma: NDArray[np.uint8]) -> Reading | None:
    """Read the blocks from a picture's brightness; None where there are none, or are damaged."""
    height, width = luma.shape
    if width < 2 * COLUMNS or height < 16:
        return None
    lines = _edges(height - code_height(height), height, ROWS)
    columns = _edges(0, width, COLUMNS)
    bits = np.empty((ROWS, COLUMNS), np.uint8)
    for row in range(ROWS):
        # The middle of each block: its borders are blurred.
        margin = (lines[row + 1] - lines[row]) // 4
        band = luma[lines[row] + margin : lines[row + 1] - margin].mean(axis=0)
        for column in range(COLUMNS):
            side = (columns[column + 1] - columns[column]) // 4
            block = band[columns[column] + side : columns[column + 1] - side]
            bits[row, column] = block.mean() > _THRESHOLD
    code = np.packbits(bits).tobytes()
    frame_number, high, low, checksum = _CODE.unpack(code)
    if binascii.crc_hqx(code[:-2], 0xFFFF) != checksum:
        return None
    return Reading(frame_number, (high << 32 | low) / 1000)


def is_flash(luma: NDArray[np.uint8]) -> bool:
    """Whether the whole picture is white."""
    sample = luma[::8, ::8]
    return bool(sample.mean() >= _FLASH_MEAN and sample.min() >= _FLASH_DARKEST)


def beep(rate: int) -> NDArray[np.float32]:
    """The samples of one beep, which begins and ends at once, at its full loudness."""
    time = np.arange(round(BEEP_S * rate)) / rate
    return (0.5 * np.cos(2 * np.pi * BEEP_HZ * time)).astype(np.float32)


def beep_onsets(samples: NDArray[np.floating[Any]], rate: int) -> list[int]:
    """At which samples beeps begin: where it gets loud after at least 50 ms of quiet."""
    loud = np.flatnonzero(np.abs(samples) > _LOUD)
    if not len(loud):
        return []
    quiet_before = np.diff(loud, prepend=-rate) > _QUIET_S * rate
    return [int(index) for index in loud[quiet_before]]


def _edges(start: int, end: int, parts: int) -> list[int]:
    """Borders that cut a length into equal parts, as well as whole pixels allow."""
    return [start + (end - start) * part // parts for part in range(parts + 1)]
