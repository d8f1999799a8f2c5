"""Sound played a little faster or slower: samples between samples, at exactly known positions.

libsoxr's variable rate would be as fast, but it holds 5 ms back and doesn't tell which input sample
an output sample is, and that is what keeps sound and picture in sync.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BEFORE = 15
"""How many samples before the one at or before a position are needed to know the sound there."""
AFTER = 16
"""How many samples after it."""

_TAPS = BEFORE + 1 + AFTER
_ORDER = 5
_BETA = 9.0  # the Kaiser window: what is wrong is 90 dB below the sound, up to 18 of 24 kHz


def _kernels() -> NDArray[np.float32]:
    """The windowed sinc's value at each tap as a polynomial of the position between two samples.

    Row `m` holds each tap's factor of (position − ½)^m: Farrow's structure, which costs the same
    whatever the ratio is.
    """
    between = (np.arange(200) + 0.5) / 200
    u = np.arange(-BEFORE, AFTER + 1) - between[:, None]
    window = np.i0(_BETA * np.sqrt(np.maximum(0.0, 1 - (u / (_TAPS / 2)) ** 2)))
    sinc = np.sinc(u) * window
    sinc /= sinc.sum(axis=1, keepdims=True)
    powers = np.vander(between - 0.5, _ORDER + 1, increasing=True)
    return np.ascontiguousarray(np.linalg.lstsq(powers, sinc, rcond=None)[0], dtype=np.float32)


_KERNELS = _kernels()


def stretch(
    samples: NDArray[np.float32], position: float, ratio: float, count: int
) -> NDArray[np.float32]:
    """Return the sound at `count` positions, from `position` on, `ratio` apart.

    `samples` is channels by samples, the result channels by `count`. Positions are in samples;
    `BEFORE` samples before the first and `AFTER` after the last have to be there. `ratio` is near
    1: what it pushes above half the sampling rate is not filtered out.
    """
    positions = np.arange(count) * ratio + position
    at = positions.astype(np.intp)
    first, last = math.floor(position), int(at[-1])
    needed = np.ascontiguousarray(samples[:, first - BEFORE : last + AFTER + 1])
    channels, width = len(needed), last - first + 1
    assert needed.shape[1] == width + _TAPS - 1
    # Every tap's samples, without copying. (NumPy's own sliding_window_view and as_strided are
    # written in Python, and cost as much as the rest.)
    stride, step = needed.strides
    shape, strides = (channels, width, _TAPS), (stride, step, step)
    windows: NDArray[np.float32] = np.ndarray(shape, np.float32, needed, 0, strides)
    filtered = (_KERNELS @ windows.reshape(-1, _TAPS).T).reshape(-1, channels, width)
    if width != count or last - first != count - 1:  # a sample is left out or used twice
        filtered = filtered[:, :, at - first]
    between = (positions - at - 0.5).astype(np.float32)
    result: NDArray[np.float32] = filtered[_ORDER]
    for power in range(_ORDER - 1, -1, -1):
        result = result * between + filtered[power]
    return result
