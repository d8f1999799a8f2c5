"""Recording: what it costs to record 20 streams, and whether every picture is there."""

from __future__ import annotations

import hashlib
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import av

from bench.harness import (
    PEERS,
    START_TIMEOUT_S,
    STOP_TIMEOUT_S,
    Figure,
    cpu_seconds,
    memory_kb,
)
from bench.movies import CACHE, cached, noisy_movie
from bench.rtsp import BenchError

STREAMS = 20
GOAL_PERCENT = 20.0
SETTLE_S = 5.0
_PICTURES = (1, 5)
"""H.264's NAL units with a picture in them (table 7-1)."""


def run(quick: bool) -> list[Figure]:
    """CPU of server and recorder beyond that of taking the streams in, and what was recorded."""
    seconds = 8.0 if quick else 30.0
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    ingest = Measured(movie, None, seconds)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        recorded = Measured(movie, f"{folder}/{{name}}/{{time}}.mp4", seconds)
        missing, pictures = check(movie, Path(folder))
        megabytes = sum(path.stat().st_size for path in Path(folder).rglob("*.mp4")) / 1e6
    server = recorded.server - ingest.server
    said = (
        f"{STREAMS} streams of 2.5 Mbit/s H.264 at 30 and AAC; server {ingest.server:.1f} without, "
        f"{recorded.server:.1f} with, its recorder {recorded.recorder:.1f}; over {seconds:.0f} s"
    )
    return [
        Figure("recording", server + recorded.recorder, "% of a core", GOAL_PERCENT, said),
        Figure("recording: recorder's memory", recorded.recorder_mb, "MB PSS", None, "in the end"),
        Figure("recording: wrong pictures", missing, "pictures", 0,
               f"{pictures} recorded ({megabytes:.0f} MB), missing, double or in disorder"),
    ]  # fmt: skip


class Measured:
    """CPU of the processes, in percent of a core."""

    def __init__(self, movie: Path, path: str | None, seconds: float) -> None:
        command = [sys.executable, str(PEERS / "recording_hub.py"), str(movie), str(STREAMS)]
        process = subprocess.Popen(
            [*command, path] if path else command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            assert process.stdout
            deadline = time.monotonic() + START_TIMEOUT_S
            line = process.stdout.readline()
            if not line or time.monotonic() > deadline:
                raise BenchError("the hub with its sources did not get ready")
            pids = [pid for pid in json.loads(line).values() if pid]
            time.sleep(SETTLE_S)
            before, start = [cpu_seconds(pid) for pid in pids], time.monotonic()
            time.sleep(seconds)
            after, end = [cpu_seconds(pid) for pid in pids], time.monotonic()
            shares = [(b - a) / (end - start) * 100 for a, b in zip(before, after, strict=True)]
            self.server = shares[0]
            self.recorder = shares[1] if shares[1:] else 0.0
            self.recorder_mb = memory_kb(pids[1], "Pss") / 1024 if pids[1:] else 0.0
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(STOP_TIMEOUT_S)
            process.stdout and process.stdout.close()


def check(movie: Path, folder: Path) -> tuple[int, int]:
    """How many recorded pictures are not the one that follows, and how many there are."""
    original = list(pictures(movie))
    place = {picture: number for number, picture in enumerate(original)}
    wrong = count = 0
    for name in sorted(path for path in folder.iterdir() if path.is_dir()):
        expected = None
        for path in sorted(name.glob("*.mp4")):
            for picture in pictures(path):
                count += 1
                number = place.get(picture, -1)
                wrong += number < 0 or expected not in (None, number)
                expected = (number + 1) % len(original)
    return (wrong if count else 1), count


def pictures(path: Path) -> Iterator[bytes]:
    """A digest of each picture as it is coded, without the parameter sets around it."""
    with av.open(str(path)) as movie:
        for packet in movie.demux(video=0):
            data = bytes(packet)
            digest, start = hashlib.md5(), 0
            while start + 4 <= len(data):
                end = start + 4 + int.from_bytes(data[start : start + 4], "big")
                if data[start + 4] & 0x1F in _PICTURES:
                    digest.update(data[start + 4 : end])
                start = end
            if data:
                yield digest.digest()
