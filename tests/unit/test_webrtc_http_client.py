"""WHIP's and WHEP's dialogue over HTTP, with a server that answers as it is told to."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Self

import pytest
from client_helpers import run_as_the_server_does as run
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ConnectError
from streamsocket.webrtc import http_client
from streamsocket.webrtc.endpoint import parse_endpoint
from streamsocket.webrtc.http_client import HttpRefusedError, HttpSession, read_links
from streamsocket.webrtc.ice_server import IceServer

ANSWER = "v=0\r\nanswer\r\n"
SDP = {"Content-Type": "application/sdp"}
TEXT = {"Content-Type": "text/plain; charset=utf-8"}


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]
    body: str


@dataclass
class HttpPeer:
    """Answers each request with the next of its responses; the last again and again."""

    responses: list[tuple[int, dict[str, str], str]]
    tls: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    answers: bool = True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            await server.wait_closed()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/lobby/whep"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
                method, path, _ = head[0].split()
                pairs = (line.partition(":") for line in head[1:] if line)
                headers = {name.lower(): value.strip() for name, _, value in pairs}
                body = await reader.readexactly(int(headers.get("content-length", 0)))
                self.asked.append(Asked(method, path, headers, body.decode()))
                if not self.answers:
                    continue
                status, more, text = self.responses[0]
                if len(self.responses) > 1:
                    del self.responses[0]
                lines = [f"HTTP/1.1 {status} Said", f"Content-Length: {len(text.encode())}"]
                lines += [f"{name}: {value}" for name, value in more.items()]
                writer.write("\r\n".join([*lines, "", text]).encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def session_with(
    peer: HttpPeer, change: Callable[[str], str] = lambda url: url, timeout_s: float = 5
) -> AsyncIterator[HttpSession]:
    async with peer.running():
        session = HttpSession(parse_endpoint(change(peer.url)), timeout_s=timeout_s)
        try:
            yield session
        finally:
            await session.close()


def with_login(url: str) -> str:
    return url.replace("://", "://anna:se%3Acret@")


def test_an_offer_is_answered_and_the_session_ended() -> None:
    async def scenario() -> None:
        peer = HttpPeer([(201, {**SDP, "Location": "whep/s3cret", "Server": "Test/1"}, ANSWER)])
        async with session_with(peer, with_login) as session:
            assert await session.offer("v=0\r\noffer") == ANSWER
            assert session.server == "Test/1"
            assert session.round_trip_s
            assert session.round_trip_s < 1
        post, delete = peer.asked
        assert (post.method, post.path, post.body) == ("POST", "/lobby/whep", "v=0\r\noffer")
        assert post.headers["content-type"] == "application/sdp"
        assert (delete.method, delete.path) == ("DELETE", "/lobby/whep/s3cret")
        login = base64.b64encode(b"anna:se:cret").decode()
        assert post.headers["authorization"] == f"Basic {login}"
        assert delete.headers["authorization"] == f"Basic {login}"

    run(scenario)


@pytest.mark.parametrize("location", ["/there/1", "http://127.0.0.1:{port}/there/1", "?x/../1"])
def test_where_the_session_is_may_be_said_in_many_ways(location: str) -> None:
    async def scenario() -> None:
        peer = HttpPeer([(200, SDP, ANSWER)])
        async with session_with(peer) as session:
            peer.responses = [(201, {**SDP, "Location": location.format(port=peer.port)}, ANSWER)]
            await session.offer("v=0")
        path = "/lobby/whep?x/../1" if location.startswith("?") else "/there/1"
        assert [each.path for each in peer.asked] == ["/lobby/whep", path]

    run(scenario)


def test_a_token_is_told_as_such() -> None:
    async def scenario() -> None:
        peer = HttpPeer([(201, SDP, ANSWER)])
        async with session_with(peer, lambda url: url.replace("://", "://tok%20en@")) as session:
            await session.offer("v=0")
        (post,) = peer.asked  # without a Location there is nothing to be ended
        assert post.headers["authorization"] == "Bearer tok en"

    run(scenario)


def test_a_redirected_offer_is_made_again_where_it_leads() -> None:
    async def scenario() -> None:
        async with HttpPeer([(201, {**SDP, "Location": "/2"}, ANSWER)]).running() as other:
            first = {"Location": "/elsewhere/whep"}
            second = {"Location": other.url}
            peer = HttpPeer([(307, first, ""), (308, second, "")])
            async with session_with(peer, with_login) as session:
                assert await session.offer("v=0 offer") == ANSWER
            assert [each.path for each in peer.asked] == ["/lobby/whep", "/elsewhere/whep"]
            # What was given for one server is for no other.
            assert ["authorization" in each.headers for each in peer.asked] == [True, True]
            assert [each.method for each in other.asked] == ["POST", "DELETE"]
            assert other.asked[0].body == "v=0 offer"
            assert not any("authorization" in each.headers for each in other.asked)

    run(scenario)


def test_redirects_without_end_are_not_followed_without_end() -> None:
    async def scenario() -> None:
        peer = HttpPeer([(307, {"Location": "/again/whep"}, "")])
        async with session_with(peer) as session:
            with pytest.raises(ConnectError, match="without end"):
                await session.offer("v=0")
        assert len(peer.asked) == http_client.MAX_REDIRECTS + 1

    run(scenario)


@pytest.mark.parametrize("location", ["ftp://127.0.0.1/", "http://[", "http://a:b/"])
def test_a_redirect_to_nowhere_is_told(location: str) -> None:
    async def scenario() -> None:
        peer = HttpPeer([(307, {"Location": location}, "")])
        async with session_with(peer) as session:
            with pytest.raises(ConnectError, match=r"leads to an address|location"):
                await session.offer("v=0")

    run(scenario)


@pytest.mark.parametrize(
    ("status", "headers", "body", "sentence"),
    [
        (401, {}, "", "asks for a user and a password: .* http://USER:PASSWORD@127"),
        (403, TEXT, "Not for you.", r"forbids it: Not for you\."),
        (404, TEXT, "There is no stream 'lobby'.", r"^There is no stream 'lobby'\.$"),
        (404, {"Content-Type": "text/html"}, "<h1>", r"^There is no stream 'lobby' on 127.*\.$"),
        (406, TEXT, "H.265 was not offered", r"refuses \(406 Said\): H\.265 was not offered\."),
        (
            409,
            {"Content-Type": "application/problem+json"},
            '{"title": "no", "detail": "It is taken."}',
            r"refuses \(409 Said\): It is taken\.",
        ),
        (503, {"Content-Type": "application/json"}, '{"error": "full"}', r"\(503 Said\): full\."),
        (503, {"Content-Type": "application/json"}, "[" * 10_000, r"refuses \(503 Said\)\."),
        (503, TEXT, "\x1b[31m red\n" + 500 * "x", r"\[31m red x+…$"),
        (405, {}, "", "answered with 405 Said: is it the address of a stream for WebRTC"),
        (501, TEXT, "Eh?", r"with 501 Said: Eh\?: is it the"),
        (302, {"Location": "/"}, "", "answered with 302 Said"),
        (200, {"Content-Type": "text/html"}, "<html>", "answers with text/html, not with app"),
        (200, {}, "", "answers with something, not with"),
        (201, SDP, "v=0" + "x" * http_client.MAX_ANSWER_BYTES, "far too much"),
    ],
)
def test_refusals_are_told_in_the_servers_own_words(
    status: int, headers: dict[str, str], body: str, sentence: str
) -> None:
    async def scenario() -> None:
        async with session_with(HttpPeer([(status, headers, body)])) as session:
            with pytest.raises(ConnectError, match=sentence) as refusal:
                await session.offer("v=0")
            assert len(str(refusal.value)) < 500
            assert str(refusal.value).isprintable()
            if isinstance(refusal.value, HttpRefusedError):
                assert refusal.value.status == status

    run(scenario)


def test_a_wrong_password_is_not_repeated() -> None:
    async def scenario() -> None:
        async with session_with(HttpPeer([(401, TEXT, "It is wrong.")]), with_login) as session:
            with pytest.raises(HttpRefusedError, match="does not accept this login") as refusal:
                await session.offer("v=0")
            assert "cret" not in str(refusal.value)
            assert "cret" not in repr(parse_endpoint("http://anna:secret@h/whep"))

    run(scenario)


@pytest.mark.parametrize("status", [200, 204, 401, 404, 405])
def test_ice_servers_are_taken_where_the_server_tells_of_them(status: int) -> None:
    link = (
        '<stun:stun.example:19302>; rel="ice-server", <https://x/,y>; rel=next, '
        '<turn:turn.example?transport=tcp>; rel="ice-server"; username="anna"; '
        'credential="se\\"c;,ret"; credential-type="password"'
    )

    async def scenario() -> None:
        async with session_with(HttpPeer([(status, {"Link": link}, "")])) as session:
            assert await session.ice_servers() == (
                IceServer("stun", "stun.example", 19302),
                IceServer("turn", "turn.example", 3478, "anna", 'se"c;,ret', "tcp"),
            )

    run(scenario)


def test_a_server_that_does_not_tell_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_client, "OPTIONS_S", 0.1)

    async def scenario() -> None:
        peer = HttpPeer([(201, SDP, ANSWER)], answers=False)
        async with session_with(peer) as session:
            assert await session.ice_servers() == ()
            peer.answers = True
            assert await session.offer("v=0") == ANSWER

    run(scenario)


def test_a_silent_server_is_given_up() -> None:
    async def scenario() -> None:
        peer = HttpPeer([], answers=False)
        async with session_with(peer, timeout_s=0.2) as session:
            with pytest.raises(ConnectError, match=r"does not answer within 0\.2 s"):
                await session.offer("v=0")

    run(scenario)


def test_a_server_that_lets_nobody_go_is_left_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_client, "END_S", 0.2)

    async def scenario() -> None:
        peer = HttpPeer([(201, {**SDP, "Location": "/1"}, ANSWER)])
        async with session_with(peer) as session:
            await session.offer("v=0")
            peer.answers = False
            began = monotonic()
            await session.close()
            assert monotonic() - began < 0.5

    run(scenario)


def test_nobody_there_is_told() -> None:
    async def scenario() -> None:
        async with HttpPeer([]).running() as gone:
            port = gone.port
        for url, sentence in (
            (f"http://127.0.0.1:{port}/a/whep", "refuses the connection: is the server running"),
            (f"http://nobody.invalid:{port}/a/whep", "'nobody.invalid' does not resolve"),
        ):
            session = HttpSession(parse_endpoint(url), timeout_s=5)
            with pytest.raises(ConnectError, match=sentence):
                await session.ice_servers()
            await session.close()

    run(scenario)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    return self_signed(tmp_path_factory.mktemp("tls"))


def self_signed(folder: Path) -> ssl.SSLContext:
    from cryptography.hazmat.primitives import serialization as encoding

    from streamsocket.webrtc.certificate import Certificate

    certificate = Certificate.generate()
    file = folder / "both.pem"
    file.write_bytes(
        certificate.x509.public_bytes(encoding.Encoding.PEM)
        + certificate.key.private_bytes(
            encoding.Encoding.PEM, encoding.PrivateFormat.PKCS8, encoding.NoEncryption()
        )
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_a_certificate_that_nobody_trusts_is_not_taken_unless_it_is_wanted(
    tls: ssl.SSLContext,
) -> None:
    async def scenario() -> None:
        peer = HttpPeer([(201, {**SDP, "Location": "/1"}, ANSWER)], tls)
        async with session_with(peer) as session:
            with pytest.raises(ConnectError, match=r"certificate of 127.* not trusted .*#insecure"):
                await session.offer("v=0")
        assert not peer.asked
        async with session_with(peer, lambda url: f"{url}#insecure") as session:
            assert await session.offer("v=0") == ANSWER
        assert [each.method for each in peer.asked] == ["POST", "DELETE"]

    run(scenario)


def test_a_redirect_to_https_is_checked_and_one_away_from_it_refused(tls: ssl.SSLContext) -> None:
    async def scenario() -> None:
        async with HttpPeer([(201, SDP, ANSWER)], tls).running() as safe:
            async with session_with(HttpPeer([(307, {"Location": safe.url}, "")])) as session:
                with pytest.raises(ConnectError, match="is not trusted"):
                    await session.offer("v=0")
            assert not safe.asked
        async with HttpPeer([(201, SDP, ANSWER)]).running() as open_one:
            unsafe = HttpPeer([(307, {"Location": open_one.url}, "")], tls)
            async with session_with(unsafe, lambda url: f"{url}#insecure") as session:
                with pytest.raises(ConnectError, match="leads away from https"):
                    await session.offer("v=0")
            assert not open_one.asked

    run(scenario)


@pytest.mark.parametrize(
    ("scheme", "answer", "sentence"),
    [
        ("http", b"RTSP/1.0 400 Bad Request\r\n\r\n", "does not speak HTTP"),
        ("http", b"", "does not speak HTTP"),
        ("https", b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak TLS: is http:// meant"),
        ("https", b"", "No TLS connection to 127|does not speak HTTP"),
    ],
)
def test_what_speaks_something_else_is_told(scheme: str, answer: bytes, sentence: str) -> None:
    async def scenario() -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(100)
            writer.write(answer)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoint = parse_endpoint(f"{scheme}://127.0.0.1:{port}/a/whep")
        session = HttpSession(endpoint, timeout_s=5)
        with pytest.raises(ConnectError, match=sentence):
            await session.offer("v=0")
        await session.close()
        server.close()
        await server.wait_closed()

    run(scenario)


@given(st.text(st.sampled_from('<>;,="\\ stun:turnrelice-server.aé\x00'), max_size=200))
def test_any_link_header_is_read(text: str) -> None:
    assert all(isinstance(each, IceServer) for each in read_links([text]))
