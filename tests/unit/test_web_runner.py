"""The HTTP server on a real socket, and peers that behave badly."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator

import pytest
from status_helpers import live_stream, server_status

from streamsocket.errors import StreamSocketError
from streamsocket.web import protocol
from streamsocket.web.app import create_app
from streamsocket.web.runner import HttpServer

REQUEST = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"


def make_server(host: str = "127.0.0.1", port: int = 0) -> HttpServer:
    status = server_status(live_stream())
    return HttpServer(create_app(lambda: status, rtsp_port=8554), host, port)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    server = make_server()
    server.start()
    yield server
    server.stop()


def connected(server: HttpServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=5)


def ask(peer: socket.socket, data: bytes = REQUEST) -> bytes:
    """Send it and return the head of the answer, having read the body too."""
    peer.sendall(data)
    with peer.makefile("rb") as answer:
        head = b"".join(iter(answer.readline, b"\r\n"))
        if length := re.search(rb"content-length: (\d+)", head):
            answer.read(int(length[1]))
        return head


def answer_to(server: HttpServer, data: bytes) -> bytes:
    with connected(server) as peer:
        return ask(peer, data)


def was_closed(peer: socket.socket) -> bool:
    try:
        return peer.recv(1) == b""
    except ConnectionResetError:
        return True


def test_it_answers_on_the_port_it_tells(server: HttpServer) -> None:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/health", timeout=5) as response:
        assert response.status == 200


def test_a_taken_port_is_one_sentence(server: HttpServer) -> None:
    with pytest.raises(
        StreamSocketError, match=rf"^Port {server.port} on 127.* is taken: .*--http-port\.$"
    ):
        make_server(port=server.port)


def test_an_address_that_is_not_ours_is_one_sentence() -> None:
    with pytest.raises(StreamSocketError, match=r"no address 192\.0\.2\.250"):
        make_server(host="192.0.2.250")
    with pytest.raises(StreamSocketError, match="'no such host' to listen on is not known"):
        make_server(host="no such host")


def test_it_stops_at_once_although_peers_are_connected() -> None:
    before = threading.active_count()
    server = make_server()
    server.start()
    with connected(server) as silent, connected(server) as half:
        half.sendall(REQUEST[:10])
        start = time.monotonic()
        server.stop()
        assert time.monotonic() - start < 2
        assert was_closed(silent)
    assert threading.active_count() == before
    server.stop()


def test_a_server_that_was_never_started_can_be_stopped() -> None:
    server = make_server()
    server.stop()
    with pytest.raises(OSError, match="refused"):
        connected(server)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: -4\r\n\r\n",
        b"GET /health HTTP/1.1\r\n\r\n",
        b"OPTIONS rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n",
        b"GET /health HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 200_000,
    ],
)
def test_nonsense_is_refused_and_the_next_is_served(server: HttpServer, nonsense: bytes) -> None:
    assert answer_to(server, nonsense).startswith(b"HTTP/1.1 400 ")
    assert answer_to(server, REQUEST).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "data",
    [
        REQUEST + b"GET\x00\r\n\r\n",
        REQUEST[:-2] + b"Transfer-Encoding: chunked\r\n\r\nnonsense\r\n",
        REQUEST[:-2] + b"Connection: close\r\n\r\n" + REQUEST,
    ],
)
def test_nonsense_behind_a_request_closes_the_connection_quietly(
    server: HttpServer, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    with connected(server) as peer, contextlib.suppress(ConnectionResetError):
        peer.sendall(data)
        while peer.recv(65_536):
            pass
    assert answer_to(server, REQUEST).startswith(b"HTTP/1.1 200 ")
    assert not caplog.records


def test_nonsense_behind_an_answer_is_refused(server: HttpServer) -> None:
    with connected(server) as peer:
        assert ask(peer).startswith(b"HTTP/1.1 200 ")
        assert ask(peer, b"GET\x00\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_a_request_must_arrive_in_time(server: HttpServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    with connected(server) as silent, connected(server) as slow, connected(server) as good:
        slow.sendall(REQUEST[:10])
        assert ask(good).startswith(b"HTTP/1.1 200 ")
        assert was_closed(silent)
        assert was_closed(slow)
        assert ask(good).startswith(b"HTTP/1.1 200 ")
        good.sendall(REQUEST[:10])
        assert was_closed(good)


def test_a_body_that_never_ends_is_cut_off(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    with connected(server) as peer:
        endless = b"GET /health HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\nabc"
        assert ask(peer, endless).startswith(b"HTTP/1.1 200 ")
        assert was_closed(peer)


def test_a_peer_that_reads_no_answers_is_given_up(
    server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "STALL_SECONDS", 0.2)
    endless = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 1_000_000
    with connected(server) as peer, pytest.raises(OSError, match=r"reset|Broken"):
        peer.sendall(endless)


def test_connections_beyond_the_bound_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "MAX_CONNECTIONS", 2)
    server = make_server()
    server.start()
    with connected(server) as first, connected(server) as second, connected(server) as third:
        assert was_closed(third)
        for peer in (first, second):
            assert ask(peer).startswith(b"HTTP/1.1 200 ")
    server.stop()
