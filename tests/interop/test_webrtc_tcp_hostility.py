"""Strangers on WebRTC's TCP port: refused, counted, and the viewers see nothing of it."""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.ports import free_ports
from tests.interop.serving import RunningServer, serving
from tests.interop.witness import MIXED, Witness

NOT_MORE = 20_000_000
"""What an attack may make the server's memory grow by."""
CONNECTIONS = 1_000
"""One address may have so many."""


@pytest.fixture(scope="module")
def port() -> int:
    return free_ports()[2]


@pytest.fixture(scope="module")
def server(movies: MovieShelf, port: int) -> Iterator[RunningServer]:
    """Serves one movie to one viewer, who must not notice anything."""
    options = ("--webrtc-port", str(port), "--rtmp-port", "0")
    with serving(f"movie={movies['pal']}", options=options) as running:
        yield running


@pytest.fixture(autouse=True)
def undisturbed(server: RunningServer) -> Iterator[None]:
    """A viewer who must see every packet in time, and memory and files that must not grow."""
    memory, files = server.resident_bytes(), server.descriptors()
    with Witness(server.url("movie"), MIXED) as witness:
        time.sleep(0.5)
        yield
        time.sleep(0.5)
        assert server.resident_bytes() - memory < NOT_MORE
    witness.has_seen_all()
    wait_until(lambda: server.descriptors() <= files, 5)


def refused(server: RunningServer, reason: str) -> float:
    """How often that was refused, half a second ago."""
    return server.refused().get(reason, 0)


def wait_until(met: Callable[[], bool], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while not met():
        assert time.monotonic() < deadline, "in vain"
        time.sleep(0.05)


def test_who_comes_and_says_nothing_or_half_is_closed(server: RunningServer, port: int) -> None:
    silent, too_many = refused(server, "silent_connection"), refused(server, "too_many_connections")
    with ExitStack() as stack:
        poller = select.poll()
        for number in range(CONNECTIONS):
            stranger = stack.enter_context(socket.create_connection((server.host, port), 5))
            stranger.sendall(b"\0\x64\0\1\0\x50\x21\x12\xa4\x42"[: number % 10])
            poller.register(stranger, select.POLLIN)
        with socket.create_connection((server.host, port), 5) as one_more:
            one_more.settimeout(3)
            assert one_more.recv(1) == b""
        wait_until(lambda: len(poller.poll(0)) == CONNECTIONS, 15)
    wait_until(lambda: refused(server, "silent_connection") - silent == CONNECTIONS, 3)
    assert refused(server, "too_many_connections") - too_many == 1


def test_noise_is_closed_however_much_there_is(server: RunningServer, port: int) -> None:
    noise = random.Random(1)
    beginnings = (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"", b"\0\x40\0\1")
    before = refused(server, "no_check")
    for number in range(200):
        with socket.create_connection((server.host, port), 5) as stranger:
            try:
                stranger.sendall(beginnings[number % 4])
                for _ in range(10):
                    stranger.sendall(noise.randbytes(20_000))
            except ConnectionError:
                pass  # it did not want to hear all of it
    wait_until(lambda: refused(server, "no_check") - before >= 150, 3)
