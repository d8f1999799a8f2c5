"""The newest picture for something slow, in asyncio: ten pictures a second, none of them old.

    python examples/newest_frame.py rtsp://127.0.0.1:8554/cam

However long a picture takes, the next one is the newest.
"""

import asyncio
import sys
from contextlib import suppress

import streamsocket as ss


async def think(frame: ss.Frame) -> str:
    """What takes long: a neural network, a request to somebody else's server."""
    await asyncio.sleep(0.1)
    return f"{frame.image.mean():.0f} is the mean of {frame.width}x{frame.height} pixels"


async def main(url: str) -> None:
    async with ss.aio.Subscriber(url) as subscriber:
        async for frame in subscriber:
            thought = await think(frame)
            print(
                f"{thought}; {frame.latency * 1000:.0f} ms old when it came, "
                f"{frame.dropped} left out before it",
                flush=True,
            )


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(sys.argv[1]))
