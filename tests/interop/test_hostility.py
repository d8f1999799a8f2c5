"""What strangers send to the server: refused, counted, and the viewers see nothing of it."""

from __future__ import annotations

import random
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.ports import udp_pair
from tests.interop.raw_rtsp import RawRtsp
from tests.interop.serving import RunningServer, serving
from tests.interop.witness import MIXED, Witness

MEGABYTE = 1_000_000
NOT_MORE = 20 * MEGABYTE
"""What an attack may make the server's memory grow by."""
CONNECTIONS = 1_000


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    """Serves one movie to one viewer, who must not notice anything."""
    with serving(f"movie={movies['pal']}", f"large={movies['large']}") as running:
        yield running


@pytest.fixture(autouse=True)
def undisturbed(server: RunningServer) -> Iterator[None]:
    """A viewer who must see every packet in time, and memory and files that must not grow."""
    memory = server.resident_bytes()
    with Witness(server.url("movie"), MIXED) as witness:
        time.sleep(0.5)
        yield
        time.sleep(0.5)
        assert server.resident_bytes() - memory < NOT_MORE
    witness.has_seen_all()


def connect(server: RunningServer) -> socket.socket:
    return socket.create_connection((server.host, server.rtsp_port), timeout=5)


def is_closed_by(server_side: socket.socket, within_s: float = 5) -> bool:
    """Whether the server closes the connection; what it says before doesn't matter."""
    server_side.settimeout(within_s)
    try:
        while server_side.recv(65536):
            pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    return True


def refused(server: RunningServer, reason: str) -> Callable[[], float]:
    """How often this was refused since this call; the server's status is half a second old."""
    before = server.refused().get(reason, 0)

    def since() -> float:
        time.sleep(0.7)
        return server.refused().get(reason, 0) - before

    return since


HEAD = b"DESCRIBE rtsp://127.0.0.1/movie RTSP/1.0\r\nCSeq: 1\r\n"


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(HEAD + b"Content-Length: 99999999999\r\n\r\n", id="a length that is too long"),
        pytest.param(HEAD + b"Content-Length: -1\r\n\r\n", id="a length below zero"),
        pytest.param(HEAD + b"Content-Length: 0x10\r\n\r\n", id="a length in hexadecimal"),
        pytest.param(
            HEAD + b"Content-Length: 5\r\nContent-Length: 50\r\n\r\nhello", id="two lengths"
        ),
        pytest.param(HEAD + b"X: " + b"y" * 200_000, id="a header without end"),
        pytest.param(HEAD + b"X: y\r\n" * 50_000, id="headers without end"),
        pytest.param(b"x" * 200_000, id="a first line without end"),
        pytest.param(b"\r\n" * 100_000 + b"x\r\n\r\n", id="empty lines"),
    ],
)
def test_what_is_no_rtsp_is_refused_and_its_connection_closed(
    data: bytes, server: RunningServer
) -> None:
    malformed = refused(server, "malformed")
    with connect(server) as sender:
        try:
            sender.sendall(data)
        except ConnectionError:
            pass  # it did not want to hear all of it
        assert is_closed_by(sender)
    assert malformed() == 1


def test_random_bytes(server: RunningServer) -> None:
    noise = random.Random(1)
    for _ in range(50):
        with connect(server) as sender:
            try:
                for _ in range(4):
                    sender.sendall(noise.randbytes(20_000))
            except ConnectionError:
                pass


def test_requests_that_never_end_are_bounded(server: RunningServer) -> None:
    with ExitStack() as stack:
        for index in range(200):
            sender = stack.enter_context(connect(server))
            sender.sendall(HEAD + b"X: half a header"[: index % 16])
        time.sleep(1)
        with RawRtsp(server.url("movie")) as rtsp:
            assert rtsp.describe().status == 200


def test_a_thousand_connections(server: RunningServer) -> None:
    too_many = refused(server, "too_many_connections")
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            stack.enter_context(connect(server))
        # One address may have a thousand, and the witness has one already.
        with connect(server) as one_more:
            assert is_closed_by(one_more)
        assert too_many() >= 1
    with RawRtsp(server.url("movie")) as rtsp:
        assert rtsp.describe().status == 200


def test_media_is_not_sent_to_somebody_else(server: RunningServer) -> None:
    foreign = refused(server, "foreign_destination")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim,
        RawRtsp(server.url("movie")) as rtsp,
    ):
        victim.bind(("127.0.0.2", 0))
        port = victim.getsockname()[1] & ~1
        rtsp.describe()
        answer = rtsp.setup(
            rtsp.medias[0],
            f"RTP/AVP;unicast;destination=127.0.0.2;client_port={port}-{port + 1}",
        )
        assert answer.status == 403
    assert foreign() == 1


@pytest.mark.parametrize(
    "transport",
    [
        "RTP/AVP;multicast;destination=224.2.0.1;port=5000-5001;ttl=16",
        "RAW/RAW/UDP;unicast;client_port=5000-5001",
        "RTP/SAVP;unicast;client_port=5000-5001",
        "RTP/AVP;unicast",
        "",
    ],
)
def test_a_transport_that_is_not_to_be_had(transport: str, server: RunningServer) -> None:
    with RawRtsp(server.url("movie")) as rtsp:
        rtsp.describe()
        answer = rtsp.setup(rtsp.medias[0], transport)
    assert answer.status in (400, 403, 461)


def test_datagrams_that_are_no_reports(server: RunningServer) -> None:
    noise = random.Random(2)
    strangers = refused(server, "rtcp_from_strangers")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for port in (server.udp_port, server.udp_port + 1):
            for size in (0, 1, 3, 4, 8, 12, 200, 1472, 9000, 60_000):
                sender.sendto(noise.randbytes(size), (server.host, port))
            # A report that says it is longer than it is, and one of version 3.
            sender.sendto(struct.pack("!BBH", 0x80, 200, 0xFFFF), (server.host, port))
            sender.sendto(struct.pack("!BBHI", 0xC0, 201, 1, 7), (server.host, port))
    assert strangers() == 12


def test_reports_from_a_viewer_that_are_none(server: RunningServer) -> None:
    noise = random.Random(3)
    malformed = refused(server, "malformed_rtcp")
    with ExitStack() as stack:
        rtp, rtcp = map(stack.enter_context, udp_pair(server.host))
        port = rtp.getsockname()[1]
        rtsp = stack.enter_context(RawRtsp(server.url("movie")))
        rtsp.describe()
        answer = rtsp.setup(rtsp.medias[0], f"RTP/AVP;unicast;client_port={port}-{port + 1}")
        assert answer.status == 200
        for size in (1, 3, 7, 100, 1400):
            rtcp.sendto(noise.randbytes(size), (server.host, server.udp_port + 1))
        # An acknowledgement of everything: it asks for more than there ever was.
        nack = struct.pack("!BBHII", 0x81, 205, 302, 1, 1) + b"\x00\x00\xff\xff" * 300
        rtcp.sendto(nack, (server.host, server.udp_port + 1))
        assert malformed() == 5


def test_frames_on_channels_that_nobody_has_set_up(server: RunningServer) -> None:
    with connect(server) as sender:
        sender.sendall((b"$\x07\x05\xdc" + bytes(1500)) * 100)
        sender.sendall(b"OPTIONS * RTSP/1.0\r\nCSeq: 1\r\n\r\n")
        sender.settimeout(5)
        assert sender.recv(1000).startswith(b"RTSP/1.0 200 OK")


def test_a_viewer_that_stops_reading_costs_bounded_memory(server: RunningServer) -> None:
    before = server.stream("large")["skipped_packets"]
    memory = server.resident_bytes()
    with Witness(server.url("large")) as neighbour, RawRtsp(server.url("large")) as sleeper:
        sleeper.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sleeper.describe()
        for index, media in enumerate(sleeper.medias):
            channels = f"{2 * index}-{2 * index + 1}"
            answer = sleeper.setup(media, f"RTP/AVP/TCP;unicast;interleaved={channels}")
            assert answer.status == 200
        sleeper.send("PLAY", Range="npt=now-")
        time.sleep(8)
        assert server.resident_bytes() - memory < NOT_MORE
        time.sleep(0.7)
        assert server.stream("large")["skipped_packets"] > before
    neighbour.has_seen_all()
