"""A function between two streams: the time of capture, written into every picture.

    python examples/process_stream.py rtsp://127.0.0.1:8554/cam rtsp://127.0.0.1:8554/dated

Until Ctrl-C.
"""

import sys
import time
from contextlib import suppress

import numpy as np
from PIL import Image, ImageDraw

import streamsocket as ss


def dated(frame: ss.Frame) -> object:
    """The picture with a clock in its corner; anything that is an array of pixels will do."""
    picture = Image.fromarray(frame.image)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 0, 150, 20), fill="black")
    clock = time.strftime("%H:%M:%S", time.localtime(frame.capture_time))
    draw.text((6, 4), f"{clock}.{frame.capture_time % 1 * 1000:03.0f}", fill="white")
    return np.asarray(picture)


if __name__ == "__main__":
    source, destination = sys.argv[1:]
    # It goes on until Ctrl-C. Sound goes along, and capture times stay those of the camera, so that
    # viewers of both streams see them in sync.
    with suppress(KeyboardInterrupt):
        ss.process(source, destination, dated)
