"""Push two seconds of H.265 and Opus to the URL in the first argument, by enhanced RTMP.

White for a frame each second, with a beep that begins with it. A program of its own, because
PyAV waits for the server with everything else of its process held up.
"""

from __future__ import annotations

import sys
from fractions import Fraction

import av
import numpy as np

_RATE = 48_000
_FRAMES = 50
_SAMPLES = _RATE // 25


def main() -> None:
    """Push."""
    with av.open(sys.argv[1], "w", format="flv") as output:
        video = output.add_stream("libx265", rate=25)
        video.width, video.height, video.pix_fmt = 320, 180, "yuv420p"
        video.options = {"preset": "ultrafast", "x265-params": "log-level=none:bframes=2"}
        audio = output.add_stream("libopus", rate=_RATE, layout="stereo")
        for index in range(_FRAMES):
            output.mux(video.encode(_picture(index)))
            output.mux(audio.encode(_sound(index)))
        output.mux(video.encode(None))
        output.mux(audio.encode(None))


def _picture(index: int) -> av.VideoFrame:
    shade = 255 if index % 25 == 0 else 40
    picture = av.VideoFrame.from_ndarray(np.full((180, 320, 3), shade, np.uint8))
    picture.pts, picture.time_base = index, Fraction(1, 25)
    return picture


def _sound(index: int) -> av.AudioFrame:
    times = (np.arange(_SAMPLES) + _SAMPLES * index) / _RATE
    beep = (0.6 * np.sin(2000 * np.pi * times) * (times % 1 < 0.1)).astype(np.float32)
    samples = np.repeat(beep, 2).reshape(1, -1)
    sound = av.AudioFrame.from_ndarray(samples, format="flt", layout="stereo")
    sound.sample_rate, sound.pts = _RATE, _SAMPLES * index
    return sound


if __name__ == "__main__":
    main()
