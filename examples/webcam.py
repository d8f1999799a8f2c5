"""Publish a camera, or whatever else makes pictures.

    streamsocket serve
    python examples/webcam.py rtsp://127.0.0.1:8554/cam            # needs opencv-python
    python examples/webcam.py rtsp://127.0.0.1:8554/cam --drawn    # without a camera

Until Ctrl-C, or until the camera is unplugged.
"""

import argparse
import time
from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import numpy.typing as npt

import streamsocket as ss

Image = npt.NDArray[np.uint8]


def from_camera(number: int) -> Iterator[Image]:
    """Pictures as OpenCV has them: (height, width, 3), blue first."""
    import cv2

    camera = cv2.VideoCapture(number)
    while (read := camera.read())[0]:
        yield read[1].astype(np.uint8, copy=False)


def drawn() -> Iterator[Image]:
    """A bright bar that walks through the picture, once in two seconds."""
    began = time.monotonic()
    while True:
        image = np.full((360, 640, 3), (64, 32, 16), np.uint8)
        left = int((time.monotonic() - began) % 2 / 2 * 600)
        image[:, left : left + 40] = 255
        yield image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url", help="where to publish: rtsp://HOST:8554/NAME")
    parser.add_argument("--camera", type=int, default=0)
    parser.add_argument("--drawn", action="store_true", help="no camera, a drawn picture")
    arguments = parser.parse_args()

    pictures = drawn() if arguments.drawn else from_camera(arguments.camera)
    with ss.Publisher(arguments.url, fps=30, on_state=print) as publisher:
        for image in pictures:
            # With block=True the Publisher keeps the pace, for those who have none of their own.
            publisher.write(image, format="bgr24", block=arguments.drawn)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
