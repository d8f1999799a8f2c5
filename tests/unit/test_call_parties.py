"""Who may do what at the servers of a call, asked over HTTP."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest

from streamsocket.call.parties import (
    CALLER,
    LISTENER,
    caller_settings,
    credentials,
    listener_settings,
    publishing_url,
    watching_url,
)
from streamsocket.client.session import open_url
from streamsocket.errors import ConnectError
from streamsocket.forward.publishing import Publishing
from streamsocket.server import Server
from streamsocket.sources.spec import parse_source
from streamsocket.webrtc.endpoint import parse_endpoint

SECRET = "7K3M-9QPX"
OTHER_SECRET = "7K3M-9QPY"
SOURCE = "test:160x96@15"
HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def listener() -> Iterator[Server]:
    settings = listener_settings(HOST, 0, SOURCE, SECRET)
    with Server(settings, sealed_by=credentials(SECRET)) as server:
        assert asyncio.run(watch(watching_url(HOST, server.http_port, SECRET)))
        yield server


@pytest.fixture(scope="module")
def caller(listener: Server) -> Iterator[Server]:
    settings = caller_settings(HOST, listener.http_port, SOURCE, "7k3m 9qpx")
    with Server(settings, http=False) as server:
        assert asyncio.run(watch_when_it_is_there(listener.preview_url(CALLER)))
        yield server


async def watch(url: str) -> bool:
    """Whether the stream comes; raises ConnectError where it is refused."""
    async with asyncio.timeout(20), open_url(url) as session:
        return (await anext(session)).unit is not None


async def watch_when_it_is_there(url: str) -> bool:
    """The same, for what takes a moment to be pushed on."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await watch(url)
            except ConnectError:
                await asyncio.sleep(0.1)


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


def test_with_the_secret_both_see_each_other(listener: Server, caller: Server) -> None:
    assert asyncio.run(watch(watching_url(HOST, listener.http_port, SECRET)))
    assert asyncio.run(watch_when_it_is_there(listener.preview_url(CALLER)))


def test_with_another_secret_nobody_gets_in(listener: Server) -> None:
    told = refusal(watching_url(HOST, listener.http_port, OTHER_SECRET))
    assert "does not take this secret" in told
    assert not may_publish(publishing_url(HOST, listener.http_port, OTHER_SECRET))


def test_the_secret_itself_is_no_way_in(listener: Server) -> None:
    """It is not to be sent at all: who sends it has been led astray."""
    url = watching_url(HOST, listener.http_port, SECRET).removesuffix("#sealed")
    assert "not accept" in refusal(url)
    assert "asks for" in refusal(f"http://{HOST}:{listener.http_port}/{LISTENER}/whep")


@pytest.mark.parametrize("name", [LISTENER, "other"])
def test_with_the_secret_only_the_callers_stream_can_be_published(
    listener: Server, name: str
) -> None:
    url = publishing_url(HOST, listener.http_port, SECRET).replace(f"/{CALLER}/", f"/{name}/")
    assert not may_publish(url)


def test_nothing_else_is_open_to_the_network(listener: Server, caller: Server) -> None:
    for path in ("/", "/api/streams", "/metrics", "/api/openapi.json"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"http://{HOST}:{listener.http_port}{path}", timeout=5)
        with refused.value as answer:
            assert answer.status == 404
    for server in (listener, caller):
        assert server.settings.rtsp.host == HOST
        assert server.settings.rtmp.port is None
        assert server.settings.rtsps.port is None
        assert not server.settings.record
    assert listener.ports.webrtc is not None
    assert caller.settings.host == HOST
    assert caller._http is None


def test_an_answer_that_is_not_sealed_is_not_taken(listener: Server) -> None:
    """Somebody in between who puts in an answer of their own doesn't know the secret."""

    async def between(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        body = b""
        for line in head.split("\r\n"):
            if line.lower().startswith("content-length:"):
                body = await reader.readexactly(int(line.partition(":")[2]))
        method, path, _ = head.split(" ", 2)
        request = urllib.request.Request(
            f"http://{HOST}:{listener.http_port}{path}",
            body or None,
            {
                name: value
                for name, _, value in (line.partition(": ") for line in head.split("\r\n")[1:])
                if name.lower() in ("content-type", "streamsocket-seal")
            },
            method=method,
        )

        def ask() -> tuple[int, bytes, dict[str, str]]:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read(), dict(answer.headers)

        status, answer, headers = await asyncio.to_thread(ask)
        answer = answer.replace(b"a=fingerprint:sha-256 ", b"a=fingerprint:sha-256 00:")
        kept = {
            name: value
            for name, value in headers.items()
            if name.lower() in ("content-type", "location", "streamsocket-seal", "allow")
        }
        lines = [f"{name}: {value}" for name, value in kept.items()]
        top = "\r\n".join([f"HTTP/1.1 {status} OK", f"Content-Length: {len(answer)}", *lines])
        writer.write(top.encode() + b"\r\nConnection: close\r\n\r\n" + answer)
        await writer.drain()
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(between, HOST, 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(ConnectError, match="not sealed with the secret"):
                await watch(watching_url(HOST, port, SECRET))

    asyncio.run(test())


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "desk.example"])
def test_the_url_tells_nothing_of_the_secret(host: str) -> None:
    endpoint = parse_endpoint(watching_url(host, 8554, "7k3m-9qpx"))
    assert (endpoint.host, endpoint.port, endpoint.path) == (host, 8554, f"{LISTENER}/whep")
    assert endpoint.authorization is None
    assert endpoint.seal
    assert "7K3M" not in endpoint.url + repr(endpoint)
