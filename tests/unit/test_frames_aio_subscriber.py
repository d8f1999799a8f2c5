"""The Subscriber's asyncio form: no task, no thread is left behind."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine

import pytest
from frames_helpers import SIZE, fake_server, until

from streamsocket.errors import ClosedError, TimedOutError
from streamsocket.frames import aio

SHAPE = SIZE[1], SIZE[0], 3


@pytest.fixture
def silent() -> object:
    """The URL of a server that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"rtsp://127.0.0.1:{listening.getsockname()[1]}/live"


def run(scenario: Coroutine[object, object, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(20):
            await scenario
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}, "a task was left behind"

    asyncio.run(bounded())


def test_asyncio(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(url: str) -> None:
        async with aio.Subscriber(url, audio=True) as sub:
            count = 0
            async for frame in sub:
                assert frame.image.shape == SHAPE
                count += 1
                if count == 5:
                    break
            async for block in sub.audio:
                assert len(block.samples)
                break
            assert (await sub.read(5)).capture_time > frame.capture_time
            assert (await sub.audio.read(5)).duration > 0
            assert sub.state == "live"
            with pytest.raises(ClosedError):
                await sub.__aenter__()
        with pytest.raises(ClosedError):
            await sub.read()

    with fake_server(monkeypatch) as (server, _):
        run(scenario(server.url))


def test_asyncio_cancelled_and_timed_out(silent: str) -> None:
    async def scenario() -> None:
        async with aio.Subscriber(silent, wait=False) as sub:
            with pytest.raises(TimedOutError):
                await sub.read(0.05)
            reading = asyncio.create_task(sub.read())
            await asyncio.sleep(0.02)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            iterating = asyncio.create_task(anext(sub))
            await asyncio.sleep(0.02)
            await sub.close()
            with pytest.raises(StopAsyncIteration):
                await iterating
        entering = asyncio.create_task(aio.Subscriber(silent).__aenter__())
        await asyncio.sleep(0.05)
        entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await entering

    run(scenario())


def test_asyncio_states(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(url: str, lose: Callable[[], None]) -> None:
        states = []
        async with aio.Subscriber(url, wait=False, reconnect=False) as sub:
            async for change in sub.states():
                states.append(change.state)
                if change.state == "live":
                    lose()
        assert states == ["connecting", "live", "lost"]

    with fake_server(monkeypatch) as (server, background):
        run(scenario(server.url, lambda: background.call(lambda: server.connections[-1].end())))


def test_asyncio_left_open_ends_with_its_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(url: str) -> None:
        sub = await aio.Subscriber(url, every_frame=True, audio=True).open()
        await sub.read(5)
        await asyncio.sleep(0.2)  # until the shelf is full

    threads = threading.active_count()
    with fake_server(monkeypatch) as (server, _):
        asyncio.run(scenario(server.url))
    until(lambda: threading.active_count() == threads)
