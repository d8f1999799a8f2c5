"""FFmpeg's WHIP muxer, publishing a movie as it is: `whip_publisher.py MOVIE URL [OPTION=VALUE]…`.

Ends with 0 at the end of the movie or of standard input, or says what FFmpeg's complaint is.
"""

from __future__ import annotations

import select
import sys
import time

import av


def publish(path: str, url: str, options: dict[str, str]) -> None:
    with av.open(path) as movie, av.open(url, "w", format="whip", options=options) as server:
        streams = {stream: server.add_stream_from_template(stream) for stream in movie.streams}
        began: float | None = None
        for packet in movie.demux():
            if packet.dts is None:
                continue  # the demuxer's last word
            if select.select([sys.stdin], [], [], 0)[0]:
                break
            if began is not None:
                time.sleep(
                    max(0.0, began + float(packet.dts * packet.time_base) - time.monotonic())
                )
            packet.stream = streams[packet.stream]
            server.mux(packet)
            # The first one waits for the connection.
            began = began or time.monotonic()


if __name__ == "__main__":
    given = dict(option.split("=", 1) for option in sys.argv[3:])
    try:
        publish(sys.argv[1], sys.argv[2], given)
    except av.FFmpegError as error:
        sys.exit(str(error))
