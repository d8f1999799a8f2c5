"""Multicast: each packet leaves once for all who asked for it that way, while there are any."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv4Network

import pytest
from hub_helpers import (
    SOUND,
    VIDEO,
    HubUnderTest,
    Packet,
    Viewer,
    batch,
    drain,
    hub_under_test,
    parse,
)
from rtsp_helpers import Client, client_of, eventually
from test_rtsp_server import udp_transport
from tests.interop.ports import free_ports

from streamsocket.errors import StreamSocketError
from streamsocket.rtp.rtcp import Bye, SenderReport, parse_rtcp
from streamsocket.rtsp import connection
from streamsocket.rtsp.message import Response
from streamsocket.rtsp.multicast import MulticastOptions
from streamsocket.rtsp.server import RtspOptions, RtspServer

NETWORK = IPv4Network("239.255.77.0/30")


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


class Listener:
    """A receiver in a group, on this machine's loopback."""

    def __init__(self, answer: Response) -> None:
        transport = answer.headers.get("Transport") or ""
        found = re.search(r"multicast;destination=([\d.]+);port=(\d+)-(\d+);ttl=1$", transport)
        assert found, transport
        self.host = found[1]
        self._rtp = _joined(found[1], int(found[2]))
        self._rtcp = _joined(found[1], int(found[3]))

    def packets(self) -> list[Packet]:
        return [parse(data) for data in drain(self._rtp)]

    def reports(self) -> list[object]:
        return [packet for data in drain(self._rtcp) for packet in parse_rtcp(data)]

    def close(self) -> None:
        self._rtp.close()
        self._rtcp.close()


def _joined(host: str, port: int) -> socket.socket:
    udp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    udp_socket.bind((host, port))
    membership = socket.inet_aton(host) + socket.inet_aton("127.0.0.1")
    udp_socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
    udp_socket.setblocking(False)
    return udp_socket


@contextmanager
def listening(answer: Response) -> Iterator[Listener]:
    listener = Listener(answer)
    try:
        yield listener
    finally:
        listener.close()


def with_server(
    hub: HubUnderTest,
    test: Callable[[RtspServer], Awaitable[None]],
    network: IPv4Network = NETWORK,
) -> None:
    """Run a test against a server that sends multicast over loopback, to free ports."""
    multicast = MulticastOptions(network, free_ports()[2], interface="127.0.0.1")
    server = RtspServer(hub.hub, hub.loop, RtspOptions(port=0, multicast=multicast))
    server.open()
    try:
        hub.loop.run_until_complete(test(server))
    finally:
        server.close()
        hub.run(0.01)


async def set_up(client: Client, track: int = 0, name: str = "lobby") -> Response:
    """Ask for a track as FFmpeg does."""
    path = f"{name}/trackID={track}"
    return await client.ask("SETUP", path, Transport="RTP/AVP/UDP;multicast")


@asynccontextmanager
async def two_viewers(server: RtspServer) -> AsyncIterator[tuple[Client, Client, Listener]]:
    """Two who have the picture set up, and what comes to their group."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(client_of(server))
        other = await stack.enter_async_context(client_of(server))
        listener = stack.enter_context(listening(await set_up(one)))
        await set_up(other)
        yield one, other, listener


async def caught_up(hub: HubUnderTest) -> None:
    """Wait until the group has been sent all that there was when it began."""
    await eventually(lambda: not hub.stream.tracks[0].queued)


def beginning(played: Response) -> tuple[int, int]:
    """The first track's sequence number and timestamp in RTP-Info."""
    found = re.search(r"seq=(\d+);rtptime=(\d+)", played.headers.get("RTP-Info") or "")
    assert found, played
    return int(found[1]), int(found[2])


def test_a_packet_leaves_once_for_two_viewers_and_not_at_all_for_none(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with two_viewers(server) as (one, other, listener):
            hub.send(0, batch(timestamp=0, packets=3, keyframe=True))
            assert listener.packets() == []
            await one.ask("PLAY")
            await other.ask("PLAY")
            assert hub.stream.viewers == 2
            await caught_up(hub)
            first = listener.packets()
            assert len(first) == 3
            for number in range(1, 11):
                hub.send(0, batch(timestamp=3000 * number, packets=3))
            numbers = [packet.sequence for packet in first + listener.packets()]
            assert numbers == list(range(numbers[0], numbers[0] + 33))
            await one.ask("TEARDOWN")
            hub.send(0, batch(timestamp=33_000))
            assert len(listener.packets()) == 1
            assert hub.stream.viewers == 1
            other.close()
            await eventually(lambda: server.connections == 1)
            hub.send(0, batch(timestamp=36_000))
            assert listener.packets() == []
            assert not hub.stream.readers
            assert not hub.stream.tracks[0].outputs

    with_server(hub, test)


def test_who_joins_is_told_where_the_group_is_and_gets_a_keyframe(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with two_viewers(server) as (one, other, listener):
            hub.send(0, batch(timestamp=0, keyframe=True), batch(timestamp=3000))
            sequence, timestamp = beginning(await one.ask("PLAY"))
            await caught_up(hub)
            first, second = listener.packets()
            assert (sequence, timestamp) == (first.sequence, first.timestamp)
            assert hub.keyframe_requests == 0
            assert any(isinstance(each, SenderReport) for each in listener.reports())

            sequence, timestamp = beginning(await other.ask("PLAY"))
            assert hub.keyframe_requests == 1
            # A second viewer's player needs to know the clock as soon as the first one's did.
            assert any(isinstance(each, SenderReport) for each in listener.reports())
            assert timestamp == hub.stream.tracks[0].latest_timestamp & 0xFFFF_FFFF
            assert sequence == second.sequence + 1
            hub.send(0, batch(timestamp=6000, keyframe=True))
            assert [packet.sequence for packet in listener.packets()] == [sequence]

    with_server(hub, test)


def test_who_joins_while_the_group_catches_up_is_told_what_comes_next(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with two_viewers(server) as (one, other, listener):
            hub.send(0, batch(timestamp=0, keyframe=True))
            await asyncio.sleep(0.8)  # a group that is old takes a while to catch up with
            hub.send(0, batch(timestamp=18_000))
            await one.ask("PLAY")
            (first,) = listener.packets()
            announced = beginning(await other.ask("PLAY"))
            await caught_up(hub)
            (second,) = listener.packets()
            assert announced == (second.sequence, second.timestamp)
            assert second.sequence == first.sequence + 1

    with_server(hub, test)


def test_a_pause_of_the_last_viewer_stops_the_group_until_somebody_plays(
    hub: HubUnderTest,
) -> None:
    async def test(server: RtspServer) -> None:
        async with two_viewers(server) as (one, other, listener):
            for client in (one, other):
                await client.ask("PLAY")
            hub.send(0, batch(timestamp=0, keyframe=True))
            assert len(listener.packets()) == 1
            await one.ask("PAUSE")
            hub.send(0, batch(timestamp=3000))
            assert len(listener.packets()) == 1
            await other.ask("PAUSE")
            hub.send(0, batch(timestamp=6000))
            assert listener.packets() == []
            sequence, _ = beginning(await one.ask("PLAY"))
            await caught_up(hub)
            packets = listener.packets()
            assert len(packets) == 3  # the group of pictures so far
            assert packets[0].sequence == sequence

    with_server(hub, test)


def test_the_last_viewer_expires_and_the_group_is_silent(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 0.0
    real = time.monotonic
    monkeypatch.setattr(connection.time, "monotonic", lambda: real() + offset)

    async def test(server: RtspServer) -> None:
        nonlocal offset
        async with client_of(server) as client:
            with listening(await set_up(client)) as listener:
                await client.ask("PLAY")
                hub.send(0, batch(timestamp=0, keyframe=True))
                assert len(listener.packets()) == 1
                offset = 70.0
                await eventually(lambda: server.sessions == 0)
                hub.send(0, batch(timestamp=3000))
                assert listener.packets() == []

    with_server(hub, test)


def test_the_picture_by_multicast_and_the_sound_for_one_alone(hub: HubUnderTest) -> None:
    viewer = Viewer()

    async def test(server: RtspServer) -> None:
        hub.send(0, batch(timestamp=0, keyframe=True))
        hub.send(1, batch(timestamp=0))
        async with client_of(server) as client:
            with listening(await set_up(client)) as listener:
                sound = await client.ask(
                    "SETUP", "lobby/trackID=1", Transport=udp_transport(viewer)
                )
                assert "server_port=" in (sound.headers.get("Transport") or "")
                played = await client.ask("PLAY")
                assert (played.headers.get("RTP-Info") or "").count("rtptime=") == 2
                await caught_up(hub)
                hub.send(0, batch(timestamp=3000))
                hub.send(1, batch(timestamp=960))
                assert len(listener.packets()) == 2
                assert [packet.payload_type for packet in viewer.packets()] == [97]
                await client.ask("TEARDOWN", "lobby/trackID=0")
                hub.send(0, batch(timestamp=6000))
                hub.send(1, batch(timestamp=1920))
                assert listener.packets() == []
                assert len(viewer.packets()) == 1
                assert hub.stream.viewers == 1

    with_server(hub, test)
    viewer.close()


def test_a_stream_that_ends_says_goodbye_to_the_group_once(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with two_viewers(server) as (one, other, listener), client_of(server) as idle:
            await set_up(idle)
            hub.send(0, batch(timestamp=0, keyframe=True))
            for client in (one, other):
                await client.ask("PLAY")
            hub.hub.remove("lobby")
            assert [type(each) for each in listener.reports()].count(Bye) == 1
            for client in (one, other):
                with suppress(EOFError):
                    await client.next()
                assert await client.closed()
            # Who has it set up still may ask: nothing comes of it, and nothing breaks.
            assert (await idle.ask("PLAY")).status == 200
            assert (await idle.ask("TEARDOWN")).status == 200

    with_server(hub, test)


def test_streams_have_groups_of_their_own_as_long_as_there_are_any(hub: HubUnderTest) -> None:
    names = ["one", "two", "three"]
    for name in names:
        hub.hub.publish(name, [VIDEO, SOUND])

    async def test(server: RtspServer) -> None:
        async with AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(client_of(server)) for _ in range(4)]
            hosts = set()
            for client, name in zip(clients, names, strict=False):
                with listening(await set_up(client, name=name)) as listener:
                    hosts.add(listener.host)
                with listening(await set_up(client, 1, name)) as sound:
                    assert sound.host == listener.host
            assert len(hosts) == 2 + 1
            assert hosts <= {str(address) for address in NETWORK}
            with listening(await set_up(clients[3])) as listener:
                assert listener.host not in hosts

    with_server(hub, test)


def test_who_comes_when_all_groups_are_taken_is_told_so_and_may_ask_for_another_way(
    hub: HubUnderTest,
) -> None:
    hub.hub.publish("other", [VIDEO])

    async def test(server: RtspServer) -> None:
        async with client_of(server) as first, client_of(server) as second:
            await set_up(first)
            await set_up(first, 1)
            refused = await set_up(second, name="other")
            assert refused.status == 461
            assert "taken" in refused.reason
            assert server.sessions == 1
            unicast = await second.ask("SETUP", "lobby/trackID=0", Transport="RTP/AVP/TCP")
            assert unicast.status == 200
            await second.ask("TEARDOWN")
            # The group is free as soon as nobody has anything of the stream set up.
            await first.ask("TEARDOWN", "lobby/trackID=0")
            assert (await set_up(second, name="other")).status == 461
            await first.ask("TEARDOWN")
            assert (await set_up(second, name="other")).status == 200

    with_server(hub, test, IPv4Network("239.255.77.1/32"))


def test_the_group_that_a_player_wishes_for_is_not_what_it_gets(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            answer = await client.ask(
                "SETUP",
                "lobby/trackID=0",
                Transport="RTP/AVP;multicast;destination=224.2.0.1;port=5000-5001;ttl=16",
            )
            with listening(answer) as listener:
                assert listener.host == "239.255.77.1"

    with_server(hub, test)


def test_an_interface_that_is_not_there_is_named_and_nothing_stays_open(
    hub: HubUnderTest,
) -> None:
    multicast = MulticastOptions(NETWORK, interface="192.0.2.1")
    server = RtspServer(hub.hub, hub.loop, RtspOptions(port=0, multicast=multicast))
    with pytest.raises(StreamSocketError, match=r"192\.0\.2\.1 .* multicast\.interface"):
        server.open()
    server.close()
