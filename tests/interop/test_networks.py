"""Between two machines, as far as network namespaces can play them, at MTU 1500 and 1280."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NoReturn

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.serving import RunningServer, serving

ROOT = Path(__file__).parents[2]
SERVER, VIEWER = "10.99.0.1", "10.99.0.2"
SECONDS = 4

_WATCH = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from tests.interop.witness import MIXED, TCP, UDP, Witness
protocols = {"udp": UDP, "tcp": TCP, "mixed": MIXED}[sys.argv[2]]
with Witness(sys.argv[1], protocols) as witness:
    time.sleep(float(sys.argv[3]))
witness.has_seen_all()
print(json.dumps({k: [len(t.arrivals), t.largest] for k, t in witness.tracks.items()}))
"""

_PLAY = """
import json, sys
from tests.interop import players
played = getattr(players, sys.argv[1])(sys.argv[2], sys.argv[3], float(sys.argv[4]))
print(json.dumps([played.pictures, played.complaints]))
"""


def ip(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["ip", *arguments], capture_output=True, text=True, timeout=10)


class Namespaces:
    """A server's and a viewer's network with one cable between them."""

    def __init__(self, mtu: int) -> None:
        self.mtu = mtu
        self.server = f"streamsocket-server-{os.getpid()}"
        self.viewer = f"streamsocket-viewer-{os.getpid()}"

    def make(self) -> str:
        """Make them; returns why it can't be done, or nothing."""
        ends = ((self.server, "cable0", SERVER), (self.viewer, "cable1", VIEWER))
        commands = [f"netns add {namespace}" for namespace, _, _ in ends]
        commands.append(
            f"link add cable0 netns {self.server} type veth peer name cable1 netns {self.viewer}"
        )
        for namespace, end, address in ends:
            commands += [
                f"-n {namespace} address add {address}/24 dev {end}",
                f"-n {namespace} link set {end} mtu {self.mtu} up",
                f"-n {namespace} link set lo up",
            ]
        for command in commands:
            done = ip(*command.split())
            if done.returncode:
                return f"ip {command}: {done.stderr.strip()}"
        return ""

    def remove(self) -> None:
        ip("netns", "del", self.server)
        ip("netns", "del", self.viewer)

    def run(self, *command: str, namespace: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["ip", "netns", "exec", namespace, *command],
            capture_output=True,
            text=True,
            timeout=SECONDS + 20,
            cwd=ROOT,
        )

    def fragments(self) -> int:
        """How many IP fragments the server's machine has made."""
        snmp = self.run("cat", "/proc/net/snmp", namespace=self.server).stdout
        names, values = re.findall(r"^Ip: (.*)$", snmp, re.MULTILINE)
        return int(dict(zip(names.split(), values.split(), strict=True))["FragCreates"])


@pytest.fixture(scope="module", params=[1500, 1280])
def namespaces(
    request: pytest.FixtureRequest, cannot_test: Callable[[str], NoReturn]
) -> Iterator[Namespaces]:
    found = Namespaces(request.param)
    with ExitStack() as stack:
        stack.callback(found.remove)
        if refusal := found.make():
            cannot_test(f"networks between machines, as namespaces are refused here ({refusal})")
        yield found


@pytest.fixture(scope="module")
def server(namespaces: Namespaces, movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(
        f"movie={movies['large']}",
        host=SERVER,
        prefix=["ip", "netns", "exec", namespaces.server],
    ) as running:
        yield running


@pytest.mark.parametrize("transport", ["udp", "tcp", "mixed"])
def test_every_packet_arrives_whole(
    transport: str, namespaces: Namespaces, server: RunningServer
) -> None:
    done = namespaces.run(
        *(sys.executable, "-c", _WATCH),
        *(server.url("movie"), transport, str(SECONDS)),
        namespace=namespaces.viewer,
    )
    assert done.returncode == 0, done.stderr
    for kind, (packets, largest) in json.loads(done.stdout).items():
        assert packets > 30 * SECONDS, kind
        assert largest <= 1280 - 20 - 8
    assert namespaces.fragments() == 0


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
def test_ffmpeg_plays_on_another_machine(
    protocol: str, namespaces: Namespaces, server: RunningServer
) -> None:
    done = namespaces.run(
        *("ffmpeg", "-v", "warning", "-stats", "-rtsp_transport", protocol),
        *("-i", server.url("movie"), "-t", str(SECONDS), "-f", "null", "-"),
        namespace=namespaces.viewer,
    )
    assert done.returncode == 0, done.stderr
    frames = re.findall(r"frame=\s*(\d+)", done.stderr)
    assert int(frames[-1]) >= 28 * SECONDS, done.stderr
    assert "missed" not in done.stderr
    assert namespaces.fragments() == 0


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("player", ["gstreamer", "opencv"])
def test_other_players_play_on_another_machine(
    player: str, protocol: str, namespaces: Namespaces, server: RunningServer
) -> None:
    done = namespaces.run(
        *(sys.executable, "-c", _PLAY, player),
        *(server.url("movie"), protocol, str(SECONDS)),
        namespace=namespaces.viewer,
    )
    assert done.returncode == 0, done.stderr
    pictures, complaints = json.loads(done.stdout)
    # A player may take a second to begin; the exact counts are the witness's.
    assert pictures >= 20 * SECONDS, complaints
    assert namespaces.fragments() == 0
