"""Save a stream's next picture.

    python examples/snapshot.py rtsp://127.0.0.1:8554/movie picture.png

The format is by the file's name: .png, .jpg, .webp.
"""

import sys

from PIL import Image

import streamsocket as ss


def main(url: str, file: str) -> None:
    with ss.Subscriber(url, timeout=5) as subscriber:
        frame = subscriber.read(timeout=5)
    Image.fromarray(frame.image).save(file)
    print(f"{file}: {frame.width}x{frame.height}, captured {frame.latency * 1000:.0f} ms before")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ss.StreamSocketError as error:
        sys.exit(str(error))  # one plain sentence, such as that there is no such stream
