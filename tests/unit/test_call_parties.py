"""Who may do what at the servers of a call, asked over RTSP."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from streamsocket.call.parties import (
    CALLER,
    LISTENER,
    USER,
    caller_settings,
    listener_settings,
    stream_url,
)
from streamsocket.client.session import open_url
from streamsocket.errors import ConnectError
from streamsocket.forward.publishing import Publishing
from streamsocket.rtsp.url import parse_server_url
from streamsocket.server import Server
from streamsocket.settings.model import Settings
from streamsocket.sources.spec import parse_source

SECRET = "7K3M-9QPX"
SOURCE = "test:160x96@15"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def listener() -> Iterator[Server]:
    with Server(listener_settings(HOST, 0, SOURCE, SECRET), http=False) as server:
        yield server


@pytest.fixture(scope="module")
def caller(listener: Server) -> Iterator[Server]:
    settings = caller_settings(HOST, listener.rtsp_port, SOURCE, "7k3m 9qpx")
    with Server(settings, http=False) as server:
        yield server


async def watch(url: str) -> bool:
    """Whether the stream comes; raises ConnectError where it is refused."""
    async with asyncio.timeout(20), open_url(url, transport="tcp") as session:
        return (await anext(session)).unit is not None


def refusal(url: str) -> str:
    with pytest.raises(ConnectError) as caught:
        asyncio.run(watch(url))
    return str(caught.value)


async def publish(url: str) -> None:
    """Publish for a moment; raises ConnectError where it is refused."""
    publishing = Publishing(parse_source(SOURCE)[1], url)
    running = asyncio.ensure_future(publishing.run())
    try:
        async with asyncio.timeout(20):
            while publishing.status().server.state != "live":
                if running.done():
                    running.result()
                await asyncio.sleep(0.02)
    finally:
        running.cancel()
        await asyncio.wait((running,))


def may_publish(url: str) -> bool:
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        try:
            runner.run(publish(url))
        except ConnectError:
            return False
    return True


def test_with_the_secret_both_streams_can_be_watched(listener: Server, caller: Server) -> None:
    for name in (LISTENER, CALLER):
        url = stream_url(HOST, listener.rtsp_port, name, SECRET)

        async def until_there(url: str = url) -> bool:
            while True:  # what is pushed on takes a moment
                try:
                    return await watch(url)
                except ConnectError:
                    await asyncio.sleep(0.1)

        assert asyncio.run(asyncio.wait_for(until_there(), 20))
    assert asyncio.run(watch(stream_url(HOST, caller.rtsp_port, CALLER, SECRET)))


# A wrong secret is answered later each time: it is tried once at each server, and for publishing.


@pytest.mark.parametrize("name", [LISTENER, CALLER, ""])
def test_without_the_secret_nothing_can_be_watched(
    listener: Server, caller: Server, name: str
) -> None:
    for server in (listener, caller):
        assert "user" in refusal(f"rtsp://{HOST}:{server.rtsp_port}/{name}")


def test_with_another_secret_nothing_can_be_watched(listener: Server, caller: Server) -> None:
    for server in (listener, caller):
        url = stream_url(HOST, server.rtsp_port, CALLER, "7K3M-9QPY")
        assert "does not accept this user and password" in refusal(url)


@pytest.mark.parametrize("name", [LISTENER, CALLER, "other"])
def test_without_the_secret_nothing_can_be_published(listener: Server, name: str) -> None:
    assert not may_publish(f"rtsp://{HOST}:{listener.rtsp_port}/{name}")


def test_with_another_secret_nothing_can_be_published(listener: Server) -> None:
    assert not may_publish(stream_url(HOST, listener.rtsp_port, CALLER, "7K3M-9QPY"))


def test_with_the_secret_only_the_callers_stream_can_be_published(
    listener: Server, caller: Server
) -> None:
    for server, name in ((listener, LISTENER), (listener, "other"), (caller, CALLER)):
        assert not may_publish(stream_url(HOST, server.rtsp_port, name, SECRET))
    assert not may_publish(stream_url(HOST, caller.rtsp_port, "other", SECRET))


def test_who_calls_can_be_reached_from_this_machine_alone() -> None:
    settings = caller_settings("192.0.2.1", 8554, SOURCE, SECRET)
    assert settings.host == HOST
    assert settings.forward[0].url == f"rtsp://{USER}:7K3M9QPX@192.0.2.1:8554/{CALLER}"


@pytest.mark.parametrize("make", [listener_settings, caller_settings])
def test_nothing_but_rtsp_is_open(make: object) -> None:
    settings: Settings = make("127.0.0.1", 0, SOURCE, SECRET)  # type: ignore[operator]
    assert settings.rtmp.port is None
    assert settings.rtsps.port is None
    assert not settings.record
    with Server(settings.model_copy(update={"forward": ()}), http=False) as server:
        assert server._rtmp is None
        assert server._http is None


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "desk.example"])
def test_the_url_of_a_stream(host: str) -> None:
    url = parse_server_url(stream_url(host, 8554, CALLER, "7k3m-9qpx"))
    assert (url.host, url.port, url.path) == (host, 8554, CALLER)
    assert (url.user, url.password) == (USER, "7K3M9QPX")
