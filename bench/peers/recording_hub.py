"""A hub with many sources, and a recorder where a path is given, for `bench/recording.py`.

    python bench/peers/recording_hub.py MOVIE STREAMS [PATH PATTERN]

Says `{"server": PID, "recorder": PID}` once all streams are live, and ends at SIGINT.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys

from streamsocket.hub.hub import Hub
from streamsocket.record.recorder import Recorder
from streamsocket.record.rules import Rule
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.spec import FileSpec


async def run(movie: str, streams: int, path: str | None) -> None:
    """Serve nobody, and record, until interrupted."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    loop.add_signal_handler(signal.SIGINT, over.set)
    hub = Hub(loop)
    rules = [Rule(path=path, rotate_minutes=0.2, min_free_gb=0.0)] if path else []
    recorder = Recorder(loop, hub, rules)
    if rules:
        recorder.start()
    sources = [
        SourceProcess(f"stream{number}", FileSpec(movie), loop, hub.publish)
        for number in range(streams)
    ]
    for source in sources:
        source.start()
    while len(list(hub)) < streams:  # noqa: ASYNC110 - nobody waits for it but us
        await asyncio.sleep(0.1)
    print(json.dumps({"server": os.getpid(), "recorder": recorder.pid}), flush=True)
    await over.wait()
    if rules:
        await recorder.stop()
    await asyncio.gather(*(source.stop() for source in sources))
    hub.close()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3] if sys.argv[3:] else None))
