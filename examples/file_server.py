"""Serve movies from a program of your own.

    python examples/file_server.py movie.mp4 lesson=other.mkv
    streamsocket play rtsp://127.0.0.1:8554/movie

Until Ctrl-C; the movies repeat.
"""

import argparse
import threading
from contextlib import suppress

import streamsocket as ss


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("movies", nargs="+", metavar="[NAME=]MOVIE")
    parser.add_argument("--rtsp-port", type=int, default=8554, help="0: any free one")
    parser.add_argument("--http-port", type=int, default=8080)
    arguments = parser.parse_args()

    with ss.Server(
        arguments.movies, rtsp_port=arguments.rtsp_port, http_port=arguments.http_port
    ) as server:
        for stream in server.streams():
            print(stream.name, server.url(stream.name), flush=True)
        print("the page", server.http_url, flush=True)
        # The server has threads of its own: this one has nothing to do.
        threading.Event().wait()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main()
