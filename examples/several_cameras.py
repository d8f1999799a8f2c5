"""Several cameras at once: pictures that were captured at the same time, side by side.

    python examples/several_cameras.py rtsp://host/left rtsp://host/right --save both.jpg

Their clocks have to agree, as those of servers that keep time by NTP do.
"""

import argparse
from contextlib import suppress

import numpy as np
from PIL import Image

import streamsocket as ss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("urls", nargs="+", metavar="URL")
    parser.add_argument("--save", metavar="FILE", help="write the first set there, and end")
    arguments = parser.parse_args()

    for frames in ss.synchronized(arguments.urls):
        times = " ".join(f"{frame.capture_time:.3f}" for frame in frames if frame)
        print(f"{times}  {frames.spread * 1000:.1f} ms apart", flush=True)
        if arguments.save:
            # None stands for a camera that is away, which needs missing="none".
            images = [frame.image for frame in frames if frame]
            height = min(len(image) for image in images)
            Image.fromarray(np.hstack([image[:height] for image in images])).save(arguments.save)
            break


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
