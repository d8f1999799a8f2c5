"""When the test pattern flashes, and its sound: silence, and a beep with every flash.

Flashes come in the middle of every second of the source's own time, so that none is a keyframe
(those come every two seconds), or lies on the seam of a file that loops.
"""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
from av.audio.frame import AudioFrame

from streamsocket.codecs.audio import SAMPLE_RATE
from streamsocket.sources import yardstick

_PHASE_S = Fraction(1, 2)


def flash_number(second: int, rate: Fraction) -> int:
    """The number of the picture that is white in that second."""
    return ceil((second + _PHASE_S) * rate)


def is_flash_number(frame_number: int, rate: Fraction) -> bool:
    """Whether the picture of that number is white."""
    second = floor(frame_number / rate)
    return frame_number in (flash_number(second - 1, rate), flash_number(second, rate))


class Beeper:
    """Makes the sound that goes with pictures at a rate, frame by frame."""

    def __init__(
        self, rate: Fraction, layout: str = "stereo", sample_rate: int = SAMPLE_RATE
    ) -> None:
        """A beep begins with the first sample of every white picture's time."""
        self._rate = rate
        self._layout = layout
        self._sample_rate = sample_rate
        self._beep = yardstick.beep(sample_rate)
        self.next_sample = 0
        """The number of the sample that comes next."""

    def next_frame(self, size: int) -> AudioFrame:
        """The next samples, the same on all channels, planar floats."""
        start = self.next_sample
        self.next_sample += size
        samples = np.zeros(size, np.float32)
        second = start // self._sample_rate
        for number in (second - 1, second, second + 1):
            onset = round(flash_number(number, self._rate) / self._rate * self._sample_rate) - start
            begin, end = max(0, onset), min(size, onset + len(self._beep))
            if begin < end:
                samples[begin:end] = self._beep[begin - onset : end - onset]
        channels = {"mono": 1, "stereo": 2, "5.1": 6}[self._layout]
        frame = AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), "fltp", self._layout)
        frame.sample_rate = self._sample_rate
        frame.pts = start
        frame.time_base = Fraction(1, self._sample_rate)
        return frame
