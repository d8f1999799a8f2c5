"""WHIP and WHEP: WebRTC's offers and answers over HTTP (RFC 9725, draft-ietf-wish-whep)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeVar
from urllib.parse import quote, urlsplit

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from streamsocket.auth.access import AccessDeniedError
from streamsocket.auth.authorization import CHALLENGE, Credentials, credentials_of
from streamsocket.errors import ConversionError, ParseError, StreamSocketError
from streamsocket.matching.match import NothingFitsError
from streamsocket.webrtc import seal
from streamsocket.webrtc.ice_table import TooManyPeersError
from streamsocket.webrtc.sdp import MAX_BYTES
from streamsocket.webrtc.sdp_fragment import CONTENT_TYPE as FRAGMENT
from streamsocket.webrtc.seal import Seal
from streamsocket.webrtc.server import (
    Answer,
    Asker,
    NoSuchSessionError,
    NoSuchStreamError,
    OtherSessionError,
    WebRtcServer,
)

SDP = "application/sdp"

_RETRY_S = "5"
_HEADERS = {401: {"WWW-Authenticate": CHALLENGE}, 503: {"Retry-After": _RETRY_S}}

_LOOPBACK = ("localhost", "127.0.0.1", "::1")

_T = TypeVar("_T")

_Handler = Callable[[Request], Awaitable[Response]]
_Ask = Callable[..., Coroutine[Any, Any, Answer]]


class _RefusedError(Exception):
    """A request that is answered with an error."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class WebRtcRoutes:
    """The routes. They run on HTTP's thread and ask the media thread."""

    def __init__(
        self,
        server: WebRtcServer,
        media: asyncio.AbstractEventLoop,
        ice_servers: Sequence[str] = (),
        refused: Counter[str] | None = None,
        sealed_by: Credentials | None = None,
    ) -> None:
        """`media` is the loop that the server belongs to; of `ice_servers` peers are told.

        `refused` counts by status what is answered with an error: `http_400`, … With `sealed_by`,
        requests have to be sealed with that user's password, and count as that user's.
        """
        self._sealed_by = sealed_by
        self._seal = Seal(sealed_by.password or "") if sealed_by else None
        self._server = server
        self._media = media
        self._refused: Counter[str] = Counter() if refused is None else refused
        self._links = ", ".join(ice_server_link(each) for each in ice_servers)

    def routes(self) -> list[Route]:
        """The routes, to be put behind all others."""
        found = []
        for kind, ask in (("whep", self._server.watch), ("whip", self._server.publish)):
            endpoint, session = f"/{{name:path}}/{kind}", f"/{{name:path}}/{kind}/{{session}}"
            begin = self._handled(partial(self._begin, kind, ask))
            found += [
                Route(endpoint, begin, methods=["POST"]),
                Route(endpoint, self._describe, methods=["OPTIONS"]),
                Route(session, self._handled(self._end), methods=["DELETE"]),
                Route(session, self._handled(self._update), methods=["PATCH"]),
                Route(session, self._describe_session, methods=["OPTIONS"]),
            ]
        return found

    async def _begin(self, kind: str, ask: _Ask, request: Request) -> Response:
        name = request.path_params["name"]
        text = await _body(request, SDP)
        self._check_seal(request, text)
        answer = await self._ask(ask(name, text, self._asker(request)))
        location = f"/{quote(name)}/{kind}/{answer.session}"
        headers = {"Location": location, "ETag": f'"{answer.tag}"', "Accept-Patch": FRAGMENT}
        if self._links:
            headers["Link"] = self._links
        if self._seal:
            headers[seal.HEADER] = self._seal.of_answer(_path(request), text, answer.text)
        return Response(answer.text, 201, headers, media_type=SDP)

    async def _end(self, request: Request) -> Response:
        self._check_seal(request)
        await self._ask(
            self._server.end(request.path_params["name"], request.path_params["session"])
        )
        return Response()

    async def _update(self, request: Request) -> Response:
        text = await _body(request, FRAGMENT)
        self._check_seal(request, text)
        condition = request.headers.get("if-match")
        if condition is None:
            # By RFC 9725, 4.3.1 a PATCH has to say what it is about.
            raise _RefusedError(428, "Say with If-Match which ICE session is meant.")
        answer = await self._ask(
            self._server.update(
                request.path_params["name"],
                request.path_params["session"],
                text,
                condition.strip().strip('"'),
                _own_address(request),
            )
        )
        if not answer.text:
            return Response(status_code=204)
        headers = {"ETag": f'"{answer.tag}"'}
        return Response(answer.text, 200, headers, media_type=FRAGMENT)

    def _check_seal(self, request: Request, text: str = "") -> None:
        if self._seal is None:
            return
        own = self._seal.of_request(request.method, _path(request), text)
        if not seal.is_same(own, request.headers.get(seal.HEADER)):
            raise _RefusedError(401, "The request is not sealed with the secret of this server.")

    def _asker(self, request: Request) -> Asker:
        host = request.client.host if request.client else ""
        credentials = self._sealed_by or credentials_of(request.headers.get("authorization"))
        return Asker(host, _own_address(request), credentials)

    async def _describe(self, request: Request) -> Response:
        headers = {"Accept-Post": SDP}
        if self._links:
            headers["Link"] = self._links
        return self._options(request, "POST, OPTIONS", headers)

    async def _describe_session(self, request: Request) -> Response:
        return self._options(request, "PATCH, DELETE, OPTIONS", {"Accept-Patch": FRAGMENT})

    def _options(self, request: Request, methods: str, headers: dict[str, str]) -> Response:
        headers["Allow"] = methods
        if allowed := _cross_origin(request):
            headers |= allowed
            headers["Access-Control-Allow-Methods"] = methods
            headers["Access-Control-Allow-Headers"] = "Authorization, Content-Type, If-Match"
        return Response(status_code=204, headers=headers)

    def _handled(self, handle: _Handler) -> _Handler:
        """The handler with errors made answers, and with the headers that pages need."""

        async def handled(request: Request) -> Response:
            try:
                response = await handle(request)
            except _RefusedError as error:
                self._refused[f"http_{error.status}"] += 1
                response = PlainTextResponse(str(error), error.status)
            except StreamSocketError as error:
                status = _status(error)
                headers = _HEADERS.get(status, {})
                self._refused[f"http_{status}"] += 1
                response = PlainTextResponse(str(error), status, headers)
            response.headers.update(_cross_origin(request))
            return response

        return handled

    async def _ask(self, question: Coroutine[Any, Any, _T]) -> _T:
        """Have the media thread answer, without waiting for it on this one."""
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(question, self._media))


def ice_server_link(server: str) -> str:
    """A STUN or TURN server for the `Link` header (RFC 9725, 4.6): `turn:USER:PASSWORD@HOST`."""
    scheme, _, rest = server.partition(":")
    login, at, host = rest.rpartition("@")
    link = f'<{scheme}:{host}>; rel="ice-server"'
    if at:
        user, _, password = login.partition(":")
        link += f'; username="{user}"; credential="{password}"; credential-type="password"'
    return link


def _status(error: StreamSocketError) -> int:
    match error:
        case AccessDeniedError(ask=True):
            return 401
        case AccessDeniedError():
            return 403
        case NoSuchStreamError() | NoSuchSessionError():
            return 404
        case NothingFitsError():
            return 406
        case OtherSessionError():
            return 412
        case TooManyPeersError() | ConversionError():
            return 503
        case ParseError():
            return 400
        case _:
            return 409


async def _body(request: Request, content_type: str) -> str:
    """The request's text, if it is of that type and not too long."""
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given != content_type:
        raise _RefusedError(415, f"The body has to be {content_type}, not {given or 'untyped'}.")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BYTES:
            raise _RefusedError(413, f"The body is longer than {MAX_BYTES} bytes.")
    try:
        return body.decode()
    except UnicodeDecodeError:
        raise _RefusedError(400, "The body is not UTF-8.") from None


def _path(request: Request) -> str:
    """The path of the request, decoded: what it is sealed with."""
    return request.url.path.strip("/")


def _own_address(request: Request) -> str:
    server = request.scope.get("server")
    return str(server[0]) if server else ""


def _cross_origin(request: Request) -> dict[str, str]:
    """What lets a page read the answer: one of this server's own, or of this machine.

    Of others none, as everywhere here: any page in the world could use what a browser behind the
    firewall reaches.
    """
    origin = request.headers.get("origin", "")
    try:
        host = urlsplit(origin).hostname
    except ValueError:
        return {}
    if not host or host not in (*_LOOPBACK, request.url.hostname):
        return {}
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Expose-Headers": "Location, ETag, Link, Accept-Patch",
        "Vary": "Origin",
    }
