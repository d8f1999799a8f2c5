"""The sound of the test pattern: silence, and a beep at every full second."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

import numpy as np
from av.audio.frame import AudioFrame

from streamsocket.codecs.encode import AAC_FRAME, SAMPLE_RATE
from streamsocket.sources import yardstick


def flash_number(second: int, rate: Fraction) -> int:
    """The number of the picture that is white for that second: the first not before it."""
    return ceil(second * rate)


def is_flash_number(frame_number: int, rate: Fraction) -> bool:
    """Whether the picture of that number is white."""
    return frame_number == flash_number(floor(frame_number / rate), rate)


class Beeper:
    """Makes the samples of the sound, 1024 at a time, for pictures at a rate."""

    def __init__(self, rate: Fraction, layout: str = "stereo") -> None:
        """A beep begins with the first sample of every white picture's time."""
        self._rate = rate
        self._layout = layout
        self._beep = yardstick.beep(SAMPLE_RATE)
        self._next_sample = 0

    @property
    def position(self) -> Fraction:
        """The time of the next sample in seconds."""
        return Fraction(self._next_sample, SAMPLE_RATE)

    def next_frame(self) -> AudioFrame:
        """The next 1024 samples, the same on all channels, planar floats."""
        start = self._next_sample
        self._next_sample += AAC_FRAME
        samples = np.zeros(AAC_FRAME, np.float32)
        second = start // SAMPLE_RATE
        for number in (second - 1, second, second + 1):
            onset = round(flash_number(number, self._rate) / self._rate * SAMPLE_RATE) - start
            begin, end = max(0, onset), min(AAC_FRAME, onset + len(self._beep))
            if begin < end:
                samples[begin:end] = self._beep[begin - onset : end - onset]
        channels = {"mono": 1, "stereo": 2, "5.1": 6}[self._layout]
        frame = AudioFrame.from_ndarray(np.tile(samples, (channels, 1)), "fltp", self._layout)
        frame.sample_rate = SAMPLE_RATE
        frame.pts = start
        frame.time_base = Fraction(1, SAMPLE_RATE)
        return frame
