"""Push a movie as it is, at its own pace, to the RTMP URL in the second argument.

PyAV's FFmpeg is newer than Debian's, and writes enhanced RTMP: H.265 and Opus.
"""

from __future__ import annotations

import sys
import time

import av


def main() -> None:
    """Push."""
    with av.open(sys.argv[1]) as movie, av.open(sys.argv[2], "w", format="flv") as output:
        streams = {
            stream.index: output.add_stream_from_template(stream)
            for stream in (movie.streams.video[0], movie.streams.audio[0])
        }
        begin = time.monotonic()
        for packet in movie.demux():
            if packet.dts is None:
                continue
            time.sleep(max(0.0, begin + float(packet.dts * packet.time_base) - time.monotonic()))
            packet.stream = streams[packet.stream.index]
            output.mux(packet)


if __name__ == "__main__":
    main()
