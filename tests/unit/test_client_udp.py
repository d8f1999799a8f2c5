"""The client's pair of UDP ports."""

from __future__ import annotations

import asyncio
import socket

import pytest

from streamsocket.errors import ConnectError, StreamSocketError
from streamsocket.rtsp import client_udp
from streamsocket.rtsp.client_udp import UdpPair

Heard = list[tuple[bool, bytes]]


async def exchange(family: socket.AddressFamily, host: str, stranger: str | None) -> Heard:
    """Let a server, and perhaps a stranger, send to a pair; return what the pair hands on."""
    heard: Heard = []
    everything = asyncio.Event()

    def hear(is_rtcp: bool, data: bytes, arrival: float) -> None:
        assert arrival > 1e9
        heard.append((is_rtcp, data))
        if len(heard) == 2:
            everything.set()

    with socket.socket(family, socket.SOCK_DGRAM) as server:
        server.bind((host, 0))
        pair = UdpPair(server.getsockname(), hear)
        try:
            assert pair.port % 2 == 0
            await pair.open({host})
            if stranger:
                with socket.socket(family, socket.SOCK_DGRAM) as other:
                    other.bind((stranger, 0))
                    other.sendto(b"strange", (host, pair.port))
            server.sendto(b"rtp", (host, pair.port))
            server.sendto(b"rtcp", (host, pair.port + 1))
            async with asyncio.timeout(5):
                await everything.wait()
            assert pair.foreign == (1 if stranger else 0)
            server.settimeout(5)
            pair.punch()  # as yet to nowhere
            pair.aim(server.getsockname(), (server.getsockname()[1],) * 2)
            pair.punch()
            pair.send_rtcp(b"report")
            sent = {server.recvfrom(100)[0] for _ in range(3)}
            assert sent == {client_udp.PUNCH_RTP, client_udp.PUNCH_RTCP, b"report"}
        finally:
            pair.close()
            pair.close()  # the second time does nothing
            await asyncio.sleep(0)
    return sorted(heard)


EXPECTED = [(False, b"rtp"), (True, b"rtcp")]


def test_only_the_server_is_heard() -> None:
    assert asyncio.run(exchange(socket.AF_INET, "127.0.0.1", "127.0.0.2")) == EXPECTED


def test_ipv6() -> None:
    assert asyncio.run(exchange(socket.AF_INET6, "::1", None)) == EXPECTED


def test_loops_without_readers(monkeypatch: pytest.MonkeyPatch) -> None:
    def without(*_: object) -> None:
        raise NotImplementedError

    async def scenario() -> Heard:
        # As on Windows' proactor loop; asyncio itself reads by another way.
        monkeypatch.setattr(asyncio.get_running_loop(), "add_reader", without)
        return await exchange(socket.AF_INET, "127.0.0.1", "127.0.0.2")

    assert asyncio.run(scenario()) == EXPECTED


def test_no_ports_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(host: str) -> None:
        raise StreamSocketError("none is free")

    monkeypatch.setattr(client_udp, "bind_pair", refuse)
    with pytest.raises(ConnectError, match="No two neighbouring UDP ports are free"):
        UdpPair(("127.0.0.1", 0), lambda *_: None)
