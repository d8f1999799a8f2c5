"""Between two machines whose network loses datagrams: what is missed is asked for again."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NoReturn

import pytest
from tests.interop.serving import COMMAND, RunningServer, serving
from tests.interop.test_networks import SERVER, Namespaces

LOSS = 0.05
SECONDS = 6
# A reorder buffer long enough for FFmpeg, which asks five times a second at most.
PATIENT = ("-max_delay", "1000000")


@pytest.fixture(scope="module")
def namespaces(cannot_test: Callable[[str], NoReturn]) -> Iterator[Namespaces]:
    """The viewer's machine and the server's each lose some of the datagrams that come to it."""
    found = Namespaces(1500)
    with ExitStack() as stack:
        stack.callback(found.remove)
        refusal = found.make()
        for namespace in () if refusal else (found.server, found.viewer):
            rule = ["-A", "INPUT", "-p", "udp", "-i", "cable+", "-m", "statistic"]
            rule += ["--mode", "random", "--probability", str(LOSS), "-j", "DROP"]
            refusal = refusal or found.run("iptables", *rule, namespace=namespace).stderr
        if refusal:
            cannot_test(f"a network that loses datagrams, as it can't be made here ({refusal})")
        yield found


@pytest.fixture(scope="module")
def server(
    namespaces: Namespaces, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("settings")
    settings = folder / "streamsocket.toml"
    settings.write_text('[users.any]\npublish = ["*"]\nwatch = ["*"]\n')
    with serving(
        "test=test:640x360@30",
        options=["--config", str(settings)],
        host=SERVER,
        prefix=["ip", "netns", "exec", namespaces.server],
    ) as running:
        yield running


def complaints(namespaces: Namespaces, url: str) -> list[str]:
    """What FFmpeg says of what it plays."""
    command = ["ffmpeg", "-v", "warning", "-rtsp_transport", "udp", *PATIENT, "-i", url]
    done = namespaces.run(
        *command, "-t", str(SECONDS), "-f", "null", "-", namespace=namespaces.viewer
    )
    assert done.returncode == 0, done.stderr
    return re.findall(r"missed|error|concealing|corrupt|max delay", done.stderr)


def test_a_player_that_knows_avpf_gets_again_what_it_missed(
    namespaces: Namespaces, server: RunningServer
) -> None:
    assert len(complaints(namespaces, server.url("test"))) > 5, "nothing was lost: no test at all"
    assert server.stream("test")["resent_packets"] == 0
    assert complaints(namespaces, server.url("test") + "?profile=avpf") == []
    assert server.stream("test")["resent_packets"] > 5


@contextmanager
def publishing(namespaces: Namespaces, url: str) -> Iterator[None]:
    command = [*COMMAND, "publish", "test:640x360@30", url, "--transport", "udp"]
    publisher = subprocess.Popen(
        ["ip", "netns", "exec", namespaces.viewer, *command], stdout=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        publisher.send_signal(signal.SIGINT)
        publisher.wait(10)


def test_a_publisher_of_ours_is_asked_for_what_the_server_missed(
    namespaces: Namespaces, server: RunningServer
) -> None:
    with publishing(namespaces, server.url("published")):
        server.wait_until_live(["published"])
        probe = [*COMMAND, "probe", server.url("published"), "--transport", "tcp", "--json"]
        done = namespaces.run(*probe, "--seconds", str(SECONDS), namespace=namespaces.server)
    report = json.loads(done.stdout)
    for track in report["tracks"]:
        assert track["lost"] == 0, report["findings"]
        assert track["damaged_frames"] == 0, report["findings"]
        assert track["units"] > 20 * SECONDS
