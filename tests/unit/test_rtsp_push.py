"""A stream pushed from one server to another, and to servers that misbehave."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from client_helpers import SOUND, VIDEO, FakeServer, refuse, run_as_the_server_does
from rtsp_helpers import KEYFRAME, SLICE, SOUND_FRAME, eventually

from streamsocket.errors import ConnectError
from streamsocket.hub.hub import Hub
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Publication, Stream
from streamsocket.media.codec import Track
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.rtcp import Nack, Pli, ReceiverReport, ReportBlock, build_nack, build_pli
from streamsocket.rtp.rtcp import build_receiver_report as build_report
from streamsocket.rtsp import push as push_module
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.message import Frames, Headers, Parser, Request, Response
from streamsocket.rtsp.push import PushTransport, push_rtsp
from streamsocket.rtsp.server import RtspOptions, RtspServer


class Pushing:
    """A stream here that is pushed, and a server that it is pushed to."""

    def __init__(self, limits: Limits | None = None, tracks: list[Track] | None = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop, limits)
        self.far = Hub(self.loop)
        self.server = RtspServer(self.far, self.loop, RtspOptions(port=0))
        self.server.open()
        self.keyframe_requests = 0
        self.publication: Publication = self.hub.publish(
            "here", tracks or [VIDEO, SOUND], self._count
        )
        self.live = 0
        self.task: asyncio.Task[None] | None = None
        self.number = 0

    def _count(self) -> None:
        self.keyframe_requests += 1

    @property
    def stream(self) -> Stream:
        stream = self.hub.find("here")
        assert stream
        return stream

    @property
    def arrived(self) -> Stream:
        stream = self.far.find("there")
        assert stream
        return stream

    def begin(self, transport: PushTransport = "auto", url: str | None = None) -> None:
        def live() -> None:
            self.live += 1

        url = url or f"rtsp://127.0.0.1:{self.server.port}/there"
        push = push_rtsp(self.stream, url, transport=transport, timeout_s=5, on_live=live)
        self.task = self.loop.create_task(push)

    def send(self, *, size: int = 0, packets: int = 1) -> None:
        """A picture and its sound."""
        n = self.number
        self.number += 1
        keyframe = n % 10 == 0
        payloads = [KEYFRAME + bytes(size)] if keyframe else [SLICE + bytes(size)] * packets
        self._write(0, payloads, 3000 * n, keyframe)
        if len(self.stream.tracks) > 1:
            self._write(1, [SOUND_FRAME], 960 * n, False)
        self.publication.flush()

    def _write(self, track: int, payloads: list[bytes], timestamp: int, keyframe: bool) -> None:
        captured = time.time()
        self.publication.write(
            track,
            build_batch(payloads, timestamp=timestamp, capture_time=captured, keyframe=keyframe),
        )

    async def send_until(self, condition: Callable[[], bool], timeout_s: float = 5) -> None:
        """A picture every 10 ms until something is so."""
        async with asyncio.timeout(timeout_s):
            while not condition():
                self.send()
                await asyncio.sleep(0.01)

    def has_arrived(self) -> bool:
        stream = self.far.find("there")
        return stream is not None and all(track.packets > 3 for track in stream.tracks)

    @property
    def over_udp(self) -> list[bool]:
        """For each track of the far stream, whether it comes over UDP."""
        (connection,) = (each for each in self.server._connections if each.publisher)
        assert connection.publisher
        transports = connection.publisher._transports
        return [transports[track].protocol == "udp" for track in sorted(transports)]

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.hub.close()
        self.far.close()
        self.server.close()
        await asyncio.sleep(0.01)


@asynccontextmanager
async def pushing(
    limits: Limits | None = None, tracks: list[Track] | None = None
) -> AsyncIterator[Pushing]:
    under_test = Pushing(limits, tracks)
    try:
        yield under_test
    finally:
        await under_test.close()


@pytest.mark.parametrize(
    ("transport", "over_udp"),
    [
        ("auto", [True, False]),
        ("mixed", [True, False]),
        ("udp", [True, True]),
        ("tcp", [False, False]),
    ],
)
def test_from_one_server_to_another(transport: PushTransport, over_udp: list[bool]) -> None:
    async def test() -> None:
        async with pushing() as push:
            push.begin(transport)
            await push.send_until(push.has_arrived)
            assert push.live == 1
            assert push.over_udp == over_udp
            assert push.arrived.matches([VIDEO, SOUND])
            assert push.arrived.tracks[0].cache.bytes, "keyframes arrive as such"
            assert push.stream.viewers == 0, "it is none of those who watch"
            # The end of the stream is that of the push, and the other server knows at once.
            push.hub.remove("here")
            assert push.task
            await asyncio.wait_for(push.task, 2)
            await eventually(lambda: push.server.connections == 0)
            await eventually(lambda: push.far.find("there") is None)

    run_as_the_server_does(test)


def test_what_was_captured_together_arrives_together() -> None:
    async def test() -> None:
        async with pushing() as push:
            push.begin()
            await push.send_until(push.has_arrived)
            ages = [
                time.time() - track.latest.capture_time
                for track in push.arrived.tracks
                if track.latest
            ]
            assert len(ages) == 2
            assert max(ages) < 0.5
            assert min(ages) > -0.1

    run_as_the_server_does(test)


def test_who_joins_late_begins_at_a_keyframe() -> None:
    async def test() -> None:
        async with pushing() as push:
            for _ in range(5):
                push.send()
            push.begin("tcp")
            await push.send_until(push.has_arrived)
            assert push.arrived.tracks[0].cache.bytes

    run_as_the_server_does(test)


# Servers that won't.


def no_udp(request: Request) -> Response | None:
    if request.method != "SETUP" or "/TCP" in request.headers.get("Transport", ""):
        return None
    return Response(461, "Unsupported Transport")


@pytest.mark.parametrize("status", [461, 400, 406, 500, 503])
def test_a_server_that_refuses_the_mix_gets_all_over_tcp(status: int) -> None:
    async def test() -> None:
        async with FakeServer(sends=False).running() as server, pushing() as push:
            server.answer = lambda request: (
                Response(status, "No") if no_udp(request) is not None else None
            )
            push.begin(url=server.url)
            await eventually(lambda: push.live == 1)
            setups = [
                r.headers.get("Transport", "") for r in server.requests if r.method == "SETUP"
            ]
            assert ["/TCP" in each for each in setups] == [False, True, True]
            push.send()
            await eventually(lambda: {n for n, _ in server.interleaved} >= {0, 2})

    run_as_the_server_does(test)


def test_a_server_that_takes_udp_alone_gets_all_over_udp() -> None:
    def no_tcp(request: Request) -> Response | None:
        if "/TCP" in request.headers.get("Transport", ""):
            return Response(461, "Unsupported Transport")
        if request.method != "SETUP":
            return None
        transport = f"{request.headers.get('Transport', '')};server_port=9-9"
        return Response(200, "OK", Headers({"Transport": transport, "Session": "1"}))

    async def test() -> None:
        fake = FakeServer(sends=False, answer=no_tcp)
        async with fake.running() as server, pushing() as push:
            push.begin(url=server.url)
            await eventually(lambda: push.live == 1)
            assert no_udp(server.requests[-2]) is not None

    run_as_the_server_does(test)


def test_what_has_nothing_to_do_with_the_transport_is_not_tried_again() -> None:
    async def test() -> None:
        fake = FakeServer(answer=refuse("ANNOUNCE", 503, "Busy"))
        async with fake.running() as server, pushing() as push:
            push.begin(url=server.url)
            assert push.task
            with pytest.raises(ConnectError, match="503 Busy"):
                await push.task
            assert server.methods.count("ANNOUNCE") == 1

    run_as_the_server_does(test)


def test_a_server_that_answers_another_transport_gets_all_over_tcp() -> None:
    async def test() -> None:
        def answer(request: Request) -> Response | None:
            if no_udp(request) is None:
                return None
            spec = TransportSpec("tcp", interleaved=(0, 1)).serialise()
            return Response(200, "OK", Headers({"Transport": spec, "Session": "1"}))

        async with FakeServer(sends=False, answer=answer).running() as server, pushing() as push:
            push.begin(url=server.url)
            await eventually(lambda: push.live == 1)

    run_as_the_server_does(test)


def test_udp_that_says_no_port_falls_back_too() -> None:
    async def test() -> None:
        async with FakeServer(sends=False).running() as server, pushing() as push:
            push.begin(url=server.url)  # it answers without server_port
            await eventually(lambda: push.live == 1)
            assert "/TCP" in server.requests[-2].headers.get("Transport", "")

    run_as_the_server_does(test)


@pytest.mark.parametrize("sound_reported", [False, True])
def test_udp_that_never_arrives_falls_back_to_tcp(
    monkeypatch: pytest.MonkeyPatch, sound_reported: bool
) -> None:
    """Reports about the sound, which came over TCP, say nothing of the picture."""
    monkeypatch.setattr(push_module, "UDP_PATIENCE_S", 0.3)

    async def test() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf:
            deaf.bind(("127.0.0.1", 0))
            port = deaf.getsockname()[1]

            def answer(request: Request) -> Response | None:
                if no_udp(request) is None:
                    return None
                wish = request.headers.get("Transport", "")
                transport = f"{wish};server_port={port}-{port}"
                return Response(200, "OK", Headers({"Transport": transport, "Session": "1"}))

            fake = FakeServer(sends=False, answer=answer)
            async with fake.running() as server, pushing() as push:
                push.begin(url=server.url)
                await eventually(lambda: push.live == 1)
                if sound_reported:
                    block = ReportBlock(push.stream.tracks[1].ssrc, 0, 0, 1, 0, 0, 0)
                    report = build_report(ReceiverReport(1, (block,)), "x")
                    server.connections[0].transport.write(Frames([(3, report)]).serialise())
                await eventually(lambda: push.live == 2, timeout_s=3)
                assert server.methods.count("RECORD") == 2
                assert "TEARDOWN" in server.methods
                await eventually(lambda: server.open_connections == 1)

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    ("method", "status", "says"),
    [
        ("ANNOUNCE", 403, "forbids"),
        ("ANNOUNCE", 409, "409 Taken"),
        ("ANNOUNCE", 401, "user and a password"),
        ("SETUP", 404, "no stream"),
        ("RECORD", 455, "RECORD"),
    ],
)
def test_a_refusal_is_a_sentence(method: str, status: int, says: str) -> None:
    async def test() -> None:
        fake = FakeServer(answer=refuse(method, status, "Taken"))
        async with fake.running() as server, pushing() as push:
            push.begin("tcp", server.url)
            assert push.task
            with pytest.raises(ConnectError, match=says):
                await push.task
            assert push.live == 0
            assert not push.stream.readers
            await eventually(lambda: server.open_connections == 0)

    run_as_the_server_does(test)


def test_a_server_that_vanishes_is_told() -> None:
    async def test() -> None:
        async with pushing() as push:
            push.begin()
            await push.send_until(push.has_arrived)
            push.server.close()
            assert push.task
            with pytest.raises(ConnectError, match="closed the connection"):
                await asyncio.wait_for(push.task, 5)
            assert not push.stream.readers

    run_as_the_server_does(test)


def test_nobody_is_there() -> None:
    async def test() -> None:
        async with pushing() as push:
            with socket.create_server(("127.0.0.1", 0)) as listener:
                port = listener.getsockname()[1]
            push.begin(url=f"rtsp://127.0.0.1:{port}/x")
            assert push.task
            with pytest.raises(ConnectError, match="refuses the connection"):
                await push.task

    run_as_the_server_does(test)


# A server that reads slowly.


class SlowReader(asyncio.Protocol):
    """Grants everything, and reads nothing more once it records."""

    def __init__(self) -> None:
        self.parser = Parser()
        self.received: list[tuple[int, bytes]] = []
        self.recording = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        small = 16 * 1024
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, small)

    def data_received(self, data: bytes) -> None:
        for message in self.parser.feed(data):
            if isinstance(message, Frames):
                self.received += message.frames
            elif isinstance(message, Request):
                headers = Headers({"CSeq": message.headers.get("CSeq", "0"), "Session": "1"})
                if message.method == "SETUP":
                    headers["Transport"] = message.headers.get("Transport", "")
                self.transport.write(Response(200, "OK", headers).serialise())
                if message.method == "RECORD":
                    self.recording = True
                    self.transport.pause_reading()


def test_a_slow_server_is_skipped_ahead_and_not_queued_for() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        reader = SlowReader()
        server = await loop.create_server(lambda: reader, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with pushing(Limits(reader_max_age_s=0.2)) as push:
            push.begin("tcp", f"rtsp://127.0.0.1:{port}/x")
            await eventually(lambda: reader.recording and push.live == 1)
            # 25 MB in half a second.
            for _ in range(50):
                push.send(size=900, packets=400)
                await asyncio.sleep(0.01)
            assert push.stream.skipped_packets > 1000
            queued = [o._queue for r in push.stream.readers for o in r._outputs.values()]
            assert sum(len(each) for each in queued) < 40
            connection = next(iter(push.stream.readers))._outputs[0].sender
            assert connection._transport.get_write_buffer_size() < 2_000_000  # type: ignore[attr-defined]
            # It reads again: whole packets, and the picture goes on at a keyframe, without a gap.
            reader.transport.resume_reading()
            before = push.number
            await push.send_until(lambda: push.number >= before + 30)
            await eventually(lambda: len(reader.received) > 100)
            for channel in (0, 2):
                sequences = [
                    int.from_bytes(data[2:4], "big") for n, data in reader.received if n == channel
                ]
                first = sequences[0]
                counted = [number - first & 0xFFFF for number in sequences]
                assert counted == list(range(len(counted)))
        server.close()

    run_as_the_server_does(test)


# What the other server says.


def test_the_other_servers_feedback_is_answered() -> None:
    async def test() -> None:
        async with FakeServer(sends=False).running() as server, pushing() as push:
            push.begin("tcp", server.url)
            await eventually(lambda: push.live == 1)
            push.send()
            await eventually(lambda: any(n == 0 for n, _ in server.interleaved))
            first = next(data for n, data in server.interleaved if n == 0)
            sequence, ssrc = int.from_bytes(first[2:4], "big"), int.from_bytes(first[8:12], "big")
            connection = server.connections[0].transport
            connection.write(Frames([(1, build_nack(Nack(1, ssrc, (sequence,))))]).serialise())
            await eventually(
                lambda: sum(d[2:4] == first[2:4] for n, d in server.interleaved if n == 0) == 2
            )
            requests = push.keyframe_requests
            await asyncio.sleep(0)
            push.stream.tracks[0].keyframe_requested_at = -10.0
            connection.write(Frames([(1, build_pli(Pli(1, ssrc))), (1, b"junk")]).serialise())
            await eventually(lambda: push.keyframe_requests == requests + 1)

    run_as_the_server_does(test)


def test_the_server_is_asked_where_its_user_is_given() -> None:
    """It asks for a password; the password of the URL is given, and never shown."""

    async def test() -> None:
        def answer(request: Request) -> Response | None:
            if request.method in ("OPTIONS",) or "Authorization" in request.headers:
                return None
            challenge = 'Digest realm="x", nonce="abc"'
            return Response(401, "Unauthorized", Headers({"WWW-Authenticate": challenge}))

        async with FakeServer(sends=False, answer=answer).running() as server, pushing() as push:
            push.begin("tcp", server.url.replace("//", "//me:secret@"))
            await eventually(lambda: push.live == 1)
            assert not any("secret" in request.url for request in server.requests)

    run_as_the_server_does(test)
