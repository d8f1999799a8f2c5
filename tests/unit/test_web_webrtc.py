"""WHIP and WHEP over HTTP, asked without a network; the WebRTC server is a stand-in."""

from __future__ import annotations

import asyncio
import base64
import threading
from collections import Counter
from collections.abc import Iterator
from typing import Any, cast

import httpx
import pytest
from status_helpers import server_status

from streamsocket.auth.access import AccessDeniedError
from streamsocket.auth.authorization import Credentials, credentials_of
from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.hub.hub import StreamTakenError
from streamsocket.web.app import create_app
from streamsocket.web.webrtc import WebRtcRoutes
from streamsocket.webrtc.ice_table import TooManyPeersError
from streamsocket.webrtc.negotiation import NothingFitsError
from streamsocket.webrtc.sdp import MAX_BYTES
from streamsocket.webrtc.server import (
    Answer,
    NoSuchSessionError,
    NoSuchStreamError,
    OtherSessionError,
    WebRtcServer,
)

SDP = {"Content-Type": "application/sdp"}
FRAGMENT = {"Content-Type": "application/trickle-ice-sdpfrag"}


class StandIn:
    """Notes what it is asked, on which thread, and answers or raises what it is told to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.threads: set[str] = set()
        self.answer = Answer("s3cret", "tag", "v=0\r\n")
        self.error: StreamSocketError | None = None

    async def watch(self, *arguments: object) -> Answer:
        return self._answer("watch", *arguments)

    async def publish(self, *arguments: object) -> Answer:
        return self._answer("publish", *arguments)

    async def update(self, *arguments: object) -> Answer:
        return self._answer("update", *arguments)

    async def end(self, *arguments: object) -> None:
        self._answer("end", *arguments)

    def _answer(self, *asked: object) -> Answer:
        self.asked.append(asked)
        self.threads.add(threading.current_thread().name)
        if self.error:
            raise self.error
        return self.answer


class Client:
    def __init__(self, server: StandIn, media: asyncio.AbstractEventLoop) -> None:
        servers = ("stun:stun.example:3478", "turn:anna:secret@turn.example")
        self.refused: Counter[str] = Counter()
        made = WebRtcRoutes(cast(WebRtcServer, server), media, servers, self.refused)
        routes = made.routes()
        self._app = create_app(server_status, rtsp_port=8554, routes=routes)

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app, client=("192.0.2.7", 1))
            async with httpx.AsyncClient(transport=transport, base_url="http://host:8080") as http:
                return await http.request(method, path, content=body, headers=headers)

        return asyncio.run(ask())


@pytest.fixture
def server() -> StandIn:
    return StandIn()


@pytest.fixture
def client(server: StandIn) -> Iterator[Client]:
    media = asyncio.new_event_loop()
    thread = threading.Thread(target=media.run_forever, name="media")
    thread.start()
    yield Client(server, media)
    media.call_soon_threadsafe(media.stop)
    thread.join()
    media.close()


@pytest.mark.parametrize(("kind", "action"), [("whep", "watch"), ("whip", "publish")])
def test_an_offer_is_answered(client: Client, server: StandIn, kind: str, action: str) -> None:
    response = client.ask("POST", f"/live/lobby/{kind}", b"v=0\r\noffer", **SDP)
    assert (response.status_code, response.text) == (201, "v=0\r\n")
    assert response.headers["content-type"] == "application/sdp"
    assert response.headers["location"] == f"/live/lobby/{kind}/s3cret"
    assert response.headers["etag"] == '"tag"'
    assert response.headers["accept-patch"] == FRAGMENT["Content-Type"]
    assert response.headers["link"] == (
        '<stun:stun.example:3478>; rel="ice-server", <turn:turn.example>; rel="ice-server"; '
        'username="anna"; credential="secret"; credential-type="password"'
    )
    ((asked, name, text, asker),) = server.asked
    assert (asked, name, text) == (action, "live/lobby", "v=0\r\noffer")
    assert (asker.host, asker.credentials) == ("192.0.2.7", Credentials())
    assert server.threads == {"media"}


def test_a_session_is_ended(client: Client, server: StandIn) -> None:
    assert client.ask("DELETE", "/live/lobby/whep/s3cret").status_code == 200
    assert server.asked == [("end", "live/lobby", "s3cret")]


def test_candidates_and_restarts_are_passed_on(client: Client, server: StandIn) -> None:
    path, body = "/lobby/whep/s3cret", b"a=ice-ufrag:x"
    assert client.ask("PATCH", path, body, **FRAGMENT).status_code == 428
    server.answer = Answer("s3cret", "tag", "")
    response = client.ask("PATCH", path, body, **FRAGMENT, **{"If-Match": '"tag"'})
    assert (response.status_code, response.content) == (204, b"")
    server.answer = Answer("s3cret", "new", "a=ice-lite\r\n")
    response = client.ask("PATCH", path, body, **FRAGMENT, **{"If-Match": "*"})
    assert (response.status_code, response.headers["etag"]) == (200, '"new"')
    assert response.headers["content-type"] == FRAGMENT["Content-Type"]
    assert [asked[4] for asked in server.asked] == ["tag", "*"]
    assert client.ask("PATCH", path, body, **SDP, **{"If-Match": "*"}).status_code == 415


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (ParseError("no"), 400),
        (AccessDeniedError("no", ask=True), 401),
        (AccessDeniedError("no", ask=False), 403),
        (NoSuchStreamError("no"), 404),
        (NoSuchSessionError("no"), 404),
        (NothingFitsError("no"), 406),
        (StreamTakenError("no"), 409),
        (OtherSessionError("no"), 412),
        (TooManyPeersError("no"), 503),
    ],
)
def test_an_error_is_a_status_and_a_sentence(
    client: Client, server: StandIn, error: StreamSocketError, status: int
) -> None:
    server.error = error
    response = client.ask("POST", "/lobby/whep", b"v=0", **SDP)
    assert (response.status_code, response.text) == (status, "no")
    assert client.refused == {f"http_{status}": 1}
    assert ("www-authenticate" in response.headers) == (status == 401)
    assert ("retry-after" in response.headers) == (status == 503)


def test_what_is_no_offer_is_refused(client: Client, server: StandIn) -> None:
    assert client.ask("POST", "/lobby/whep", b"v=0").status_code == 415
    assert client.ask("POST", "/lobby/whep", bytes(MAX_BYTES + 1), **SDP).status_code == 413
    assert client.ask("POST", "/lobby/whep", b"\xff\xfe", **SDP).status_code == 400
    assert client.ask("GET", "/lobby/whep").status_code == 405
    assert client.ask("PUT", "/lobby/whip").status_code == 405
    assert not server.asked


def test_what_may_be_done_is_told(client: Client) -> None:
    response = client.ask("OPTIONS", "/live/lobby/whip")
    assert (response.status_code, response.headers["accept-post"]) == (204, "application/sdp")
    assert "access-control-allow-origin" not in response.headers
    response = client.ask("OPTIONS", "/live/lobby/whep/s3cret")
    assert response.headers["accept-patch"] == FRAGMENT["Content-Type"]


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1:5173", True),
        ("http://host:8080", True),
        ("https://evil.example", False),
        ("http://localhost.evil.example", False),
        ("http://[", False),
        ("null", False),
    ],
)
def test_pages_of_this_machine_may_ask(client: Client, origin: str, allowed: bool) -> None:
    for method, path in (("OPTIONS", "/lobby/whep"), ("POST", "/lobby/whep")):
        response = client.ask(method, path, b"v=0", **SDP, Origin=origin)
        assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
    if allowed:
        assert "Location" in response.headers["access-control-expose-headers"]


def test_a_name_and_a_password_come_as_a_token(client: Client, server: StandIn) -> None:
    client.ask("POST", "/lobby/whip", b"v=0", **SDP, Authorization="Bearer anna:secret")
    assert server.asked[0][3].credentials == Credentials("anna", "secret")


def test_authorization_is_read() -> None:
    encoded = base64.b64encode("anna:sec:ret ü".encode()).decode()
    expected = Credentials("anna", "sec:ret ü")
    assert credentials_of(f"Basic {encoded}") == expected
    assert credentials_of(f"bearer {encoded.rstrip('=')}") == expected
    for header in (None, "", "Basic", "Basic ===", "Bearer opaque", "Digest a:b", "Bearer :x"):
        assert credentials_of(header) == Credentials()
