"""Pushing to another RTMP server, on real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable

import pytest
from rtmp_helpers import AVC, DELTA, IDR, SOUND
from test_rtmp_server import run, serving

from streamsocket.errors import ConnectError, StreamSocketError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track, Vp8
from streamsocket.rtmp import client
from streamsocket.rtmp.client import RtmpPush

_TRACKS = [Track(AVC), Track(SOUND)]


def _write_some(push: RtmpPush, pictures: int) -> None:
    for index in range(pictures):
        unit = AccessUnit([DELTA if index % 25 else IDR], 3600 * index, index % 25 == 0)
        push.write(0, unit, 3600 * index)
        push.write(1, AccessUnit([b"\x21\x10"], 1764 * index), 1764 * index)


def test_what_is_pushed_arrives() -> None:
    async def test() -> None:
        async with serving() as setup:
            push = RtmpPush()
            await push.open(f"rtmp://127.0.0.1:{setup.server.port}/live/lobby", _TRACKS)
            _write_some(push, 50)
            await setup.until(lambda: bool(setup.hub.published))
            (published,) = setup.hub.published
            assert [track.codec for track in published.tracks] == [AVC, SOUND]
            await setup.until(lambda: [len(each) for each in published.batches] == [50, 50])
            video, _ = published.batches
            assert [batch.timestamp - video[0].timestamp for batch in video] == [
                3600 * index for index in range(50)
            ]
            assert push.is_open
            push.close()
            assert not push.is_open
            await setup.until(lambda: published.closed)
            assert push.dropped == 0

    run(test)


def test_a_refusal_after_the_beginning_is_told() -> None:
    async def test() -> None:
        async with serving() as setup:
            setup.hub.taken = StreamSocketError("Somebody publishes 'live/lobby' already.")
            lost: list[ConnectError] = []
            push = RtmpPush(lost.append)
            await push.open(f"rtmp://127.0.0.1:{setup.server.port}/live/lobby", _TRACKS)
            _write_some(push, 1)
            await setup.until(lambda: bool(lost))
            assert "Somebody publishes 'live/lobby' already." in str(lost[0])
            assert not push.is_open
            _write_some(push, 1)
            push.close()
            assert len(lost) == 1

    run(test)


def test_a_server_that_hangs_up_is_told() -> None:
    async def test() -> None:
        async with serving() as setup:
            lost: list[ConnectError] = []
            push = RtmpPush(lost.append)
            await push.open(f"rtmp://127.0.0.1:{setup.server.port}/live/lobby", _TRACKS)
            setup.server.close()
            await setup.until(lambda: bool(lost))
            assert "has hung up" in str(lost[0])

    run(test)


def test_a_refusal_at_the_beginning() -> None:
    async def test() -> None:
        async with serving() as setup:
            url = f"rtmp://127.0.0.1:{setup.server.port}/live/not%20a%20name"
            with pytest.raises(ConnectError, match=r"refuses the stream: .*cannot be a stream's"):
                await RtmpPush().open(url, _TRACKS)
            await setup.until(lambda: setup.server.connections == 0)

    run(test)


def test_nobody_there() -> None:
    async def test() -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        with pytest.raises(ConnectError, match="cannot be reached"):
            await RtmpPush().open(f"rtmp://127.0.0.1:{port}/live/x", _TRACKS)

    run(test)


def test_bad_urls_and_codecs_are_refused_before_anything_is_sent() -> None:
    async def test() -> None:
        with pytest.raises(StreamSocketError, match="RTMP address"):
            await RtmpPush().open("http://host/", _TRACKS)
        with pytest.raises(StreamSocketError, match="vp8"):
            await RtmpPush().open("rtmp://127.0.0.1:1/live/x", [Track(Vp8())])

    run(test)


def _stranger(
    test: Callable[[str], Awaitable[None]], answer: Callable[[asyncio.StreamWriter], None]
) -> None:
    """Run the test against a server that says what `answer` writes, and reads nothing."""

    async def body() -> None:
        release = asyncio.Event()

        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            answer(writer)
            await release.wait()
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1024)
        port = server.sockets[0].getsockname()[1]
        try:
            await test(f"rtmp://127.0.0.1:{port}/live/x")
        finally:
            release.set()
            server.close()
            await asyncio.sleep(0.05)

    run(body)


def test_a_server_that_says_nothing() -> None:
    async def test(url: str) -> None:
        with pytest.raises(ConnectError, match=r"no answer within 0\.2 s"):
            await RtmpPush().open(url, _TRACKS, timeout_s=0.2)

    _stranger(test, lambda writer: None)


def test_a_server_that_speaks_something_else() -> None:
    async def test(url: str) -> None:
        with pytest.raises(ConnectError, match="version"):
            await RtmpPush().open(url, _TRACKS)

    _stranger(test, lambda writer: writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n"))


def test_a_slow_server_misses_pictures_and_one_that_takes_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(client, "_STALLED_S", 0.5)

    async def test() -> None:
        async with serving() as setup:
            lost: list[ConnectError] = []
            push = RtmpPush(lost.append)
            await push.open(f"rtmp://127.0.0.1:{setup.server.port}/live/lobby", _TRACKS)
            (connection,) = setup.server._connections
            assert connection._transport
            connection._transport.pause_reading()
            large = AccessUnit([IDR + bytes(1 << 20)], 0)
            monkeypatch.setattr("streamsocket.rtmp.send_queue.MAX_AGE_S", 0.1)
            index = 0
            while not lost:
                push.write(0, large, 3600 * index)
                index += 1
                await asyncio.sleep(0.02)
                assert index < 500
            assert "has taken nothing" in str(lost[0])
            assert push.dropped > 0

    run(test)
