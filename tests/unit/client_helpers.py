"""An RTSP server in the test's own loop, which misbehaves as it is told to."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Self

from streamsocket.client.session import Session
from streamsocket.media.codec import H264, Opus, Track
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    RtcpPacket,
    SenderReport,
    build_bye,
    build_sender_report,
    parse_rtcp,
)
from streamsocket.rtsp import sdp
from streamsocket.rtsp.headers import TransportSpec, parse_transport
from streamsocket.rtsp.message import Frames, Headers, Parser, Request, Response

# A sequence parameter set of 352x288, Baseline, as x264 writes it, and its picture parameter set.
SPS = bytes.fromhex("6742c00dd9016096c044000003000400000300c83c50a920")
PPS = bytes.fromhex("68cb8cb2")
VIDEO = Track(H264(SPS, PPS))
SOUND = Track(Opus())
PICTURE = b"\x65\x88" + bytes(399)
"""A NAL unit that says it is an IDR slice, the first of its picture."""

INTERVAL_S = 0.01
CAPTURED_AGO_S = 0.1

Answer = Callable[[Request], Response | bytes | None]
"""What to answer instead of what a good server would; None for just that."""


@dataclass
class FakeServer:
    """One stream, `/live`, of one picture and one sound, a packet of each every 10 ms."""

    tracks: list[Track] = field(default_factory=lambda: [VIDEO, SOUND])
    answer: Answer = lambda request: None
    udp_is_lost: bool = False
    loses: Callable[[int], bool] = lambda sequence: False
    """Which sequence numbers (16 bits) are lost over UDP until they are asked for."""
    sends: bool = True
    greeting: bytes = b""
    requests: list[Request] = field(default_factory=list)
    """What it was asked, in order."""
    interleaved: list[tuple[int, bytes]] = field(default_factory=list)
    """What clients sent within the connection."""
    rtcp: list[RtcpPacket] = field(default_factory=list)
    """What clients sent over UDP."""
    connections: list[Connection] = field(default_factory=list)
    port: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Listen while the context lasts."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Connection(self), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            for connection in self.connections:
                connection.end()
            server.close()
            await server.wait_closed()

    @property
    def url(self) -> str:
        return f"rtsp://127.0.0.1:{self.port}/live"

    @property
    def methods(self) -> list[str]:
        return [request.method for request in self.requests]

    @property
    def open_connections(self) -> int:
        return sum(not connection.transport.is_closing() for connection in self.connections)


class Connection(asyncio.Protocol):
    """One client of the fake server."""

    transport: asyncio.Transport

    def __init__(self, server: FakeServer) -> None:
        self.server = server
        self.parser = Parser()
        self.targets: dict[int, TransportSpec] = {}
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.setblocking(False)
        asyncio.get_running_loop().add_reader(self.udp, self.receive_udp)
        self.history: dict[tuple[int, int], tuple[int, bytes]] = {}
        self.sequence = 65_530
        self.timer: asyncio.TimerHandle | None = None
        server.connections.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self.server.greeting:
            transport.write(self.server.greeting)

    def connection_lost(self, exc: Exception | None) -> None:
        self.end()

    def end(self) -> None:
        if self.timer:
            self.timer.cancel()
            self.timer = None
        if self.udp.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self.udp)
        self.udp.close()
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        for message in self.parser.feed(data):
            if isinstance(message, Frames):
                self.server.interleaved += message.frames
            elif isinstance(message, Request):
                self.server.requests.append(message)
                answer = self.server.answer(message) or self.respond(message)
                if isinstance(answer, Response):
                    answer.headers["CSeq"] = message.headers.get("CSeq", "0")
                    answer = answer.serialise()
                self.transport.write(answer)

    def respond(self, request: Request) -> Response:
        headers = Headers({"Server": "Fake", "Session": "12345678;timeout=60"})
        match request.method:
            case "DESCRIBE":
                text = sdp.build(self.server.tracks, name="live", host="127.0.0.1")
                headers["Content-Type"] = "application/sdp"
                return Response(200, "OK", headers, text.encode())
            case "SETUP":
                track = int(request.url.rpartition("=")[2])
                agreed = parse_transport(request.headers.get("Transport", ""))[0]
                if agreed.client_ports:
                    port = self.udp.getsockname()[1]
                    agreed = replace(agreed, server_ports=(port, port))
                self.targets[track] = agreed
                headers["Transport"] = agreed.serialise()
            case "PLAY" if self.server.sends:
                self.timer = asyncio.get_running_loop().call_later(0, self.tick)
        return Response(200, "OK", headers)

    def tick(self) -> None:
        """Send one packet of each track, a sender report first."""
        for track in self.targets:
            self.send_unit(track)
        self.sequence += 1
        self.timer = asyncio.get_running_loop().call_later(INTERVAL_S, self.tick)

    def send_unit(self, track: int) -> None:
        codec = self.server.tracks[track].codec
        ticks = round(self.sequence * INTERVAL_S * codec.clock_rate)
        if self.sequence % 10 == 0:
            captured = time.time() - CAPTURED_AGO_S
            report = SenderReport(track + 1, captured, ticks & 0xFFFF_FFFF, 0, 0)
            self.send(track, build_sender_report(report, cname="fake"), is_rtcp=True)
        header = struct.pack(
            "!BBHII",
            0x80,
            0x80 | 96 + track,
            self.sequence & 0xFFFF,
            ticks & 0xFFFF_FFFF,
            track + 1,
        )
        packet = header + (PICTURE if codec.kind == "video" else b"\xfc" + bytes(80))
        sequence = self.sequence & 0xFFFF
        self.history[track + 1, sequence] = track, packet
        if self.targets[track].interleaved or not self.server.loses(sequence):
            self.send(track, packet)

    def receive_udp(self) -> None:
        """Take what the client sends over UDP, and send again what it asks for."""
        data = self.udp.recv(2000)
        if data[1] < 192:
            return  # it only opens the way for RTP
        for packet in parse_rtcp(data):
            self.server.rtcp.append(packet)
            if isinstance(packet, Nack):
                for sequence in packet.sequences:
                    self.send(*self.history[packet.media_ssrc, sequence])

    def say_goodbye(self) -> None:
        for track in self.targets:
            self.send(track, build_bye(Bye((track + 1,))), is_rtcp=True)

    def send(self, track: int, packet: bytes, *, is_rtcp: bool = False) -> None:
        target = self.targets[track]
        if target.interleaved:
            self.transport.write(Frames([(target.interleaved[is_rtcp], packet)]).serialise())
        elif target.client_ports and not self.server.udp_is_lost:
            self.udp.sendto(packet, ("127.0.0.1", target.client_ports[is_rtcp]))


def refuse(method: str, status: int, reason: str, **headers: str) -> Answer:
    """Answer every request of this method with this status."""
    return lambda request: (
        Response(status, reason, Headers({k.replace("_", "-"): v for k, v in headers.items()}))
        if request.method == method
        else None
    )


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    """Run a scenario; nothing of it may be left behind, no task, no socket (filterwarnings)."""

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(bounded())


def transports(server: FakeServer) -> list[str]:
    """What the SETUPs asked for."""
    return [
        parse_transport(request.headers.get("Transport", ""))[0].protocol
        for request in server.requests
        if request.method == "SETUP"
    ]


async def take(session: Session, count: int) -> list[int]:
    """The tracks of the next access units."""
    return [(await anext(session)).track for _ in range(count)]


def run_as_the_server_does(test: Callable[[], Awaitable[None]]) -> None:
    """Run a test on a selector loop, as the server's media thread has one."""

    async def main() -> None:
        async with asyncio.timeout(30):
            await test()

    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(main())
