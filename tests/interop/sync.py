"""Where the flashes and the beeps are in a recording."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import av
import numpy as np

_WHITE = 215
"""Mean luma above which a whole picture is white: video range ends at 235."""
_LOUD = 0.1
_QUIET_BEFORE_S = 0.3


def sound_minus_picture_s(recording: Path, *, after_s: float = 2.0) -> list[float]:
    """For each flash, by how many seconds the nearest beep begins after it.

    `after_s` skips the beginning, in which a player still catches up with live.
    """
    flashes, beeps = _flashes(recording), beeps_in(recording)
    return [
        min((beep - flash for beep in beeps), key=abs)
        for flash in flashes
        if flash > after_s and beeps
    ]


def _flashes(recording: Path) -> list[float]:
    with av.open(str(recording)) as movie:
        return [
            frame.time
            for frame in movie.decode(video=0)
            if frame.time is not None and frame.to_ndarray(format="gray").mean() > _WHITE
        ]


def beeps_in(recording: Path) -> list[float]:
    onsets: list[float] = []
    last_loud = -1.0
    with av.open(str(recording)) as movie:
        for frame in movie.decode(audio=0):
            assert frame.time is not None
            loud = np.flatnonzero(np.abs(_first_channel(frame)) > _LOUD)
            times = frame.time + loud / frame.sample_rate
            for time in times:
                if time - last_loud > _QUIET_BEFORE_S:
                    onsets.append(float(time))
                last_loud = time
    return onsets


def _first_channel(frame: av.AudioFrame) -> np.ndarray[Any, Any]:
    """Samples between -1 and 1, whichever way the decoder lays them out."""
    samples = frame.to_ndarray()
    first = samples[0] if frame.format.is_planar else samples[0, :: len(frame.layout.channels)]
    if np.issubdtype(first.dtype, np.integer):
        return first / float(np.iinfo(first.dtype).max)
    return first
