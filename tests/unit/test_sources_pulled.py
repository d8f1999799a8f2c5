"""A stream of another server as a source: again and again, or on demand."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from client_helpers import VIDEO, Connection, FakeServer, refuse, run_as_the_server_does
from rtsp_helpers import Client, client_of, eventually

from streamsocket import backoff
from streamsocket.hub.hub import Hub
from streamsocket.rtsp.server import RtspOptions, RtspServer
from streamsocket.sources import pulled as pulled_module
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import PulledSpec
from streamsocket.sources.state import SourceStatus


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backoff, "FIRST_S", 0.05)
    monkeypatch.setattr(backoff, "LONGEST_S", 0.2)
    monkeypatch.setattr(pulled_module, "UNWATCHED_S", 0.3)
    monkeypatch.setattr(pulled_module, "_POLL_S", 0.02)


class Pulled:
    """A source, the hub it publishes on, and a server that its viewers watch."""

    def __init__(self, url: str, *, on_demand: bool) -> None:
        loop = asyncio.get_running_loop()
        self.hub = Hub(loop)
        self.server = RtspServer(self.hub, loop, RtspOptions(port=0))
        self.server.open()
        self.told: list[SourceStatus] = []
        spec = PulledSpec(url, on_demand=on_demand)
        self.source = PulledSource("cam", spec, loop, self.hub, self.told.append)
        self.hub.provide("cam", self.source.want)

    @property
    def state(self) -> str:
        return self.source.status.state

    @property
    def message(self) -> str:
        return self.source.status.message or ""

    async def close(self) -> None:
        await self.source.stop()
        self.server.close()
        self.hub.close()


@asynccontextmanager
async def pulled(url: str, *, on_demand: bool = False) -> AsyncIterator[Pulled]:
    under_test = Pulled(url, on_demand=on_demand)
    try:
        under_test.source.start()
        yield under_test
    finally:
        await under_test.close()


async def watch(client: Client) -> None:
    assert (await client.ask("DESCRIBE", "cam")).status == 200
    for track in range(2):
        transport = f"RTP/AVP/TCP;interleaved={2 * track}-{2 * track + 1}"
        answer = await client.ask("SETUP", f"cam/trackID={track}", Transport=transport)
        assert answer.status == 200
    assert (await client.ask("PLAY", "cam")).status == 200


def test_it_is_played_at_once_and_left_at_the_end() -> None:
    async def test() -> None:
        async with FakeServer().running() as camera:
            async with pulled(camera.url) as source:
                await eventually(lambda: source.state == "live")
                assert source.message == ""
                # Nobody watches, and it goes on all the same.
                await asyncio.sleep(0.4)
                assert source.state == "live"
            assert source.state == "ended"
            assert source.source.over
            assert camera.methods[-1] == "TEARDOWN"
            assert camera.methods.count("DESCRIBE") == 1

    run_as_the_server_does(test)


def test_viewers_stay_while_it_is_connected_to_again() -> None:
    async def test() -> None:
        async with FakeServer().running() as camera, pulled(camera.url) as source:
            await eventually(lambda: source.state == "live")
            async with client_of(source.server) as client:
                await watch(client)
                await client.frames(0, 5)
                camera.connections[0].transport.abort()
                await eventually(lambda: source.state != "live")
                assert "closed the connection" in source.message
                assert "Trying again in" in source.message
                await eventually(lambda: source.state == "live")
                assert source.message == ""
                client._frames.clear()
                assert await client.frames(0, 5)
            assert len(camera.connections) == 2

    run_as_the_server_does(test)


def test_a_camera_that_is_not_there_at_first_is_tried_again() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        async with pulled(f"rtsp://me:secret@127.0.0.1:{port}/live") as source:
            await eventually(lambda: len(source.told) >= 4)
            assert source.state == "waiting"
            assert "refuses the connection" in source.message
            assert "secret" not in source.message
            # Who asks for it is told, after a while, that it isn't there.
            camera = FakeServer()
            loop = asyncio.get_running_loop()
            listening = await loop.create_server(lambda: Connection(camera), "127.0.0.1", port)
            await eventually(lambda: source.state == "live")
            listening.close()
            for connection in camera.connections:
                connection.end()

    run_as_the_server_does(test)


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_camera_that_refuses_is_tried_ever_more_rarely(status: int) -> None:
    async def test() -> None:
        camera = FakeServer(answer=refuse("DESCRIBE", status, "No"))
        async with camera.running(), pulled(camera.url) as source:
            await eventually(lambda: len(camera.connections) >= 3)
            assert source.state == "waiting"
            assert source.hub.find("cam") is None

    run_as_the_server_does(test)


def test_other_codecs_than_before_end_the_viewers_sessions() -> None:
    async def test() -> None:
        async with FakeServer().running() as camera, pulled(camera.url) as source:
            await eventually(lambda: source.state == "live")
            async with client_of(source.server) as client:
                await watch(client)
                camera.tracks = [VIDEO]
                camera.connections[0].transport.abort()
                assert await client.closed()
                await eventually(lambda: source.state == "live")
                stream = source.hub.find("cam")
                assert stream
                assert stream.matches([VIDEO])

    run_as_the_server_does(test)


def test_on_demand_it_is_connected_to_by_who_watches_and_left_after_them() -> None:
    async def test() -> None:
        camera = FakeServer()
        async with camera.running(), pulled(camera.url, on_demand=True) as source:
            await eventually(lambda: source.state == "waiting")
            await asyncio.sleep(0.1)
            assert "when somebody watches" in source.message
            assert camera.connections == []
            async with client_of(source.server) as client:
                await watch(client)
                assert source.state == "live"
                assert await client.frames(0, 5)
                # For as long as somebody watches, however long.
                await asyncio.sleep(0.5)
                assert source.state == "live"
            await eventually(lambda: source.state == "waiting")
            await eventually(lambda: camera.open_connections == 0)
            assert camera.methods[-1] == "TEARDOWN"
            # And once more: what it is made of is known by now.
            async with client_of(source.server) as client:
                await watch(client)
                assert await client.frames(0, 5)
            assert len(camera.connections) == 2

    run_as_the_server_does(test)


def test_on_demand_who_only_asks_does_not_keep_it() -> None:
    async def test() -> None:
        camera = FakeServer()
        async with (
            camera.running(),
            pulled(camera.url, on_demand=True) as source,
            client_of(source.server) as client,
        ):
            assert (await client.ask("DESCRIBE", "cam")).status == 200
            await eventually(lambda: source.state == "live")
            await eventually(lambda: source.state == "waiting")
            await eventually(lambda: camera.open_connections == 0)

    run_as_the_server_does(test)


def test_on_demand_a_viewer_that_paused_gets_pictures_again() -> None:
    async def test() -> None:
        camera = FakeServer()
        async with (
            camera.running(),
            pulled(camera.url, on_demand=True) as source,
            client_of(source.server) as client,
        ):
            await watch(client)
            assert await client.frames(0, 1)
            assert (await client.ask("PAUSE", "cam")).status == 200
            await eventually(lambda: source.state == "waiting")
            await eventually(lambda: camera.open_connections == 0)
            client._frames.clear()
            assert (await client.ask("PLAY", "cam")).status == 200
            assert await client.frames(0, 1)

    run_as_the_server_does(test)


def test_on_demand_a_camera_that_refuses_is_not_tried_for_nobody() -> None:
    async def test() -> None:
        camera = FakeServer(answer=refuse("DESCRIBE", 404, "No"))
        async with camera.running(), pulled(camera.url, on_demand=True) as source:
            source.source.want()
            await eventually(lambda: len(camera.connections) >= 1)
            await eventually(lambda: "when somebody watches" in source.message, timeout_s=2)
            count = len(camera.connections)
            await asyncio.sleep(0.3)
            assert len(camera.connections) == count

    run_as_the_server_does(test)


def test_a_source_is_stopped_in_every_state() -> None:
    async def test() -> None:
        async with FakeServer(answer=lambda request: b"").running() as mute:
            async with pulled(mute.url) as source:
                await eventually(lambda: bool(mute.requests))
            assert source.state == "ended"
        async with pulled("rtsp://127.0.0.1:1/x") as source:
            await eventually(lambda: source.state == "waiting")
        assert source.state == "ended"

    run_as_the_server_does(test)
