"""How loud a stream is, as a bar.

    python examples/sound_level.py rtsp://127.0.0.1:8554/movie

Ten times a second, until Ctrl-C.
"""

import sys
from contextlib import suppress

import numpy as np

import streamsocket as ss

FLOOR_DB = -60.0


def main(url: str) -> None:
    # Sound alone: pictures are neither asked for nor decoded.
    with ss.Subscriber(url, video=False, audio=True) as subscriber:
        until = 0.0
        loudest = 0.0
        for block in subscriber.audio:
            # (samples, channels), between -1 and 1.
            loudest = max(loudest, float(np.abs(block.samples).max()))
            if block.capture_time < until:
                continue
            decibels = max(FLOOR_DB, 20 * np.log10(loudest + 1e-9))
            bar = "#" * round(decibels - FLOOR_DB)
            print(f"{block.capture_time:.1f}  {decibels:6.1f} dB  {bar}", flush=True)
            until, loudest = block.capture_time + 0.1, 0.0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(sys.argv[1])
