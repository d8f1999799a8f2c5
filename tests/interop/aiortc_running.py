"""aiortc as a publisher or a viewer of a server, in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.interop.serving import RunningServer

_PEER = Path(__file__).parent / "peers" / "aiortc_peer.py"


def command(action: str, server: RunningServer, name: str, *arguments: str) -> list[str]:
    """The command line of the peer."""
    kind = {"publish": "whip", "watch": "whep"}[action]
    url = f"http://{server.host}:{server.http_port}/{name}/{kind}"
    return [sys.executable, "-W", "ignore", str(_PEER), action, url, *arguments]


def watch(server: RunningServer, name: str, seconds: float) -> dict[str, Any]:
    """What came within so many seconds, as the peer tells it."""
    done = subprocess.run(
        command("watch", server, name, str(seconds)), capture_output=True, text=True, timeout=40
    )
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


@contextmanager
def publishing(
    server: RunningServer, name: str, movie: Path, codec: str
) -> Iterator[subprocess.Popen[str]]:
    """Publish until the block ends, or the process's standard input does."""
    process = subprocess.Popen(
        command("publish", server, name, str(movie), codec),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + 15
        while f'streamsocket_stream_up{{stream="{name}"}}' not in server.metrics():
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline, server.output()
            time.sleep(0.1)
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)
