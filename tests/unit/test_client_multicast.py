"""The client's sockets in a multicast group."""

from __future__ import annotations

import asyncio
import socket

import pytest
from tests.interop.ports import free_ports

from streamsocket.errors import ConnectError
from streamsocket.rtsp.client_multicast import Group, agreed_group
from streamsocket.rtsp.client_udp import UdpPair
from streamsocket.rtsp.headers import parse_transport

HOST = "239.255.78.1"


def test_the_group_is_the_one_that_the_server_names() -> None:
    [answer] = parse_transport(f"RTP/AVP;multicast;destination={HOST};port=8002-8003;ttl=1")
    assert agreed_group(answer) == Group(HOST, (8002, 8003))


@pytest.mark.parametrize(
    "answer",
    [
        "RTP/AVP;multicast",
        f"RTP/AVP;multicast;destination={HOST}",
        "RTP/AVP;multicast;port=8002-8003",
        f"RTP/AVP;unicast;destination={HOST};port=8002-8003",
        "RTP/AVP;multicast;destination=192.0.2.1;port=8002-8003",
        "RTP/AVP;multicast;destination=ff05::1;port=8002-8003",
        "RTP/AVP;multicast;destination=localhost;port=8002-8003",
    ],
)
def test_an_answer_without_a_group_to_join_is_refused(answer: str) -> None:
    [transport] = parse_transport(answer)
    with pytest.raises(ConnectError, match="no multicast group"):
        agreed_group(transport)


def test_two_viewers_of_one_machine_hear_the_group() -> None:
    heard: list[tuple[int, bool, bytes]] = []
    port = free_ports()[2]
    group = Group(HOST, (port, port + 1))

    async def test() -> None:
        pairs = [
            UdpPair(
                ("127.0.0.1", 0),
                lambda is_rtcp, data, _, number=number: heard.append((number, is_rtcp, data)),
                group,
            )
            for number in range(2)
        ]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
            server.setsockopt(
                socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1")
            )
            try:
                for pair in pairs:
                    await pair.open(None)
                server.sendto(b"rtp", (HOST, port))
                server.sendto(b"rtcp", (HOST, port + 1))
                async with asyncio.timeout(5):
                    while len(heard) < 4:  # noqa: ASYNC110 - datagrams set no event
                        await asyncio.sleep(0.005)
            finally:
                for pair in pairs:
                    pair.close()

    asyncio.run(test())
    assert sorted(heard) == [
        (number, is_rtcp, data)
        for number in range(2)
        for is_rtcp, data in ((False, b"rtp"), (True, b"rtcp"))
    ]


def test_a_group_that_cannot_be_joined_is_named() -> None:
    port = free_ports()[2]
    with pytest.raises(ConnectError, match=rf"{HOST}:{port} cannot be joined"):
        UdpPair(("192.0.2.1", 0), lambda *_: None, Group(HOST, (port, port + 1)))
