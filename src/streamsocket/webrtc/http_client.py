"""The client's half of WHIP and WHEP: offers and answers over HTTP (RFC 9725)."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import ssl
from collections.abc import AsyncGenerator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import urljoin

from streamsocket.errors import ConnectError, ParseError
from streamsocket.tls import client_context
from streamsocket.version import __version__
from streamsocket.webrtc import seal
from streamsocket.webrtc.endpoint import INSECURE, Endpoint, parse_endpoint
from streamsocket.webrtc.ice_server import IceServer

if TYPE_CHECKING:
    import httpx

SDP = "application/sdp"
MAX_ANSWER_BYTES = 128 * 1024
MAX_REDIRECTS = 5
MAX_ICE_SERVERS = 16
END_S = 1.0
"""How long leaving may take."""
OPTIONS_S = 2.0
"""A server that doesn't say by then which STUN and TURN servers to use has none."""

_REDIRECTS = (307, 308)  # those by which a POST stays one (RFC 9110, 15.4)
_LINK = re.compile(r'<([^<>]{1,1000})>((?:\s*;\s*[\w*-]+\s*=\s*(?:"(?:[^"\\]|\\.)*"|[^",;\s]*))*)')
_PARAMETER = re.compile(r';\s*([\w*-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^",;\s]*))')
_MAX_REASON = 300
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE", "RECORD_LAYER_FAILURE")


class HttpRefusedError(ConnectError):
    """The server has answered, but not with what was asked for."""

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status
        """HTTP's."""


class HttpSession:
    """One session with a server: `ice_servers` if they are wanted, `offer`, and `close` always.

    Every step but `close` raises ConnectError with a sentence for the user, at the latest
    `timeout_s` seconds after the first began.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float) -> None:
        self.server: str | None = None
        """What the server calls itself."""
        self.round_trip_s: float | None = None
        """How soon the server has answered at its quickest."""
        self._endpoint = endpoint
        self._timeout_s = timeout_s
        self._deadline: float | None = None
        self._clients: dict[str, httpx.AsyncClient] = {}
        """By scheme: over https certificates are checked."""
        self._session: Endpoint | None = None

    async def ice_servers(self) -> tuple[IceServer, ...]:
        """The STUN and TURN servers that the server tells of (RFC 9725, 4.6): none if it doesn't.

        Raises ConnectError if it can't be reached.
        """
        try:
            async with asyncio.timeout(OPTIONS_S):
                async with self._asked("OPTIONS", self._endpoint) as response:
                    links = response.headers.get_list("link")
        except TimeoutError:
            return ()  # whether it can be reached at all will show
        return tuple(read_links(links))

    async def offer(self, text: str) -> str:
        """Begin the session with an offer; returns the answer."""
        endpoint = self._endpoint
        for _ in range(MAX_REDIRECTS + 1):
            async with self._asked("POST", endpoint, text) as response:
                if response.status_code in _REDIRECTS:
                    endpoint = _redirected(endpoint, response.headers.get("location", ""))
                    continue
                body = await _body(response, endpoint)
                if response.is_success:
                    _check_seal(endpoint, response, text, body)
                    return self._begun(endpoint, response, body)
                raise HttpRefusedError(_refusal(endpoint, response, body), response.status_code)
        raise ConnectError(
            f"{self._endpoint.address} leads from one address to the next without end."
        )

    async def close(self) -> None:
        """End the session on the server, in a second at most, and hang up."""
        if not self._clients:
            return
        import httpx

        session, self._session = self._session, None
        try:
            async with asyncio.timeout(END_S):
                if session:
                    client = await self._client(session)
                    await client.delete(session.url, headers=_headers(session, "DELETE"))
        except (TimeoutError, httpx.HTTPError):
            pass  # it will find out by itself
        finally:
            clients, self._clients = self._clients, {}
            for each in clients.values():
                await each.aclose()

    def _begun(self, endpoint: Endpoint, response: httpx.Response, body: str) -> str:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if location := response.headers.get("location"):
            with suppress(ParseError):
                self._session = _led_on(endpoint, location)
        if kind != SDP and not body.startswith("v=0"):
            raise ConnectError(
                f"{endpoint.url} answers with {kind or 'something'}, not with {SDP}: is it the "
                "address of a stream for WebRTC?"
            )
        return body

    async def _client(self, endpoint: Endpoint) -> httpx.AsyncClient:
        import httpx

        if (client := self._clients.get(endpoint.scheme)) is None:
            verify: ssl.SSLContext | bool = False
            if endpoint.scheme == "https":
                # The certificates that are trusted are read from the disk.
                verify = await asyncio.to_thread(client_context, verify=endpoint.verify)
            # Nothing of proxies: the pictures would not go through them.
            client = httpx.AsyncClient(verify=verify, trust_env=False, timeout=None)
            self._clients[endpoint.scheme] = client
        return client

    @asynccontextmanager
    async def _asked(
        self, method: str, endpoint: Endpoint, text: str = ""
    ) -> AsyncGenerator[httpx.Response]:
        """The response to a request, its body yet to be read."""
        import httpx

        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + self._timeout_s
        client = await self._client(endpoint)
        headers = _headers(endpoint, method, text)
        if text:
            headers |= {"Content-Type": SDP, "Accept": SDP}
        began = monotonic()
        try:
            async with asyncio.timeout_at(self._deadline):
                async with client.stream(
                    method, endpoint.url, headers=headers, content=text.encode()
                ) as response:
                    self.server = response.headers.get("server") or self.server
                    self.round_trip_s = min(monotonic() - began, self.round_trip_s or 60.0)
                    yield response
        except TimeoutError:
            raise ConnectError(
                f"{endpoint.address} does not answer within {self._timeout_s:g} s: is the address "
                "right, and does a firewall let it through?"
            ) from None
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ConnectError(_failure(endpoint, error)) from None


def _headers(endpoint: Endpoint, method: str, text: str = "") -> dict[str, str]:
    headers = {"User-Agent": f"StreamSocket/{__version__}"}
    if endpoint.seal:
        headers[seal.HEADER] = endpoint.seal.of_request(method, endpoint.path, text)
    if endpoint.authorization:
        headers["Authorization"] = endpoint.authorization
    return headers


def _check_seal(endpoint: Endpoint, response: httpx.Response, offer: str, answer: str) -> None:
    """Refuse an answer from somebody who doesn't know the secret, or that was changed since."""
    if endpoint.seal is None:
        return
    own = endpoint.seal.of_answer(endpoint.path, offer, answer)
    if not seal.is_same(own, response.headers.get(seal.HEADER)):
        raise ConnectError(
            f"The answer of {endpoint.address} is not sealed with the secret: somebody else may "
            "have answered, or changed it."
        )


def _redirected(endpoint: Endpoint, location: str) -> Endpoint:
    try:
        target = _led_on(endpoint, location)
    except ParseError:
        raise ConnectError(f"{endpoint.address} leads to an address that is none.") from None
    if endpoint.scheme == "https" and target.scheme != "https":
        raise ConnectError(f"{endpoint.address} leads away from https to an unencrypted address.")
    return target


def _led_on(endpoint: Endpoint, location: str) -> Endpoint:
    """Where a Location leads to. What was given for one server is for no other."""
    try:
        target = parse_endpoint(urljoin(endpoint.url, location))
    except ValueError:
        raise ParseError("This is no URL to be led on to.") from None
    if target.authorization is None and target.origin == endpoint.origin:
        target = replace(target, authorization=endpoint.authorization)
    same = endpoint.seal if target.origin == endpoint.origin else None
    return replace(target, verify=endpoint.verify, seal=same)


async def _body(response: httpx.Response, endpoint: Endpoint) -> str:
    body = bytearray()
    async for chunk in response.aiter_bytes():
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise ConnectError(f"{endpoint.url} answers with far too much: is it a stream's?")
    return body.decode(errors="replace")


def read_links(headers: Iterable[str]) -> Iterator[IceServer]:
    """The STUN and TURN servers in `Link` headers (RFC 8288); others are passed over."""
    found = (match for header in headers for match in _LINK.finditer(header[:8192]))
    for _, match in zip(range(MAX_ICE_SERVERS), found, strict=False):
        parameters = {
            name.lower(): re.sub(r"\\(.)", r"\1", quoted) or plain
            for name, quoted, plain in _PARAMETER.findall(match[2])
        }
        if "ice-server" not in parameters.get("rel", "").split():
            continue
        with suppress(ParseError):
            yield IceServer.parse(
                match[1], parameters.get("username", ""), parameters.get("credential", "")
            )


def _refusal(endpoint: Endpoint, response: httpx.Response, body: str) -> str:
    status, address = response.status_code, endpoint.address
    reason = _printable(response.reason_phrase)
    said = _said(response.headers.get("content-type", ""), body)
    answered = f"{status} {reason}".strip()
    because = f": {said}" if said else "."
    match status:
        case 401 if endpoint.seal:
            return f"{address} does not take this secret{because}"
        case 401 if endpoint.authorization is None:
            return (
                f"{address} asks for a user and a password: give them in the URL, as "
                f"{endpoint.scheme}://USER:PASSWORD@{address}/…"
            )
        case 401:
            return f"{address} does not accept this login{because}"
        case 403:
            return f"{address} forbids it{because}"
        case 404 if said and said != f"{reason}.":
            return said
        case 404 if endpoint.url.rstrip("/").endswith(("/whep", "/whip")):
            return f"There is no stream {endpoint.name!r} on {address}."
        case 406 | 409 | 429 | 503:
            return f"{address} refuses ({answered}){because}"
        case _:
            return (
                f"{endpoint.url} answered with {answered}{because if said else ''}: is it the "
                "address of a stream for WebRTC, as http://HOST/NAME/whep or, to publish, …/whip?"
            )


def _said(content_type: str, body: str) -> str:
    """What the server says in words: plain text, a problem's detail (RFC 9457), or an error."""
    kind = content_type.partition(";")[0].strip().lower()
    if kind == "text/plain":
        return _sentence(body)
    if kind.endswith("json"):
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            return ""
        if isinstance(told, dict):
            for name in ("detail", "error", "message", "title"):
                if isinstance(told.get(name), str):
                    return _sentence(told[name])
    return ""


def _sentence(text: str) -> str:
    shown = _printable(text)
    return shown if not shown or shown[-1] in ".!?…" else f"{shown}."


def _printable(text: str) -> str:
    words = " ".join(text[: 4 * _MAX_REASON].split())
    shown = "".join(char for char in words if char.isprintable())
    return shown if len(shown) <= _MAX_REASON else shown[: _MAX_REASON - 1] + "…"


def _failure(endpoint: Endpoint, error: Exception) -> str:
    address = endpoint.address
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"The certificate of {address} is not trusted "
                f"({cause.verify_message.rstrip('.')}): name a file with it in the environment "
                f"variable SSL_CERT_FILE, or end the URL with #{INSECURE} to do without."
            )
        if isinstance(cause, ssl.SSLError) and cause.reason in _NO_TLS:
            return f"{address} does not speak TLS: is http:// meant, or another port?"
        if isinstance(cause, ssl.SSLError):
            return f"No TLS connection to {address} can be made: {cause.reason or cause}."
        if isinstance(cause, socket.gaierror):
            return f"The name {endpoint.host!r} does not resolve: is it spelt right?"
        if isinstance(cause, ConnectionRefusedError):
            return (
                f"{address} refuses the connection: is the server running, and on port "
                f"{endpoint.port}?"
            )
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return f"{address} cannot be reached: {cause.strerror}."
    return f"{address} does not speak HTTP as it should ({_printable(str(error)) or 'no answer'})."


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An error, and those that it comes from."""
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop(0)
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        yield each
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        waiting += [each.__cause__, each.__context__]
