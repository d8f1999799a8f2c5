"""The socket that a transport stream comes to."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fuzz.multiplexer import movie

from streamsocket.errors import SourceError
from streamsocket.sources import link
from streamsocket.sources.outlet import Outlet, StoppedError
from streamsocket.sources.spec import UdpSpec
from streamsocket.sources.transport_stream import open_socket, run_transport_stream

GROUP = "239.255.77.31"
WAIT_S = 10.0


def free_port(host: str = "127.0.0.1") -> int:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.bind((host, 0))
        return int(sock.getsockname()[1])


@contextmanager
def running(spec: UdpSpec) -> Iterator[socket.socket]:
    """The source in a thread; yields the server's end of its line."""
    theirs, ours = socket.socketpair()
    outlet = Outlet(theirs)

    def run() -> None:
        with pytest.raises(StoppedError):
            run_transport_stream(spec, outlet)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        ours.settimeout(0.1)
        yield ours
    finally:
        ours.send(link.STOP)
        thread.join(WAIT_S)
        theirs.close()
        ours.close()
    assert not thread.is_alive()


def sent_until_said(
    server: socket.socket, sender: socket.socket, to: tuple[str, int], batches: int
) -> list[link.Event | link.TrackBatch]:
    """Send the movie again and again until the source has said so much."""
    decoder = link.Decoder()
    said: list[link.Event | link.TrackBatch] = []
    deadline = time.monotonic() + WAIT_S
    data = movie(1)
    while sum(isinstance(each, link.TrackBatch) for each in said) < batches:
        assert time.monotonic() < deadline, said
        for start in range(0, len(data), 1316):
            sender.sendto(data[start : start + 1316], to)
        try:
            said += decoder.feed(server.recv(1 << 20))
        except TimeoutError:
            pass
    return said


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1", "::"])
def test_what_comes_is_handed_over(host: str) -> None:
    spec = UdpSpec(host, free_port(host))
    to = "::1" if host == "::1" else "127.0.0.1"
    family = socket.AF_INET6 if to == "::1" else socket.AF_INET
    with running(spec) as server, socket.socket(family, socket.SOCK_DGRAM) as sender:
        said = sent_until_said(server, sender, (to, spec.port), 30)
    assert isinstance(said[0], link.Waiting)
    assert isinstance(said[1], link.Tracks)
    assert [track.kind for track in said[1].tracks] == ["video", "audio"]


@pytest.mark.parametrize("interface", ["127.0.0.1", "lo"])
def test_a_multicast_group_is_joined(interface: str) -> None:
    spec = UdpSpec(GROUP, free_port(), interface)
    with (
        running(spec) as server,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        open_socket(spec) as another,
    ):
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        said = sent_until_said(server, sender, (GROUP, spec.port), 30)
        assert another.recv(2048)  # others may listen, too
    assert isinstance(said[1], link.Tracks)


def test_an_ipv6_group_is_joined_by_the_interfaces_name() -> None:
    with open_socket(UdpSpec("ff11::77:31", free_port("::1"), "lo")):
        memberships = Path("/proc/net/igmp6").read_text().splitlines()
        # Nothing can be sent to it on every machine: not all have a route to such groups.
        assert any(line.split()[1:3] == ["lo", f"ff11{'0' * 20}00770031"] for line in memberships)


def test_a_stop_ends_it_while_nothing_comes() -> None:
    with running(UdpSpec("127.0.0.1", free_port())):
        begun = time.monotonic()
    assert time.monotonic() - begun < 2.0


def test_a_port_that_somebody_has_is_refused_in_one_sentence() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(SourceError, match=f"UDP port {port} is in use") as caught:
            open_socket(UdpSpec("127.0.0.1", port))
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (UdpSpec("192.0.2.1", 5000), "no address 192.0.2.1"),
        (UdpSpec("no-such-host.invalid", 5000), "is no address"),
        (UdpSpec(GROUP, 5000, "192.0.2.1"), "no network interface 192.0.2.1"),
        (UdpSpec(GROUP, 5000, "nothing0"), "no network interface nothing0"),
        (UdpSpec("ff11::77:31", 5000, "::1"), "the interface's name"),
    ],
)
def test_where_nobody_can_listen_is_said_in_one_sentence(spec: UdpSpec, reason: str) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        open_socket(spec)
    assert str(caught.value).endswith(".")


def test_its_process_loads_neither_ffmpeg_nor_numpy() -> None:
    program = (
        "import sys, streamsocket.sources.worker, streamsocket.sources.transport_stream;"
        "sys.exit(bool({'av', 'numpy'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=WAIT_S)
