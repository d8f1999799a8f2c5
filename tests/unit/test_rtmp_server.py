"""The RTMP server's sockets: who may publish, limits, waits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal

import pytest
from rtmp_helpers import (
    IDR,
    OPUS,
    Encoder,
    FakeHub,
    audio_header,
    codes,
    picture,
    video_header,
)

from streamsocket.errors import StreamSocketError
from streamsocket.rtmp import connection, flv
from streamsocket.rtmp.commands import Command
from streamsocket.rtmp.publisher import Access
from streamsocket.rtmp.server import RtmpOptions, RtmpServer

_PATIENCE_S = 5.0


class Client:
    """An encoder on a real connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.encoder = Encoder()
        self._reader, self._writer = reader, writer
        self._heard: list[Command] = []

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    async def hear(self, code: str) -> Command:
        """The server's next command of that name or with that code."""
        while True:
            while self._heard:
                command = self._heard.pop(0)
                if codes([command]) == [code]:
                    return command
            data = await asyncio.wait_for(self._reader.read(65536), _PATIENCE_S)
            if not data:
                raise EOFError
            self._heard += self.encoder.heard(data)

    async def begin(self, key: str = "lobby") -> None:
        self.send(self.encoder.beginning(key=key))
        await self.hear("NetStream.Publish.Start")

    def media(self) -> None:
        """Enough to be published."""
        encoder = self.encoder
        self.send(encoder.video(0, video_header()) + encoder.audio(0, audio_header()))
        self.send(encoder.video(0, picture(IDR, keyframe=True)))
        self.send(encoder.audio(0, flv.audio_frame("aac", b"\x21\x10")))

    async def hung_up(self) -> bool:
        with suppress(ConnectionError):
            while await asyncio.wait_for(self._reader.read(65536), _PATIENCE_S):
                pass
        return True

    def close(self) -> None:
        self._writer.close()


class Setup:
    """A server, and what it was given."""

    def __init__(self, access: Access | None = None, **options: float) -> None:
        self.hub = FakeHub()
        self.server = RtmpServer(
            asyncio.get_running_loop(),
            RtmpOptions(port=0, **options),  # type: ignore[arg-type]
            self.hub.publish,
            access,
        )
        self._clients: list[Client] = []

    async def connect(self) -> Client:
        client = Client(*await asyncio.open_connection("127.0.0.1", self.server.port))
        self._clients.append(client)
        return client

    async def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, "it does not happen"
            await asyncio.sleep(0.01)

    async def close(self) -> None:
        for client in self._clients:
            client.close()
        self.server.close()
        await self.until(lambda: self.server.connections == 0)


@asynccontextmanager
async def serving(access: Access | None = None, **options: float) -> AsyncIterator[Setup]:
    setup = Setup(access, **options)
    setup.server.open()
    try:
        yield setup
    finally:
        await setup.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run it on a selector loop, as the server's media thread has one."""
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(test())  # type: ignore[arg-type]


def test_a_publisher_comes_and_goes() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            assert setup.server.connections == 1
            client.media()
            await setup.until(lambda: bool(setup.hub.published))
            (published,) = setup.hub.published
            assert published.name == "live/lobby"
            await setup.until(lambda: published.flushes > 0)
            client.close()
            await setup.until(lambda: published.closed)
            assert setup.server.connections == 0
            assert not setup.server.refused

    run(test)


def test_two_streams_one_after_the_other_on_one_connection() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            client.media()
            await setup.until(lambda: bool(setup.hub.published))
            client.send(client.encoder.call("deleteStream", 6.0, None, 1.0))
            await client.hear("NetStream.Unpublish.Success")
            assert setup.hub.published[0].closed
            client.send(client.encoder.call("publish", 7.0, None, "second"))
            await client.hear("NetStream.Publish.Start")
            client.media()
            await setup.until(lambda: len(setup.hub.published) == 2)
            assert setup.hub.published[1].name == "live/second"

    run(test)


def test_a_taken_name_is_answered_and_the_publisher_sent_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "_FAREWELL_S", 0.05)

    async def test() -> None:
        async with serving() as setup:
            setup.hub.taken = StreamSocketError("Somebody publishes 'live/lobby' already.")
            client = await setup.connect()
            await client.begin()
            client.media()
            status = await client.hear("NetStream.Publish.BadName")
            assert status.fields(1)["description"] == "Somebody publishes 'live/lobby' already."
            assert await client.hung_up()
            assert setup.server.refused == {"publish": 1}

    run(test)


def test_a_name_known_to_be_taken_is_refused_before_anything_is_sent() -> None:
    async def test() -> None:
        def check_free(name: str) -> None:
            raise StreamSocketError(f"Somebody publishes '{name}' already.")

        hub = FakeHub()
        loop = asyncio.get_running_loop()
        server = RtmpServer(loop, RtmpOptions(), hub.publish, check_free=check_free)
        with pytest.raises(StreamSocketError, match="'lobby' already"):
            await server.may_publish(connection.PublishAddress("lobby"), "127.0.0.1")

    run(test)


class Door:
    """Lets in who knows the password, after a while."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, str, str | None, str | None]] = []

    async def admit(
        self,
        action: Literal["publish", "watch"],
        name: str,
        host: str,
        user: str | None,
        password: str | None,
    ) -> None:
        self.asked.append((action, name, host, user, password))
        await asyncio.sleep(0.02)
        if password != "secret":
            raise StreamSocketError("To publish 'live/lobby', log in.")


def test_access_is_asked_and_media_sent_meanwhile_is_kept() -> None:
    async def test() -> None:
        door = Door()
        async with serving(door) as setup:
            client = await setup.connect()
            client.send(client.encoder.beginning(key="lobby?user=eva&pass=secret"))
            client.media()
            await setup.until(lambda: bool(setup.hub.published))
            assert door.asked == [("publish", "live/lobby", "127.0.0.1", "eva", "secret")]

    run(test)


def test_who_may_not_publish_is_told_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FAREWELL_S", 0.05)

    async def test() -> None:
        async with serving(Door()) as setup:
            client = await setup.connect()
            client.send(client.encoder.beginning())
            client.media()
            status = await client.hear("NetStream.Publish.BadName")
            assert status.fields(1)["description"] == "To publish 'live/lobby', log in."
            assert await client.hung_up()
            assert not setup.hub.published

    run(test)


def test_who_leaves_while_access_is_asked_leaves_nothing() -> None:
    async def test() -> None:
        door = Door()
        async with serving(door) as setup:
            client = await setup.connect()
            client.send(client.encoder.beginning())
            await setup.until(lambda: bool(door.asked))
            client.close()
            await setup.until(lambda: setup.server.connections == 0)
            assert not setup.hub.published

    run(test)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_without_users_only_this_machine_may_publish(host: str, allowed: bool) -> None:
    async def test() -> None:
        server = Setup().server
        address = connection.PublishAddress("lobby")
        if allowed:
            await server.may_publish(address, host)
        else:
            with pytest.raises(StreamSocketError, match="own machine"):
                await server.may_publish(address, host)

    run(test)


def test_connections_are_bounded() -> None:
    async def test() -> None:
        async with serving(max_connections_per_address=2) as setup:
            clients = [await setup.connect() for _ in range(3)]
            assert await clients[2].hung_up()
            assert setup.server.refused == {"too_many_connections": 1}
            clients[0].close()
            await setup.until(lambda: setup.server.connections == 1)
            await (await setup.connect()).begin()

    run(test)


@pytest.mark.parametrize("begins", [b"", b"\x03", Encoder.handshake()])
def test_who_begins_nothing_is_closed(begins: bytes) -> None:
    async def test() -> None:
        async with serving(begin_timeout_s=0.1) as setup:
            client = await setup.connect()
            client.send(begins)
            assert await client.hung_up()

    run(test)


def test_who_sends_nothing_that_could_be_published_is_told() -> None:
    async def test() -> None:
        async with serving(begin_timeout_s=0.3) as setup:
            client = await setup.connect()
            await client.begin()
            client.send(client.encoder.video(0, picture(IDR, keyframe=True)))
            status = await client.hear("NetStream.Publish.BadName")
            assert "could be published" in str(status.fields(1)["description"])

    run(test)


def test_a_silent_publisher_is_closed() -> None:
    async def test() -> None:
        async with serving(idle_timeout_s=0.3) as setup:
            client = await setup.connect()
            await client.begin()
            client.media()
            await setup.until(lambda: bool(setup.hub.published))
            assert await client.hung_up()
            assert setup.hub.published[0].closed
            assert setup.server.refused == {"silent_connection": 1}

    run(test)


def test_nobody_gets_in_while_it_closes() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await setup.until(lambda: setup.server.connections == 1)
            setup.server.close()
            assert await client.hung_up()
            with pytest.raises(ConnectionRefusedError):
                await setup.connect()

    run(test)


def test_a_port_that_is_taken_is_a_sentence() -> None:
    async def test() -> None:
        async with serving() as setup:
            second = RtmpServer(
                asyncio.get_running_loop(),
                RtmpOptions(port=setup.server.port),
                setup.hub.publish,
            )
            with pytest.raises(StreamSocketError, match="--rtmp-port"):
                second.open()
            second.close()

    run(test)


def test_nonsense_is_counted_and_hung_up_on() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            client.send(b"GET / HTTP/1.1\r\n\r\n")
            assert await client.hung_up()
            assert setup.server.refused == {"malformed": 1}

    run(test)


def test_a_session_cut_in_the_middle_of_a_message_ends_its_stream() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            client.media()
            client.send(client.encoder.video(40, picture(bytes(900)))[:500])
            await setup.until(lambda: bool(setup.hub.published))
            client.close()
            await setup.until(lambda: setup.hub.published[0].closed)

    run(test)


def test_one_track_is_published_without_the_other_after_a_second() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            client.send(client.encoder.audio(0, audio_header(OPUS)))
            client.send(client.encoder.audio(0, flv.audio_frame("opus", b"\xfc\x01")))
            began = time.monotonic()
            await setup.until(lambda: bool(setup.hub.published))
            assert 0.5 < time.monotonic() - began < 3
            assert [track.codec for track in setup.hub.published[0].tracks] == [OPUS]

    run(test)


def test_a_publisher_can_be_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_FAREWELL_S", 0.05)

    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            client.media()
            await setup.until(lambda: bool(setup.hub.published))
            (published,) = setup.hub.published
            assert published.on_replaced
            published.on_replaced()
            status = await client.hear("NetStream.Publish.BadName")
            assert "another" in str(status.fields(1)["description"]).lower()
            assert await client.hung_up()

    run(test)


def test_jumps_and_nonsense_are_counted() -> None:
    async def test() -> None:
        async with serving() as setup:
            client = await setup.connect()
            await client.begin()
            client.media()
            client.send(client.encoder.video(100_000, picture(IDR, keyframe=True)))
            client.send(client.encoder.audio(0, b"\xaf\x09"))
            client.close()
            await setup.until(lambda: setup.server.connections == 0)
            assert [published.jumps for published in setup.hub.published] == [1]
            assert setup.server.refused == {"malformed_media": 1}

    run(test)
