"""`streamsocket serve`, started and stopped as its users do it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.interop.ports import free_ports

READY_S = 20.0
STOP_S = 10.0
COMMAND = (sys.executable, "-c", "from streamsocket.cli.main import main; main()")
"""`streamsocket`, also where the script of that name is not on the path."""

_FETCH = (
    sys.executable,
    "-c",
    "import sys, urllib.request as http;"
    "sys.stdout.buffer.write(http.urlopen(sys.argv[1], timeout=5).read())",
)


class RunningServer:
    """A server process, and what its users can see of it."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        log: Path,
        host: str,
        ports: tuple[int, int, int],
        prefix: Sequence[str],
    ) -> None:
        self.process = process
        self.host = host
        self.rtsp_port, self.http_port, self.udp_port = ports
        self._log = log
        self._prefix = prefix

    def url(self, name: str) -> str:
        """Where players watch the stream of this name."""
        return f"rtsp://{self.host}:{self.rtsp_port}/{name}"

    def get(self, path: str) -> bytes:
        """The body that HTTP answers with, asked for from where the server runs."""
        address = f"http://{self.host}:{self.http_port}{path}"
        if self._prefix:
            done = subprocess.run([*self._prefix, *_FETCH, address], capture_output=True)
            if done.returncode:
                raise urllib.error.URLError(done.stderr.decode())
            return done.stdout
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bytes(answer.read())

    def stream(self, name: str) -> dict[str, Any]:
        """The stream as `/api/streams` has it."""
        streams: list[dict[str, Any]] = json.loads(self.get("/api/streams"))
        return next(stream for stream in streams if stream["name"] == name)

    def metrics(self) -> dict[str, float]:
        """All metrics, by their name and labels as Prometheus writes them."""
        lines = self.get("/metrics").decode().splitlines()
        pairs = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in pairs}

    def refused(self) -> dict[str, float]:
        """What was refused so far, by reason."""
        prefix = 'streamsocket_refused_total{reason="'
        return {
            name.removeprefix(prefix).removesuffix('"}'): value
            for name, value in self.metrics().items()
            if name.startswith(prefix)
        }

    def resident_bytes(self) -> int:
        """The memory of the server's own process, its sources' not included."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found, status
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets the server has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def output(self) -> str:
        """What it has printed so far, both streams."""
        return self._log.read_text(errors="replace")

    def wait_until_live(self, names: Sequence[str]) -> None:
        """Wait for `/health`, then for the streams; fail with the output if it takes too long."""
        deadline = time.monotonic() + READY_S
        while True:
            assert self.process.poll() is None, f"the server has ended:\n{self.output()}"
            try:
                if json.loads(self.get("/health")) == {"status": "ok"}:
                    states = {s["name"]: s["state"] for s in json.loads(self.get("/api/streams"))}
                    if all(states.get(name) == "live" for name in names):
                        return
            except urllib.error.URLError:
                states = {"/health": "no answer"}
            assert time.monotonic() < deadline, f"not ready: {states}\n{self.output()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Ctrl-C: everything ends in order, soon, and without a traceback."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
        self.wait_for_end()

    def wait_for_end(self, timeout_s: float = STOP_S) -> None:
        """Wait until the server ends by itself, and check that it does so in order."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the server does not end:\n{self.output()}") from None
        assert code == 0, f"exit code {code}:\n{self.output()}"
        assert "Traceback" not in self.output(), self.output()


@contextmanager
def serving(
    *sources: str | Path,
    options: Sequence[str] = (),
    host: str = "127.0.0.1",
    prefix: Sequence[str] = (),
    wait_for: Sequence[str] | None = None,
) -> Iterator[RunningServer]:
    """Serve `sources` (each `NAME=SOURCE`) until the block ends; then Ctrl-C, and check the end.

    `prefix` is what runs the command, such as `ip netns exec …`; `wait_for` names the streams that
    must be live first, by default all.
    """
    ports = free_ports()
    command = [*prefix, *COMMAND, "serve", *map(str, sources), "--host", host]
    for option, port in zip(("--rtsp-port", "--http-port", "--udp-port"), ports, strict=True):
        command += [option, str(port)]
    names = [str(source).partition("=")[0] for source in sources]
    with ExitStack() as stack:
        log = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "output"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [*command, *options],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        stack.callback(_kill, process)
        server = RunningServer(process, log, host, ports, prefix)
        server.wait_until_live(names if wait_for is None else wait_for)
        yield server
        server.stop()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def streamsocket(*arguments: str, timeout_s: float = 30) -> subprocess.CompletedProcess[str]:
    """Run the command line to its end."""
    return subprocess.run(
        [*COMMAND, *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout_s,
    )
