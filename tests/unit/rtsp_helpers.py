"""Players and publishers that say just what a test wants, against an RTSP server in its loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from client_helpers import SOUND, VIDEO
from hub_helpers import HubUnderTest

from streamsocket.auth.access import Access
from streamsocket.media.codec import Track
from streamsocket.rtp.packet import HEADER
from streamsocket.rtp.payload import FIRST_PAYLOAD_TYPE
from streamsocket.rtsp import sdp
from streamsocket.rtsp.message import Frames, Parser, Response
from streamsocket.rtsp.server import RtspOptions, RtspServer
from streamsocket.rtsp.udp_ports import bind_pair

TCP = "RTP/AVP/TCP;unicast;interleaved={0}-{1};mode=record"
UDP = "RTP/AVP;unicast;client_port={0}-{1};mode=record"
TRACKS = (VIDEO, SOUND)
KEYFRAME = b"\x65\x88" + bytes(300)
SLICE = b"\x41\x9a" + bytes(200)
SOUND_FRAME = b"\xfc" + bytes(80)


class Client:
    """A player that says just what the test wants."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._parser = Parser()
        self._messages: list[object] = []
        self._frames: dict[int, list[bytes]] = {}
        self._cseq = 0
        self.port = 0

    async def ask(
        self, method: str, path: str = "lobby", *, body: str = "", **headers: str
    ) -> Response:
        self.request(method, path, body=body, **headers)
        return await self.response()

    def request(self, method: str, path: str = "lobby", *, body: str = "", **headers: str) -> None:
        """Ask, and don't wait for the answer; `Content_Type` stands for `Content-Type`."""
        self._cseq += 1
        lines = [f"{method} {self.url(path)} RTSP/1.0", f"CSeq: {self._cseq}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        if body:
            lines += ["Content-Type: application/sdp", f"Content-Length: {len(body)}"]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body.encode())

    async def response(self) -> Response:
        """The next answer; what comes on channels before it is kept."""
        while not isinstance(message := await self.next(), Response):
            self._keep(message)
        return message

    def url(self, path: str) -> str:
        return path if "://" in path else f"rtsp://127.0.0.1:{self.port}/{path}"

    async def next(self) -> object:
        while not self._messages:
            data = await asyncio.wait_for(self._reader.read(65536), 5)
            if not data:
                raise EOFError
            self._messages += self._parser.feed(data)
        return self._messages.pop(0)

    async def frames(self, channel: int, count: int = 1) -> list[bytes]:
        """The next packets on a channel, as many as that at least."""
        while len(self._frames.get(channel, ())) < count:
            self._keep(await self.next())
        return self._frames.pop(channel)

    def _keep(self, message: object) -> None:
        if isinstance(message, Frames):
            for number, data in message.frames:
                self._frames.setdefault(number, []).append(data)

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def closed(self) -> bool:
        """Whether the server hangs up, once everything it said is read."""
        try:
            while await asyncio.wait_for(self._reader.read(65536), 5):
                pass
        except ConnectionError:
            pass
        return True

    def close(self) -> None:
        self._writer.close()


class RawPublisher(Client):
    """A publisher that says just what the test wants; its tracks' packets count from 0."""

    tracks: Sequence[Track] = TRACKS

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(reader, writer)
        self.udp: dict[int, tuple[socket.socket, socket.socket]] = {}
        self.server_ports: dict[int, tuple[int, int]] = {}
        self.sequences: dict[int, int] = {}
        self.ssrcs = {track: 0x1000 + track for track in range(8)}

    async def begin(
        self,
        *,
        path: str = "cam",
        transports: str = "tcp tcp",
        tracks: Sequence[Track] = TRACKS,
        description: str | None = None,
    ) -> Response:
        """ANNOUNCE, SETUP of every track and RECORD; the answer to the last, or to the first that
        was refused."""
        self.tracks = tracks
        text = description or sdp.build(tracks, name="x", host="127.0.0.1")
        answer = await self.ask("ANNOUNCE", path, body=text)
        for track, transport in enumerate(transports.split()):
            if answer.status == 200:
                answer = await self.set_up(path, track, transport)
        return await self.ask("RECORD", path) if answer.status == 200 else answer

    async def set_up(self, path: str, track: int, transport: str) -> Response:
        if transport == "tcp":
            wish = TCP.format(2 * track, 2 * track + 1)
        else:
            pair = self.udp[track] = bind_pair("127.0.0.1")
            wish = UDP.format(*(each.getsockname()[1] for each in pair))
        answer = await self.ask("SETUP", f"{path}/{sdp.track_control(track)}", Transport=wish)
        ports = (answer.headers.get("Transport") or "").partition("server_port=")[2]
        if ports:
            rtp, _, rtcp = ports.partition(";")[0].partition("-")
            self.server_ports[track] = int(rtp), int(rtcp)
        return answer

    def packet(
        self, track: int, payload: bytes, timestamp: int, *, marker: bool = True, skip: int = 0
    ) -> bytes:
        """The next packet of a track; `skip` leaves out sequence numbers before it."""
        sequence = self.sequences.get(track, 0) + skip
        self.sequences[track] = sequence + 1
        second = (0x80 if marker else 0) | FIRST_PAYLOAD_TYPE + track
        ssrc = self.ssrcs[track]
        header = HEADER.pack(0x80, second, sequence & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc)
        return header + payload

    def send_packet(self, track: int, packet: bytes) -> None:
        if track in self.udp:
            self.udp[track][0].sendto(packet, ("127.0.0.1", self.server_ports[track][0]))
        else:
            self.send(Frames([(2 * track, packet)]).serialise())

    def send_rtcp(self, track: int, data: bytes) -> None:
        if track in self.udp:
            self.udp[track][1].sendto(data, ("127.0.0.1", self.server_ports[track][1]))
        else:
            self.send(Frames([(2 * track + 1, data)]).serialise())

    def picture(self, timestamp: int, *, keyframe: bool = False) -> None:
        self.send_packet(0, self.packet(0, KEYFRAME if keyframe else SLICE, timestamp))

    def sound(self, timestamp: int) -> None:
        self.send_packet(1, self.packet(1, SOUND_FRAME, timestamp))

    async def rtcp(self, track: int) -> bytes:
        """The next RTCP that comes for a track."""
        if track not in self.udp:
            return (await self.frames(2 * track + 1))[0]
        return await asyncio.get_running_loop().sock_recv(self.udp[track][1], 2048)

    def close(self) -> None:
        super().close()
        for pair in self.udp.values():
            for each in pair:
                each.close()


async def watch(client: Client, path: str = "cam", tracks: int = 2) -> None:
    """Play everything over the connection, the tracks on channels 0, 2, …"""
    for track in range(tracks):
        transport = f"RTP/AVP/TCP;interleaved={2 * track}-{2 * track + 1}"
        setup = await client.ask("SETUP", f"{path}/trackID={track}", Transport=transport)
        assert setup.status == 200
    assert (await client.ask("PLAY", path)).status == 200


@asynccontextmanager
async def client_of(server: RtspServer, tls: ssl.SSLContext | None = None) -> AsyncIterator[Client]:
    """A player that has connected; over TLS if there is a context for it."""
    port = server.tls_port if tls else server.port
    name = "localhost" if tls else None
    client = Client(
        *await asyncio.open_connection("127.0.0.1", port, ssl=tls, server_hostname=name)
    )
    client.port = port or 0
    try:
        yield client
    finally:
        client.close()


@asynccontextmanager
async def publisher_of(server: RtspServer) -> AsyncIterator[RawPublisher]:
    """A publisher that has connected."""
    publisher = RawPublisher(*await asyncio.open_connection("127.0.0.1", server.port))
    publisher.port = server.port
    try:
        yield publisher
    finally:
        publisher.close()


def with_server(
    hub: HubUnderTest,
    test: Callable[[RtspServer], Awaitable[None]],
    access: Access | None = None,
    tls: ssl.SSLContext | None = None,
    **options: int | float,
) -> RtspServer:
    """Run a test against a server on a free port."""
    server = RtspServer(
        hub.hub,
        hub.loop,
        RtspOptions(port=0, **options),  # type: ignore[arg-type]
        access,
        tls,
    )
    server.open()
    try:
        hub.loop.run_until_complete(test(server))
    finally:
        server.close()
        hub.run(0.01)
    return server


async def eventually(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    """Wait for something that the server does in its own time."""
    async with asyncio.timeout(timeout_s):
        while not condition():  # noqa: ASYNC110 - what is waited for sets no event
            await asyncio.sleep(0.005)


def reset(client: Client) -> None:
    """Break the connection as a machine that vanished and came back does."""
    client._writer.get_extra_info("socket").setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0)
    )
    client._writer.transport.abort()
