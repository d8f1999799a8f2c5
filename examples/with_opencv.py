"""OpenCV on live pictures: saves one, with a box around what moves, as soon as something does.

    python examples/with_opencv.py rtsp://127.0.0.1:8554/cam moved.jpg

Where OpenCV opens windows too (`cv2.imshow`), import cv2 before anything that receives: with
FFmpeg's libraries loaded first, its windows hang on some systems.
"""

import sys
from contextlib import suppress

import cv2
import numpy as np

import streamsocket as ss


def main(url: str, file: str) -> None:
    before = None
    with ss.Subscriber(url) as subscriber:
        for frame in subscriber:
            image = frame.to_ndarray("bgr24")  # as OpenCV has its pictures
            # The luma as it was decoded: nothing is converted, nothing copied.
            gray = cv2.resize(frame.to_ndarray("gray"), (160, 90), interpolation=cv2.INTER_AREA)
            moved = None if before is None else cv2.absdiff(gray, before) > 20
            before = gray
            if moved is None or not moved.any():
                continue
            rows, columns = np.nonzero(moved)
            scale = frame.width / 160, frame.height / 90
            first = round(columns.min() * scale[0]), round(rows.min() * scale[1])
            last = round((columns.max() + 1) * scale[0]), round((rows.max() + 1) * scale[1])
            cv2.rectangle(image, first, last, (0, 0, 255), 3)
            cv2.imwrite(file, image)
            print(f"something moved between {first} and {last}, {frame.latency * 1000:.0f} ms ago")
            return


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(*sys.argv[1:])
