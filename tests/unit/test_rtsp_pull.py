"""A stream that is played from another server and published here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
from client_helpers import SOUND, VIDEO, FakeServer, refuse, run_as_the_server_does
from rtsp_helpers import eventually

from streamsocket.errors import ConnectError, StreamSocketError
from streamsocket.hub import pulling as pulling_module
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Publication, Stream
from streamsocket.media.codec import Track
from streamsocket.rtp.rtcp import Pli, ReceiverReport, parse_rtcp
from streamsocket.rtsp import sdp
from streamsocket.rtsp.client import Protocol
from streamsocket.rtsp.message import Headers, Request, Response
from streamsocket.rtsp.pull import pull_rtsp


class Pulling:
    """A hub here, and a server that is played from."""

    def __init__(self, server: FakeServer) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.server = server
        self.request_keyframe: Callable[[], None] | None = None
        self.task: asyncio.Task[None] | None = None

    def publish(
        self, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> Publication:
        self.request_keyframe = request_keyframe
        return self.hub.publish("cam", tracks, request_keyframe)

    def begin(self, *protocols: Protocol) -> asyncio.Task[None]:
        chosen = protocols or ("tcp", "udp")
        pull = pull_rtsp(self.server.url, self.publish, protocols=chosen, timeout_s=5)
        self.task = self.loop.create_task(pull)
        return self.task

    @property
    def stream(self) -> Stream:
        stream = self.hub.find("cam")
        assert stream
        return stream

    def has_come(self) -> bool:
        stream = self.hub.find("cam")
        return stream is not None and all(track.packets > 3 for track in stream.tracks)

    async def close(self) -> None:
        if self.task:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.hub.close()


@asynccontextmanager
async def pulling(server: FakeServer | None = None) -> AsyncIterator[Pulling]:
    async with (server or FakeServer()).running() as running:
        under_test = Pulling(running)
        try:
            yield under_test
        finally:
            await under_test.close()


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_what_comes_is_published(protocol: Protocol) -> None:
    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin(protocol)
            await eventually(pull.has_come)
            assert pull.stream.matches([VIDEO, SOUND])
            assert pull.stream.tracks[0].cache.bytes
            latest = pull.stream.tracks[0].latest
            assert latest
            assert time.time() - latest.capture_time < 1
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert pull.stream.publication is None
            assert pull.server.methods[-1] == "TEARDOWN"
            await eventually(lambda: pull.server.open_connections == 0)

    run_as_the_server_does(test)


def test_the_first_transport_that_is_taken_is_used() -> None:
    def no_tcp(request: Request) -> Response | None:
        if "/TCP" in request.headers.get("Transport", ""):
            return Response(461, "Unsupported Transport")
        return None

    async def test() -> None:
        async with pulling(FakeServer(answer=no_tcp)) as pull:
            pull.begin()
            await eventually(pull.has_come)

    run_as_the_server_does(test)


@pytest.mark.parametrize(
    ("method", "status", "says"),
    [
        ("DESCRIBE", 404, "no stream"),
        ("DESCRIBE", 401, "user and a password"),
        ("SETUP", 461, "refuses to send the picture over UDP"),
        ("SETUP", 500, "500"),
        ("PLAY", 455, "455"),
    ],
)
def test_a_refusal_is_a_sentence(method: str, status: int, says: str) -> None:
    async def test() -> None:
        async with pulling(FakeServer(answer=refuse(method, status, "No"))) as pull:
            with pytest.raises(ConnectError, match=says):
                await pull.begin()
            stream = pull.hub.find("cam")
            assert stream is None or stream.publication is None
            await eventually(lambda: pull.server.open_connections == 0)

    run_as_the_server_does(test)


def test_the_end_of_the_stream_is_no_failure() -> None:
    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin()
            await eventually(pull.has_come)
            pull.server.connections[0].say_goodbye()
            await asyncio.wait_for(task, 3)
            assert pull.stream.publication is None

    run_as_the_server_does(test)


def test_a_server_that_vanishes_or_falls_silent_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling_module, "SILENCE_S", 0.3)

    async def test() -> None:
        async with pulling() as pull:
            task = pull.begin()
            await eventually(pull.has_come)
            pull.server.connections[0].transport.abort()
            with pytest.raises(ConnectError, match="closed the connection"):
                await task
            task = pull.begin()
            await eventually(lambda: pull.stream.publication is not None)
            timer = pull.server.connections[1].timer
            await eventually(lambda: pull.server.connections[1].timer is not timer)
            await asyncio.sleep(0.05)
            running = pull.server.connections[1].timer
            assert running
            running.cancel()
            with pytest.raises(ConnectError, match="Nothing has come"):
                await asyncio.wait_for(task, 3)

    run_as_the_server_does(test)


def test_a_server_that_never_sends_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulling_module, "SILENCE_S", 0.2)

    async def test() -> None:
        async with pulling(FakeServer(sends=False)) as pull:
            with pytest.raises(ConnectError, match="Nothing has come"):
                await asyncio.wait_for(pull.begin(), 3)
            assert "TEARDOWN" in pull.server.methods

    run_as_the_server_does(test)


def test_what_is_not_known_here_is_left_alone() -> None:
    description = sdp.build([VIDEO, SOUND], name="x", host="h").replace("opus/", "SPEEX/")
    nothing = description.replace("H264/", "THEORA/")

    def describe(text: str) -> Callable[[Request], Response | None]:
        def answer(request: Request) -> Response | None:
            if request.method != "DESCRIBE":
                return None
            return Response(200, "OK", Headers({"Content-Type": "application/sdp"}), text.encode())

        return answer

    async def test() -> None:
        async with pulling(FakeServer(answer=describe(description))) as pull:
            pull.begin()
            await eventually(pull.has_come)
            assert pull.stream.matches([VIDEO])
        async with pulling(FakeServer(answer=describe(nothing))) as pull:
            with pytest.raises(ConnectError, match=r"Nothing of .* can be passed on"):
                await pull.begin()

    run_as_the_server_does(test)


def test_the_server_is_told_how_it_comes_and_asked_for_keyframes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pulling_module, "_REPORT_INTERVAL_S", 0.2)

    async def test() -> None:
        async with pulling() as pull:
            pull.begin("tcp")
            await eventually(pull.has_come)

            def said() -> list[object]:
                return [
                    p for n, data in pull.server.interleaved if n == 1 for p in parse_rtcp(data)
                ]

            assert pull.request_keyframe
            pull.request_keyframe()
            await eventually(lambda: any(isinstance(packet, Pli) for packet in said()))
            await eventually(lambda: any(isinstance(packet, ReceiverReport) for packet in said()))

    run_as_the_server_does(test)


def test_what_the_hub_refuses_is_raised() -> None:
    def refuse_all(tracks: Sequence[Track], request_keyframe: object) -> Publication:
        raise StreamSocketError("No more streams.")

    async def test() -> None:
        async with FakeServer().running() as server:
            with pytest.raises(StreamSocketError, match="No more"):
                await pull_rtsp(server.url, refuse_all, timeout_s=5)
            await eventually(lambda: server.open_connections == 0)

    run_as_the_server_does(test)
