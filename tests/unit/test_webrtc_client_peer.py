"""One connection to a WebRTC server, against the real one: how it is made, used and lost."""

from __future__ import annotations

import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from time import monotonic, time
from typing import Any

import aioice.ice
import pytest
from client_helpers import run_as_the_server_does as run
from rtsp_helpers import eventually
from turn_server import StunServer, TurnServer
from whep_helpers import WhepServer, whep_server

from streamsocket.errors import ConnectError, ServerLeftError
from streamsocket.rtp.packet import parse_rtp
from streamsocket.rtp.rtcp import Pli, SenderReport, build_pli, parse_rtcp
from streamsocket.webrtc import client_peer, sdp
from streamsocket.webrtc.candidate import Candidate
from streamsocket.webrtc.certificate import Certificate
from streamsocket.webrtc.client_offer import build_watching
from streamsocket.webrtc.client_peer import ClientPeer
from streamsocket.webrtc.dtls import is_dtls
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.server import Asker

HERE = Asker("127.0.0.1", "127.0.0.1")


class PeerUnderTest:
    """A peer, what it has received and what it was told."""

    def __init__(self, server: WhepServer, *ice_servers: IceServer) -> None:
        self.server = server
        self.received: list[tuple[bytes, bool, float]] = []
        self.lost: list[ConnectError] = []
        self.peer = ClientPeer(ice_servers, self.receive, self.lost.append)
        self.offer = ""

    def receive(self, packet: bytes, is_rtcp: bool, arrival: float) -> None:
        self.received.append((packet, is_rtcp, arrival))

    def has_come(self, *, is_rtcp: bool = False) -> bool:
        return any(each[1] == is_rtcp for each in self.received)

    async def answered(self, change: Callable[[str], str] = lambda text: text) -> sdp.Description:
        """The server's answer to its offer, which is changed before."""
        transport = await self.peer.gather()
        self.offer = change(build_watching(["video"], transport, secrets.randbits(62)).text)
        answer = await self.server.webrtc.watch("lobby", self.offer, HERE)
        return sdp.parse(answer.text)

    async def connect(self) -> None:
        await self.peer.connect(await self.answered(), 5)


@asynccontextmanager
async def peer_and_server(*ice_servers: IceServer) -> AsyncIterator[PeerUnderTest]:
    async with whep_server() as server:
        under_test = PeerUnderTest(server, *ice_servers)
        try:
            yield under_test
        finally:
            await under_test.peer.close()


def test_media_and_reports_come_unprotected() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            await under_test.connect()
            await eventually(under_test.has_come)
            await eventually(lambda: under_test.has_come(is_rtcp=True))
            for packet, is_rtcp, arrival in under_test.received:
                assert abs(arrival - time()) < 5
                if is_rtcp:
                    assert isinstance(parse_rtcp(packet)[0], SenderReport)
                else:
                    assert parse_rtp(packet).payload_type >= 96
            assert not under_test.peer.refused
            assert not under_test.lost

    run(scenario)


def test_what_is_sent_arrives() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            await under_test.connect()
            before = under_test.server.keyframe_requests
            peer = under_test.peer
            peer.send(peer.protection.protect_rtcp(build_pli(Pli(1, 2))))
            await eventually(lambda: under_test.server.keyframe_requests > before)

    run(scenario)


def test_what_is_sent_before_there_is_a_way_is_lost() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            under_test.peer.send(b"early")
            assert under_test.peer.refused == {"not_sent": 1}

    run(scenario)


def test_the_peer_waits_where_the_server_begins_the_handshake() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            answer = await under_test.answered(
                lambda offer: offer.replace("a=setup:actpass", "a=setup:passive")
            )
            assert answer.transport.setup == "active"
            await under_test.peer.connect(answer, 5)
            await eventually(under_test.has_come)

    run(scenario)


def test_media_that_overtakes_the_handshake_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        taken = client_peer._Ice.data_received
        last: list[bytes] = []
        media = 0

        def received(self: client_peer._Ice, data: bytes, component: int) -> None:
            nonlocal media
            if is_dtls(data) and data[0] == 20:  # the server's last words begin with it
                last.append(data)
                return
            taken(self, data, component)
            media += not is_dtls(data)
            if media == 5:
                taken(self, last[0], component)

        monkeypatch.setattr(client_peer._Ice, "data_received", received)
        async with peer_and_server() as under_test:
            await under_test.connect()
            assert len(under_test.received) >= 5
            assert media >= 5

    run(scenario)


def test_a_packet_that_is_repeated_comes_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        taken = client_peer._Ice.data_received

        def received(self: client_peer._Ice, data: bytes, component: int) -> None:
            taken(self, data, component)
            taken(self, data, component)

        monkeypatch.setattr(client_peer._Ice, "data_received", received)
        async with peer_and_server() as under_test:
            await under_test.connect()
            await eventually(lambda: len(under_test.received) > 20)
            packets = [packet for packet, _, _ in under_test.received]
            assert len(set(packets)) == len(packets)
            assert under_test.peer.refused["malformed"] >= 20

    run(scenario)


def test_a_server_with_another_certificate_is_not_talked_to() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            answer = await under_test.answered()
            answer.transport.fingerprints[:] = [Certificate.generate().fingerprint]
            with pytest.raises(ConnectError, match="certificate is not the one"):
                await under_test.peer.connect(answer, 5)
            assert not under_test.received

    run(scenario)


def test_a_server_that_cannot_be_reached_is_told_with_its_address() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            answer = await under_test.answered()
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
                silent.bind(("127.0.0.1", 0))
                port = silent.getsockname()[1]
                media = answer.transport
                media.candidates[:] = [replace(media.candidates[0], port=port)]
                began = monotonic()
                with pytest.raises(ConnectError, match=rf"over UDP at 127\.0\.0\.1:{port}"):
                    await under_test.peer.connect(answer, 0.5)
                assert monotonic() - began < 1

    run(scenario)


@pytest.mark.parametrize(
    "candidates",
    [
        [],
        ["1 1 tcp 5 127.0.0.1 9 typ host tcptype passive"],
        ["1 1 udp 5 server.local 9 typ host"],
        ["1 2 udp 5 127.0.0.1 9 typ host"],
    ],
)
def test_a_server_without_an_address_over_udp_is_told(candidates: list[str]) -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            answer = await under_test.answered()
            answer.transport.candidates[:] = [Candidate.parse(each) for each in candidates]
            with pytest.raises(ConnectError, match="no UDP address"):
                await under_test.peer.connect(answer, 5)

    run(scenario)


def test_who_does_not_finish_the_handshake_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario() -> None:
        def deaf(self: client_peer._Ice, data: bytes, component: int) -> None:
            pass

        monkeypatch.setattr(client_peer._Ice, "data_received", deaf)
        async with peer_and_server() as under_test:
            answer = await under_test.answered()
            with pytest.raises(ConnectError, match="not finished the DTLS handshake"):
                await under_test.peer.connect(answer, 0.5)

    run(scenario)


def test_a_server_that_leaves_is_told_once() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            await under_test.connect()
            await eventually(under_test.has_come)
            under_test.server.end_stream()
            await eventually(lambda: bool(under_test.lost))
            (failure,) = under_test.lost
            assert isinstance(failure, ServerLeftError)
            await under_test.peer.close()
            assert len(under_test.lost) == 1

    run(scenario)


def test_a_server_that_consents_no_more_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.1)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 1)

    async def scenario() -> None:
        async with peer_and_server() as under_test:
            await under_test.connect()
            under_test.server.fall_deaf()
            await eventually(lambda: bool(under_test.lost))
            (failure,) = under_test.lost
            assert "the way to it is lost" in str(failure)
            assert not isinstance(failure, ServerLeftError)

    run(scenario)


def test_leaving_says_goodbye() -> None:
    async def scenario() -> None:
        async with peer_and_server() as under_test:
            await under_test.connect()
            assert under_test.server.webrtc.sessions == 1
            await under_test.peer.close()
            await eventually(lambda: under_test.server.webrtc.sessions == 0)
            assert not under_test.lost

    run(scenario)


def test_a_stun_server_tells_how_we_are_seen() -> None:
    async def scenario() -> None:
        async with StunServer().running() as stun, peer_and_server(stun.spec) as under_test:
            transport = await under_test.peer.gather()
            reflexive = [each for each in transport.candidates if each.type == "srflx"]
            assert reflexive
            assert all((each.host, each.port) == stun.SEEN for each in reflexive)
            assert reflexive[0].related
            assert f"raddr {reflexive[0].related[0]} rport" in str(reflexive[0])

    run(scenario)


def test_a_stun_server_that_is_silent_is_done_without(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_peer, "GATHER_S", 0.3)

    async def scenario() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
            silent.bind(("127.0.0.1", 0))
            stun = IceServer("stun", "127.0.0.1", silent.getsockname()[1])
            async with peer_and_server(stun) as under_test:
                began = monotonic()
                await under_test.connect()
                assert monotonic() - began < 2
                await eventually(under_test.has_come)

    run(scenario)


def test_a_turn_server_relays_where_nothing_else_gets_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Our own addresses are left out, as if a firewall let nobody but the TURN server through."""
    monkeypatch.setattr(aioice.ice, "get_host_addresses", lambda **_: [])

    async def no_loopback(self: client_peer._Ice, remote: Any) -> None:
        pass

    monkeypatch.setattr(client_peer._Ice, "add_loopback", no_loopback)

    async def scenario() -> None:
        async with TurnServer().running() as turn, peer_and_server(turn.spec) as under_test:
            await under_test.connect()
            assert "typ relay raddr" in under_test.offer
            await eventually(lambda: len(under_test.received) > 20)
            before = under_test.server.keyframe_requests
            peer = under_test.peer
            peer.send(peer.protection.protect_rtcp(build_pli(Pli(1, 2))))
            await eventually(lambda: under_test.server.keyframe_requests > before)
            assert turn.relayed > 20

    run(scenario)


def test_a_turn_server_that_refuses_is_done_without() -> None:
    async def scenario() -> None:
        async with TurnServer().running() as turn:
            spec = replace(turn.spec, password="mistaken")
            async with peer_and_server(spec) as under_test:
                await under_test.connect()
                await eventually(under_test.has_come)
                assert "typ relay" not in under_test.offer

    run(scenario)
