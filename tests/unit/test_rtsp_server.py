"""The RTSP server's sockets: sessions, reports, limits."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest
from hub_helpers import HubUnderTest, Viewer, batch, drain, hub_under_test, parse
from rtsp_helpers import client_of, eventually, with_server

from streamsocket.errors import StreamSocketError
from streamsocket.rtp.rtcp import Nack, Pli, ReceiverReport, build_nack, build_pli
from streamsocket.rtp.rtcp import build_receiver_report as build_report
from streamsocket.rtsp import connection
from streamsocket.rtsp.message import Frames
from streamsocket.rtsp.server import RtspOptions, RtspServer


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


def udp_transport(viewer: Viewer) -> str:
    ports = viewer.rtp.getsockname()[1], viewer.rtcp.getsockname()[1]
    return f"RTP/AVP;unicast;client_port={ports[0]}-{ports[1]}"


def test_picture_over_udp_and_sound_over_tcp_in_one_session(hub: HubUnderTest) -> None:
    viewer = Viewer()

    async def test(server: RtspServer) -> None:
        hub.send(0, batch(timestamp=0, keyframe=True))
        async with client_of(server) as client:
            described = await client.ask("DESCRIBE")
            assert b"m=video" in described.body
            assert b"m=audio" in described.body
            setup = await client.ask("SETUP", "lobby/trackID=0", Transport=udp_transport(viewer))
            ports = server.udp_ports
            assert f"server_port={ports[0]}-{ports[1]}" in (setup.headers.get("Transport") or "")
            tcp = "RTP/AVP/TCP;unicast;interleaved=4-5"
            assert (await client.ask("SETUP", "lobby/trackID=1", Transport=tcp)).status == 200
            played = await client.ask("PLAY", Range="npt=0.000-")
            assert played.status == 200
            assert server.sessions == 1
            (first,) = viewer.packets()
            assert f"seq={first.sequence};" in (played.headers.get("RTP-Info") or "")
            hub.send(1, batch(timestamp=0))
            channels = set()
            while 4 not in channels:
                message = await client.next()
                assert isinstance(message, Frames)
                for channel, data in message.frames:
                    channels.add(channel)
                    if channel == 4:
                        assert parse(data).payload_type == 97
            hub.send(0, batch(timestamp=3000))
            await eventually(lambda: bool(viewer.packets()))
            assert (await client.ask("TEARDOWN")).status == 200
            assert server.sessions == 0
            hub.send(0, batch(timestamp=6000))
            assert viewer.packets() == []

    with_server(hub, test)
    viewer.close()


def test_a_player_that_hangs_up_is_gone_at_once(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            await client.ask("SETUP", "lobby/trackID=0", Transport="RTP/AVP/TCP")
            await client.ask("PLAY")
            assert len(hub.stream.readers) == 1
        await eventually(lambda: server.connections == 0)
        assert not hub.stream.readers

    with_server(hub, test)


def test_feedback_over_udp_brings_packets_and_keyframes(hub: HubUnderTest) -> None:
    viewer = Viewer()

    async def test(server: RtspServer) -> None:
        hub.send(0, batch(timestamp=0, packets=2, keyframe=True))
        async with client_of(server) as client:
            await client.ask("SETUP", "lobby/trackID=0", Transport=udp_transport(viewer))
            await client.ask("PLAY")
            await eventually(lambda: bool(hub.stream.readers))
            packets = viewer.packets()
            server_rtcp = ("127.0.0.1", server.udp_ports[1])
            ssrc = packets[0].ssrc
            viewer.rtcp.sendto(build_nack(Nack(1, ssrc, (packets[0].sequence,))), server_rtcp)
            resent = []
            await eventually(lambda: bool(resent.extend(viewer.packets()) or resent))
            assert resent == packets[:1]
            viewer.rtcp.sendto(build_pli(Pli(1, ssrc)), server_rtcp)
            await eventually(lambda: hub.keyframe_requests == 1)
            viewer.rtcp.sendto(b"\x80\xc8garbage", server_rtcp)
            await eventually(lambda: server.refused["malformed_rtcp"] == 1)
            viewer.rtp.sendto(build_report(ReceiverReport(1), "x"), server_rtcp)
            await eventually(lambda: server.refused["rtcp_from_strangers"] == 1)

    with_server(hub, test)
    viewer.close()


def test_a_silent_session_expires_and_reports_keep_one_alive(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 0.0
    real = time.monotonic
    monkeypatch.setattr(connection.time, "monotonic", lambda: real() + offset)
    silent, reporting = Viewer(), Viewer()

    async def test(server: RtspServer) -> None:
        nonlocal offset
        async with client_of(server) as one, client_of(server) as other:
            for client, viewer in ((one, silent), (other, reporting)):
                await client.ask("SETUP", "lobby/trackID=0", Transport=udp_transport(viewer))
                await client.ask("PLAY")
            offset = 50.0
            report = build_report(ReceiverReport(1), "x")
            reporting.rtcp.sendto(report, ("127.0.0.1", server.udp_ports[1]))
            await asyncio.sleep(0.05)
            offset = 70.0
            await eventually(lambda: server.sessions == 1)
            assert await one.closed()
            assert (await other.ask("GET_PARAMETER")).status == 200

    with_server(hub, test, session_timeout_s=60.0)
    silent.close()
    reporting.close()


def test_a_player_over_tcp_that_only_reads_stays(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 0.0
    real = time.monotonic
    monkeypatch.setattr(connection.time, "monotonic", lambda: real() + offset)

    async def test(server: RtspServer) -> None:
        nonlocal offset
        async with client_of(server) as playing, client_of(server) as paused:
            for client in (playing, paused):
                await client.ask("SETUP", "lobby/trackID=0", Transport="RTP/AVP/TCP")
            await playing.ask("PLAY")
            offset = 70.0
            await eventually(lambda: server.sessions == 1)
            assert (await playing.ask("GET_PARAMETER")).status == 200

    with_server(hub, test, session_timeout_s=60.0)


def test_connections_that_say_nothing_are_closed(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_TIME_WITHOUT_SESSION_S", 0.1)

    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            client.send(b"OPTIONS rtsp://127.0.0.1/lobby RT")
            assert await client.closed()
        assert server.refused["silent_connection"] == 1

    with_server(hub, test)


def test_more_connections_than_allowed_are_refused_and_others_stay(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as first, client_of(server) as second:
            assert (await first.ask("OPTIONS")).status == 200
            assert (await second.ask("OPTIONS")).status == 200
            async with client_of(server) as third:
                assert await third.closed()
            assert server.refused["too_many_connections"] == 1
            assert (await first.ask("OPTIONS")).status == 200

    with_server(hub, test, max_connections_per_address=2)


@pytest.mark.parametrize(
    ("path", "transport", "status", "reason"),
    [
        ("nowhere/trackID=0", "RTP/AVP/TCP", 404, "not_found"),
        ("lobby/trackID=7", "RTP/AVP/TCP", 404, "not_found"),
        ("lobby/trackID=0", "RTP/AVP;client_port=5000-5001;destination=192.0.2.1", 403,
         "foreign_destination"),
        ("lobby/trackID=0", "RTP/AVP;multicast;port=5000-5001", 461, "unsupported_transport"),
        ("lobby/trackID=0", "RTP/AVP;client_port=53-54", 461, "unsupported_transport"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_and_counted(
    hub: HubUnderTest, path: str, transport: str, status: int, reason: str
) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            assert (await client.ask("SETUP", path, Transport=transport)).status == status
        assert server.refused[reason] == 1
        assert not hub.stream.readers

    with_server(hub, test)


def test_a_stream_that_ends_says_goodbye_and_hangs_up(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        hub.send(1, batch(timestamp=0))
        async with client_of(server) as client:
            await client.ask("SETUP", "lobby/trackID=1", Transport="RTP/AVP/TCP;interleaved=0-1")
            await client.ask("PLAY")
            hub.hub.remove("lobby")
            goodbyes = 0
            with suppress(EOFError):
                while message := await client.next():
                    if isinstance(message, Frames):
                        goodbyes += sum(b"\x81\xcb" in data for _, data in message.frames)
            assert await client.closed()
            assert goodbyes == 1

    with_server(hub, test)


def test_a_taken_port_is_named_with_the_way_out(hub: HubUnderTest) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(StreamSocketError, match=f"Port {port} .* --rtsp-port"):
            RtspServer(hub.hub, hub.loop, RtspOptions(port=port)).open()


def test_a_taken_udp_pair_is_named_and_nothing_stays_open(hub: HubUnderTest) -> None:
    viewer = Viewer()
    port = viewer.rtp.getsockname()[1] & ~1
    taken = [s for s in (viewer.rtp, viewer.rtcp) if s.getsockname()[1] in (port, port + 1)]
    assert taken
    with pytest.raises(StreamSocketError, match="--udp-port"):
        RtspServer(hub.hub, hub.loop, RtspOptions(port=0, udp_port=port)).open()
    viewer.close()


def test_nothing_is_left_of_a_server_that_closed(hub: HubUnderTest) -> None:
    before = len(drain(hub.sockets[0]))

    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            await client.ask("SETUP", "lobby/trackID=0", Transport="RTP/AVP/TCP")
            await client.ask("PLAY")
            server.close()
            assert await client.closed()
        assert server.connections == 0

    with_server(hub, test)
    assert before == 0
    assert not hub.stream.readers
