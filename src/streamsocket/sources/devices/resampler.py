"""Sound at another rate, which may change from block to block by very little."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Samples = NDArray[np.float32]
"""Samples by channels, from −1 to 1."""

# Zero crossings of the sinc on each side. More would be a sharper filter and a longer delay.
_CROSSINGS = 16
_PHASES = 256
_KAISER_BETA = 9.0
_CUTOFF = 0.95


class Resampler:
    """Interpolates by a windowed sinc (J. O. Smith, "Digital Audio Resampling").

    The first sample that comes out is at the time of the first that goes in. It holds back 16
    samples of the lower of the two rates, a third of a millisecond at 48 kHz.
    """

    def __init__(self, in_rate: int, out_rate: int, channels: int) -> None:
        scale = min(1.0, out_rate / in_rate)
        self._half = ceil(_CROSSINGS / scale)
        self._step = in_rate / out_rate
        self._table = _sinc_table(self._half, scale)
        self._rest: Samples = np.zeros((self._half, channels), np.float32)
        self._at = float(self._half)

    @property
    def held_back(self) -> float:
        """Samples that went in behind the place where the next one comes out."""
        return len(self._rest) - self._at

    def push(self, samples: Samples, speed: float = 1.0) -> Samples:
        """Take samples; return those that are ready. `speed` above 1 takes in more for each."""
        data = np.concatenate((self._rest, samples))
        step = self._step * speed
        count = max(0, ceil((len(data) - self._half - self._at) / step))
        places = self._at + step * np.arange(count)
        # By rounding, the last place may be one sample too far.
        whole = np.minimum(places.astype(np.intp), len(data) - self._half - 1)
        phase = (places - whole) * _PHASES
        row = np.minimum(phase.astype(np.intp), _PHASES - 1)
        part = (phase - row)[:, np.newaxis]
        weights = (1 - part) * self._table[row] + part * self._table[row + 1]
        windows = sliding_window_view(data, 2 * self._half, axis=0)[whole - self._half + 1]
        made: NDArray[np.float64] = np.einsum("nct,nt->nc", windows, weights)
        self._at += count * step
        done = max(0, int(self._at) - self._half)
        self._rest = data[done:]
        self._at -= done
        return made.astype(np.float32)


def _sinc_table(half: int, scale: float) -> NDArray[np.float64]:
    """The filter's taps for each of the places between two samples, the last one included."""
    offsets = np.arange(-half + 1, half + 1) - np.arange(_PHASES + 1)[:, np.newaxis] / _PHASES
    cutoff = scale if scale == 1 else _CUTOFF * scale
    window = np.kaiser(2 * _PHASES * half + 1, _KAISER_BETA)
    grid = np.arange(-_PHASES * half, _PHASES * half + 1) / _PHASES
    taps = np.sinc(offsets * cutoff) * np.interp(offsets, grid, window)
    normalised: NDArray[np.float64] = taps / taps.sum(axis=1, keepdims=True)
    return normalised
