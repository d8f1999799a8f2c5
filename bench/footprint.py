"""Footprint: what an install takes on disk, and an idle server in memory and CPU."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.crowd import Crowd
from bench.harness import Figure, streamsocket
from bench.movies import cached, noisy_movie

ROOT = Path(__file__).resolve().parents[1]
INSTALL_TIMEOUT_S = 600
SETTLE_S = 5.0
LIMIT_MB = 512


def run(quick: bool) -> list[Figure]:
    """Disk, memory and CPU, and a server that may have 512 MB."""
    return [installed(), *idle(8.0 if quick else 20.0), confined(30 if quick else 100)]


def installed() -> Figure:
    """Disk blocks of a fresh virtual environment with the package, less an empty one's."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        subprocess.run([sys.executable, "-m", "venv", place], check=True)
        empty = disk_mb(place)
        start = time.monotonic()
        subprocess.run(
            [place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", ROOT],
            check=True,
            timeout=INSTALL_TIMEOUT_S,
        )
        took = time.monotonic() - start
        said = f"pip install . in {took:.0f} s, beyond {empty:.0f} MB of an empty environment"
        return Figure("install", disk_mb(place) - empty, "MB on disk", 300.0, said)


def disk_mb(folder: Path) -> float:
    """What a folder's files occupy."""
    return sum(path.lstat().st_blocks * 512 for path in folder.rglob("*")) / 1e6


def idle(seconds: float) -> list[Figure]:
    """Memory and CPU of a server with one movie and nobody watching."""
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    with streamsocket(str(movie)) as server:
        time.sleep(SETTLE_S)
        before, start = server.cpu_s(), time.monotonic()
        time.sleep(seconds)
        after, end = server.cpu_s(), time.monotonic()
        memory = [kb / 1024 for kb in server.pss_kb()]
    shares = [(b - a) / (end - start) * 100 for a, b in zip(before, after, strict=True)]
    each = "server and its source's process: "
    return [
        Figure("idle: memory", sum(memory), "MB PSS", 100.0,
               each + " + ".join(f"{share:.1f}" for share in memory)),
        Figure("idle: CPU", sum(shares), "% of a core", 3.0,
               each + " + ".join(f"{share:.2f}" for share in shares) + f", over {seconds:.0f} s"),
    ]  # fmt: skip


def confined(viewers: int) -> Figure:
    """Memory with viewers, while no process may have more than 512 MB of data (RLIMIT_DATA).

    The limit on data counts what is asked for and not yet touched too; it leaves mapped libraries
    alone, as a container's limit in effect does. The goal is on the sum of all processes.
    """
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    with streamsocket(str(movie), limit_data_mb=LIMIT_MB) as server, Crowd() as crowd:
        crowd.join(server.url + "fanout", "udp", viewers)
        crowd.join(server.url + "fanout", "tcp", viewers)
        time.sleep(SETTLE_S)
        totals = crowd.totals()
        memory = sum(server.pss_kb()) / 1024
    served = memory if totals.packets and not totals.closed else float("nan")
    said = (
        f"RLIMIT_DATA {LIMIT_MB} MB a process; {totals.viewers} viewers, {totals.packets} packets"
    )
    return Figure("runs in 512 MB", served, "MB PSS", float(LIMIT_MB), said)
