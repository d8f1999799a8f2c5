"""The way to a hub's streams for this machine's own windows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from streamsocket.client.session import open_url
from streamsocket.errors import ConnectError
from streamsocket.rtsp.url import parse_server_url
from streamsocket.server import Server
from streamsocket.settings.model import (
    HttpSettings,
    RtmpSettings,
    RtspSettings,
    Settings,
    StreamSettings,
    UserSettings,
)

HASH = "$argon2id$v=19$m=32768,t=2,p=1$R4Oq0TEsB8M09CPHtXNaaw$" + "A" * 43


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One whose streams nobody may watch."""
    settings = Settings(
        rtsp=RtspSettings(port=0),
        rtmp=RtmpSettings(port=None),
        http=HttpSettings(port=0),
        streams={"live/clock": StreamSettings(source="test:160x96@15")},
        users={"alice": UserSettings(password=HASH)},
    )
    with Server(settings, http=False) as server:
        yield server


async def watch(url: str, transport: str = "tcp") -> None:
    async with asyncio.timeout(20), open_url(url, transport=transport) as session:  # type: ignore[arg-type]
        await anext(session)


def test_it_leads_to_streams_that_nobody_else_may_watch(server: Server) -> None:
    with pytest.raises(ConnectError):
        asyncio.run(watch(f"rtsp://127.0.0.1:{server.rtsp_port}/live/clock"))
    asyncio.run(watch(server.preview_url("live/clock")))
    assert server.preview_url("live/clock") == server.preview_url("live/clock")


def test_only_this_machine_gets_there(server: Server) -> None:
    url = parse_server_url(server.preview_url("live/clock"))
    assert url.host == "127.0.0.1"
    assert server._door is not None
    assert server._door._server._listener.getsockname()[0] == "127.0.0.1"
    assert url.port != server.rtsp_port


def test_its_password_is_needed(server: Server) -> None:
    url = parse_server_url(server.preview_url("live/clock"))
    assert len(url.password) > 20
    plain = f"127.0.0.1:{url.port}/live/clock"
    for wrong in (f"rtsp://{plain}", f"rtsp://preview:wrong@{plain}"):
        with pytest.raises(ConnectError):
            asyncio.run(watch(wrong))


def test_each_server_has_a_password_of_its_own(server: Server) -> None:
    settings = server.settings.model_copy(update={"streams": {}})
    with Server(settings, http=False) as other:
        ours, theirs = (
            parse_server_url(each.preview_url("live/clock")).password for each in (server, other)
        )
    assert ours != theirs


def test_it_closes_with_the_server() -> None:
    settings = Settings(
        rtsp=RtspSettings(port=0), rtmp=RtmpSettings(port=None), http=HttpSettings(port=0)
    )
    with Server(settings, http=False) as server:
        url = server.preview_url("clock")
    with pytest.raises(ConnectError, match="refuses the connection"):
        asyncio.run(watch(url))
