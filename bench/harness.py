"""What every bench needs: figures with their goals, and the servers that are measured.

CPU is what the kernel charged to the processes (user and system time in /proc/PID/stat), so that
a busy machine doesn't blur the figures. How much memory they take is their proportional set size,
in which a page that two processes share counts once; how it grows is what they allocated.
"""

from __future__ import annotations

import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.rtsp import BenchError
from bench.viewers import Totals

TICKS = os.sysconf("SC_CLK_TCK")
PEERS = Path(__file__).parent / "peers"
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True)
class Figure:
    """One measured figure; without a limit it stands there for comparison."""

    what: str
    value: float
    unit: str
    limit: float | None
    conditions: str

    @property
    def passed(self) -> bool | None:
        """Whether the goal is met; None where there is none. A figure that is no number fails."""
        return None if self.limit is None else self.value <= self.limit


@dataclass(frozen=True)
class Server:
    """A server that runs: ours with its sources' processes, or a peer."""

    pid: int
    url: str
    """Where its streams are: a name is appended."""
    http: str = ""

    def processes(self) -> list[int]:
        """The server's process and all its descendants."""
        found = [self.pid]
        for pid in found:
            for task in Path(f"/proc/{pid}/task").iterdir():
                found += [int(child) for child in (task / "children").read_text().split()]
        return found

    def cpu_s(self) -> list[float]:
        """CPU seconds used so far by each process, the server's own first."""
        return [cpu_seconds(pid) for pid in self.processes()]

    def pss_kb(self) -> list[int]:
        """Proportional set size of each process in KB, the server's own first."""
        return [memory_kb(pid, "Pss") for pid in self.processes()]

    def anonymous_kb(self) -> int:
        """What all processes have allocated, in KB: it doesn't change with who shares libraries."""
        return sum(memory_kb(pid, "Anonymous") for pid in self.processes())

    def descriptors(self) -> int:
        """How many file descriptors the server's process holds."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def url_of(self, name: str) -> str:
        """Where the stream of this name is over HTTP."""
        return f"{self.http}/{name}"

    def get(self, path: str) -> Any:
        """What the server's HTTP API answers, decoded."""
        with urllib.request.urlopen(self.http + path, timeout=5) as answer:
            return json.load(answer)

    def skipped_packets(self) -> int:
        """Packets that the server itself says it skipped for slow viewers."""
        return sum(int(stream.get("skipped_packets", 0)) for stream in self.get("/api/streams"))


def cpu_seconds(pid: int) -> float:
    """CPU time of a process in seconds: utime and stime of proc(5)'s /proc/PID/stat."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory_kb(pid: int, kind: str) -> int:
    """Memory of a process in KB by one of the kinds in proc(5)'s smaps_rollup."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(kind + ":"):
            return int(line.split()[1])
    raise BenchError(f"the kernel tells no {kind} of process {pid}")


@contextmanager
def streamsocket(
    *sources: str, expect: int = 1, limit_data_mb: int | None = None
) -> Iterator[Server]:
    """Our server, started as users do, until `expect` streams are live."""
    rtsp, http = free_ports(2)
    command = [str(Path(sys.executable).with_name("streamsocket")), "serve", *sources]
    command += ["--rtsp-port", str(rtsp), "--http-port", str(http)]
    if limit_data_mb:
        command = ["prlimit", f"--data={limit_data_mb << 20}", *command]
    with running(command) as process:
        server = Server(process.pid, f"rtsp://127.0.0.1:{rtsp}/", f"http://127.0.0.1:{http}")
        deadline = time.monotonic() + START_TIMEOUT_S
        while not _live(server, expect):
            _still_waiting(process, deadline)
            time.sleep(0.1)
        yield server


def _live(server: Server, expect: int) -> bool:
    try:
        if server.get("/health") is None:
            return False
        return sum(bool(stream["tracks"]) for stream in server.get("/api/streams")) >= expect
    except (urllib.error.URLError, OSError):
        return False


@contextmanager
def gst_rtsp_server(movie: Path) -> Iterator[Server]:
    """gst-rtsp-server with the same movie, its name `movie` too."""
    (port,) = free_ports(1)
    with running(["/usr/bin/python3", str(PEERS / "gst_server.py"), str(movie), str(port)]) as peer:
        _wait_for_port(peer, port)
        yield Server(peer.pid, f"rtsp://127.0.0.1:{port}/")


@contextmanager
def aiortc_server(movie: Path) -> Iterator[Server]:
    """aiortc with the same movie, by WHEP at any name."""
    (port,) = free_ports(1)
    command = [sys.executable, str(PEERS / "aiortc_server.py"), str(movie), str(port)]
    with running(command) as peer:
        _wait_for_port(peer, port)
        yield Server(peer.pid, "", f"http://127.0.0.1:{port}")


@contextmanager
def floor(viewers: int) -> Iterator[Server]:
    """The bare sending loop for this many viewers."""
    (port,) = free_ports(1)
    command = [sys.executable, str(PEERS / "floor.py"), str(port), str(viewers)]
    with running(command) as peer:
        _wait_for_port(peer, port)
        yield Server(peer.pid, f"rtsp://127.0.0.1:{port}/")


@contextmanager
def receiving_floor(publishers: int) -> Iterator[Server]:
    """The bare receive loop for this many publishers."""
    (port,) = free_ports(1)
    command = [sys.executable, str(PEERS / "receiving_floor.py"), str(port), str(publishers)]
    with running(command) as peer:
        _wait_for_port(peer, port)
        yield Server(peer.pid, f"rtsp://127.0.0.1:{port}/")


@contextmanager
def running(command: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended in the end: asked first, killed if it doesn't listen."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield process
        except BenchError as error:
            log.seek(0)
            words = log.read()[-2000:].decode(errors="replace")
            raise BenchError(f"{error}\n{command[0]} said:\n{words}") from error
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def _wait_for_port(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    listening = f":{port:04X} 00000000:0000 0A"
    while listening not in Path("/proc/net/tcp").read_text():
        _still_waiting(process, deadline)
        time.sleep(0.1)


def _still_waiting(process: subprocess.Popen[bytes], deadline: float) -> None:
    if process.poll() is not None:
        raise BenchError(f"the server ended with status {process.returncode} before it was ready")
    if time.monotonic() > deadline:
        raise BenchError(f"the server was not ready within {START_TIMEOUT_S:.0f} s")


def free_ports(count: int) -> list[int]:
    """TCP ports of loopback that nobody listens on at the moment."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def percentile(values: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile; of nothing it is not a number, which meets no goal."""
    ordered = sorted(values)
    if not ordered:
        return float("nan")
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def trouble(totals: Totals) -> int:
    """Packets lost or out of order and connections closed: none of it is allowed."""
    return totals.lost + totals.reordered + totals.closed


def describe(totals: Totals) -> str:
    """What the viewers saw, in words."""
    return (
        f"{totals.viewers} viewers, {totals.packets} packets ({totals.fewest}–{totals.most} each), "
        f"{totals.lost} lost ({totals.dropped} at the viewers' sockets), "
        f"{totals.reordered} reordered, {totals.closed} closed; "
        f"viewers read at least every {totals.away_s * 1000:.0f} ms"
    )


def conditions() -> dict[str, str]:
    """The machine and the software that a figure was measured with."""
    model = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model n")]
    return {
        "machine": f"{os.cpu_count()} cores, {model[0].partition(':')[2].strip() if model else ''}",
        "kernel": platform.release(),
        "python": platform.python_version(),
        "network": "loopback, viewers in a process of their own on the same machine",
        "receive buffer": Path("/proc/sys/net/core/rmem_default").read_text().strip() + " bytes",
        "load before": " ".join(f"{load:.2f}" for load in os.getloadavg()),
    }
