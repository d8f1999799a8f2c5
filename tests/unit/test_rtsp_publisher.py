"""What a publisher on the RTSP server is told and asked for, and whose packets are taken."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest
from client_helpers import PPS, SPS, VIDEO
from hub_helpers import HubUnderTest, hub_under_test, parse
from rtsp_helpers import KEYFRAME, SLICE, client_of, eventually, publisher_of, watch, with_server

from streamsocket.hub.stream import Stream
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    build_bye,
    parse_rtcp,
)
from streamsocket.rtsp import sdp
from streamsocket.rtsp.server import RtspServer


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


def published(hub: HubUnderTest, name: str = "cam") -> Stream:
    stream = hub.hub.find(name)
    assert stream is not None
    return stream


# Feedback.


@pytest.mark.parametrize("transports", ["tcp tcp", "udp udp"])
def test_publishers_are_told_how_their_packets_come(hub: HubUnderTest, transports: str) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            await publisher.begin(transports=transports)
            for number in range(3):
                publisher.picture(3000 * number, keyframe=True)
            reports = [
                packet
                for packet in parse_rtcp(await publisher.rtcp(0))
                if isinstance(packet, ReceiverReport)
            ]
            (block,) = reports[0].blocks
            assert block.ssrc == publisher.ssrcs[0]
            assert block.highest_sequence & 0xFFFF == 2

    with_server(hub, test)


def test_what_is_missing_is_asked_for_again(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            await publisher.begin(transports="udp udp")
            publisher.picture(0, keyframe=True)
            lost = publisher.packet(0, SLICE, 3000)
            publisher.picture(6000)
            found: list[Nack] = []
            while not found:
                found = [p for p in parse_rtcp(await publisher.rtcp(0)) if isinstance(p, Nack)]
            assert found[0].sequences == (1,)
            assert found[0].media_ssrc == publisher.ssrcs[0]
            publisher.send_packet(0, lost)
            await eventually(lambda: published(hub).tracks[0].packets == 4)
            sent = [parse(bytes(p)).size for b in published(hub).tracks[0].cache.group()
                    for p in b.packets()]  # fmt: skip
            assert sent[-2:] == [12 + len(SLICE)] * 2

    with_server(hub, test)


def test_what_stays_missing_is_given_up_soon(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            await publisher.begin(transports="udp udp")
            publisher.picture(0, keyframe=True)
            publisher.send_packet(0, publisher.packet(0, SLICE, 6000, skip=1))
            await eventually(lambda: published(hub).tracks[0].packets == 3, timeout_s=1)

    with_server(hub, test)


def test_publishers_that_can_are_asked_for_a_keyframe(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        for path, text in (
            ("can", sdp.build([VIDEO], name="x", host="127.0.0.1")),
            ("cannot", sdp.build([VIDEO], name="x", host="127.0.0.1").replace("nack pli", "x")),
        ):
            async with publisher_of(server) as publisher, client_of(server) as client:
                await publisher.begin(path=path, description=text, transports="tcp")
                publisher.picture(0)
                await eventually(lambda p=path: published(hub, p).tracks[0].latest is not None)  # type: ignore[misc]
                await watch(client, path, tracks=1)
                if path == "cannot":
                    assert published(hub, path).publication.request_keyframe is None  # type: ignore[union-attr]
                    continue
                asked: list[Pli] = []
                while not asked:
                    packets = parse_rtcp(await publisher.rtcp(0))
                    asked = [packet for packet in packets if isinstance(packet, Pli)]
                assert asked[0].media_ssrc == publisher.ssrcs[0]

    with_server(hub, test)


# UDP.


def test_packets_from_strangers_are_ignored(hub: HubUnderTest) -> None:
    """From another port of the same machine, once the publisher's own is known."""

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            await publisher.begin(transports="udp udp")
            publisher.picture(0, keyframe=True)
            track = published(hub).tracks[0]
            await eventually(lambda: track.packets > 0)
            before = track.packets
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                packet = publisher.packet(0, b"\x65" + b"!" * 50, 3000)
                stranger.sendto(packet, ("127.0.0.1", publisher.server_ports[0][0]))
            publisher.sequences[0] -= 1
            publisher.picture(3000)
            await eventually(lambda: track.packets > before)
            await asyncio.sleep(0.02)
            assert track.packets == before + 1

    with_server(hub, test)


def test_packets_from_another_machine_are_ignored_from_the_first(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            await publisher.begin(transports="udp udp")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.bind(("127.0.0.2", 0))
                packet = publisher.packet(0, b"\x65" + b"!" * 50, 0)
                for _ in range(3):
                    stranger.sendto(packet, ("127.0.0.1", publisher.server_ports[0][0]))
                bye = build_bye(Bye((publisher.ssrcs[0], publisher.ssrcs[1])))
                for ports in publisher.server_ports.values():
                    stranger.sendto(bye, ("127.0.0.1", ports[1]))
            publisher.picture(0, keyframe=True)
            await eventually(lambda: published(hub).tracks[0].latest is not None)
            data = b"".join(batch.buffer for batch in published(hub).tracks[0].cache.group())
            assert b"!" not in data
            assert KEYFRAME in data

    with_server(hub, test)


def test_ports_are_given_back(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        for end in ("teardown", "hang up"):
            async with publisher_of(server) as publisher:
                await publisher.begin(transports="udp udp")
                ports = [port for pair in publisher.server_ports.values() for port in pair]
                if end == "teardown":
                    await publisher.ask("TEARDOWN", "cam")
                else:
                    publisher.close()
                await eventually(lambda: published(hub).publication is None)
            for port in ports:
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
                    again.bind(("127.0.0.1", port))

    with_server(hub, test)


def test_sps_and_pps_of_a_publisher_are_told_to_viewers(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher, client_of(server) as client:
            text = sdp.build([VIDEO], name="x", host="127.0.0.1")
            bare = "\r\n".join(line for line in text.split("\r\n") if not line.startswith("a=fmtp"))
            assert (await publisher.begin(description=bare, transports="tcp")).status == 200
            for unit in (SPS, PPS):
                publisher.send_packet(0, publisher.packet(0, unit, 0, marker=False))
            publisher.picture(0, keyframe=True)
            await eventually(lambda: bool(published(hub).tracks[0].cache.bytes))
            described = sdp.parse((await client.ask("DESCRIBE", "cam")).body.decode())
            assert described.medias[0].codec == VIDEO.codec

    with_server(hub, test)
