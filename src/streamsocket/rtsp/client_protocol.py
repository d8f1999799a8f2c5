"""One connection to an RTSP server, as the client sees it: requests to send, bytes in, events out.

The half that owns the socket sends OPTIONS, DESCRIBE, SETUP for each track, PLAY, keep-alives and
TEARDOWN, in this order and each after the answer to the one before; what the answers mean is
known here (RFC 2326).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from streamsocket.errors import ParseError
from streamsocket.rtsp import sdp
from streamsocket.rtsp.authentication import Credentials, parse_challenges
from streamsocket.rtsp.headers import (
    DEFAULT_SESSION_TIMEOUT_S,
    KEEP_TIMESTAMPS,
    RtpInfo,
    TransportSpec,
    parse_rtp_info,
    parse_session,
    parse_transport,
)
from streamsocket.rtsp.message import Frames, Headers, Message, Parser, Request, Response
from streamsocket.rtsp.sdp import Media, SessionDescription
from streamsocket.rtsp.url import ServerUrl, parse_server_url

USER_AGENT = "StreamSocket"

MAX_REDIRECTS = 5
MAX_UNANSWERED = 16
"""A server that never answers is the caller's to give up; what waits for it stays small."""

_REDIRECTIONS = (301, 302, 303, 307)
_METHOD_UNKNOWN = (405, 451, 501, 551)


@dataclass(frozen=True, slots=True)
class Responded:
    """The server has granted a request."""

    method: str
    response: Response
    description: SessionDescription | None = None
    """DESCRIBE: what the stream is made of."""
    transport: TransportSpec | None = None
    """SETUP: what was agreed, where the answer says nothing as it was asked for."""
    rtp_info: tuple[RtpInfo, ...] = ()
    """PLAY: where each track begins, where the server says it."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The server has not granted a request."""

    method: str
    response: Response
    sentence: str
    """What that means, for the person in front of the screen."""

    @property
    def status(self) -> int:
        """The answer's status code."""
        return self.response.status


@dataclass(frozen=True, slots=True)
class Redirected:
    """The stream is elsewhere: connect to `protocol.server` and begin again with `protocol`."""

    protocol: ClientProtocol


@dataclass(frozen=True, slots=True)
class SendNeeded:
    """Send these bytes: a request once more, now with credentials, or an answer to the server."""

    data: bytes


@dataclass(frozen=True, slots=True)
class InterleavedReceived:
    """Packets on the channels that SETUP agreed on."""

    frames: list[tuple[int, bytes]]
    """Channel and packet of each, in order."""


Event = Responded | Refused | Redirected | SendNeeded | InterleavedReceived


@dataclass(slots=True)
class _Pending:
    """A request that waits for its answer."""

    request: Request
    transport: TransportSpec | None = None
    is_keep_alive: bool = False
    with_credentials: bool = False
    retries_left: int = 2
    """Once because it is asked who we are, once because the server's nonce grew old."""


class ClientProtocol:
    """The rules of one connection. Raises ParseError for a URL that is none."""

    def __init__(self, url: str | ServerUrl, *, redirects: int = 0) -> None:
        self.server = url if isinstance(url, ServerUrl) else parse_server_url(url)
        """Where to connect to."""
        self.keep_alive_interval_s = DEFAULT_SESSION_TIMEOUT_S / 2
        """How often to send `request_keep_alive` while the session lives."""
        self._redirects = redirects
        self._credentials = (
            Credentials(self.server.user, self.server.password) if self.server.user else None
        )
        self._parser = Parser()
        self._cseq = 0
        self._pending: dict[str, _Pending] = {}
        self._session_id: str | None = None
        self._control_url = self.server.url
        self._keep_alive_method = "OPTIONS"

    # Requests.

    def request_options(self) -> bytes:
        """Ask what the server can do."""
        return self._request("OPTIONS", self.server.url)

    def request_describe(self) -> bytes:
        """Ask what the stream is made of."""
        return self._request("DESCRIBE", self.server.url, {"Accept": "application/sdp"})

    def track_url(self, media: Media) -> str:
        """What a track is asked for under, and what RTP-Info calls it."""
        return sdp.resolve_control(self._control_url, media.control)

    def request_setup(self, media: Media, transport: TransportSpec) -> bytes:
        """Ask for one track over a transport."""
        headers = {"Transport": transport.serialise()}
        return self._request("SETUP", self.track_url(media), headers, transport=transport)

    def request_announce(self, description: str) -> bytes:
        """Say what we are going to publish, in SDP."""
        headers = {"Content-Type": "application/sdp"}
        return self._request("ANNOUNCE", self.server.url, headers, body=description.encode())

    def request_record_setup(self, control: str, transport: TransportSpec) -> bytes:
        """Ask for one track that was announced to be received over a transport."""
        url = sdp.resolve_control(self.server.url, control)
        headers = {"Transport": transport.serialise()}
        return self._request("SETUP", url, headers, transport=transport)

    def request_record(self) -> bytes:
        """Ask the server to take what is sent from now on."""
        return self._request("RECORD", self.server.url, {"Range": "npt=0.000-"})

    def request_play(self, *, keep_timestamps: bool = False) -> bytes:
        """Ask for what was set up to begin.

        Without a Range: `npt=0.000-` makes some servers seek, for all who watch the stream.
        `keep_timestamps` asks a server like ours not to squeeze those of the first pictures.
        """
        headers = {KEEP_TIMESTAMPS: "kept"} if keep_timestamps else {}
        return self._request("PLAY", self._control_url, headers)

    def request_pause(self) -> bytes:
        """Ask the server to send nothing until PLAY."""
        return self._request("PAUSE", self._control_url)

    def request_teardown(self) -> bytes:
        """End the session."""
        return self._request("TEARDOWN", self._control_url)

    def request_keep_alive(self) -> bytes:
        """Show that we are still there, in the way that the server knows."""
        return self._request(self._keep_alive_method, self._control_url, is_keep_alive=True)

    def _request(
        self,
        method: str,
        url: str,
        headers: dict[str, str] | None = None,
        *,
        body: bytes = b"",
        transport: TransportSpec | None = None,
        is_keep_alive: bool = False,
    ) -> bytes:
        request = Request(method, url, Headers(headers or {}), body)
        return self._send(_Pending(request, transport, is_keep_alive))

    def _send(self, pending: _Pending) -> bytes:
        self._cseq += 1
        self._pending[str(self._cseq)] = pending
        if len(self._pending) > MAX_UNANSWERED:
            del self._pending[next(iter(self._pending))]
        request = pending.request
        headers = Headers({"CSeq": str(self._cseq), "User-Agent": USER_AGENT})
        if self._session_id:
            headers.add("Session", self._session_id)
        for name, value in request.headers.items():
            headers.add(name, value)
        if self._credentials:
            authorization = self._credentials.authorization(request.method, request.url)
            pending.with_credentials = authorization is not None
            if authorization is not None:
                headers.add("Authorization", authorization)
        return Request(request.method, request.url, headers, request.body).serialise()

    # Answers.

    def receive(self, data: bytes | bytearray | memoryview) -> Iterator[Event]:
        """Take bytes from the server and yield what they mean.

        Raises ParseError, after what came before it, for an answer that makes no sense; the
        connection is of no more use then.
        """
        return self._events(self._parser.feed(data))

    def _events(self, messages: Iterator[Message]) -> Iterator[Event]:
        for message in messages:
            match message:
                case Frames(frames):
                    yield InterleavedReceived(frames)
                case Request():
                    yield SendNeeded(_answer(message).serialise())
                case Response():
                    pending = self._pending_for(message)
                    event = self._understand(pending, message) if pending else None
                    if event:
                        yield event

    def _pending_for(self, response: Response) -> _Pending | None:
        """The request that is answered; one without a CSeq answers the oldest."""
        if response.status < 200 or not self._pending:
            return None
        cseq = response.headers.get("CSeq") or next(iter(self._pending))
        return self._pending.pop(cseq.lstrip("0"), None)

    def _understand(self, pending: _Pending, response: Response) -> Event | None:
        status = response.status
        if 200 <= status < 300:
            return self._granted(pending, response)
        if status in _REDIRECTIONS and "Location" in response.headers:
            return self._redirected(pending, response)
        if status == 401 and (again := self._authenticate(pending, response)):
            return SendNeeded(again)
        if pending.is_keep_alive and status in _METHOD_UNKNOWN:
            # It has heard us all the same, and will understand OPTIONS the next time.
            self._keep_alive_method = "OPTIONS"
            return None
        return self._refused(pending, response)

    def _granted(self, pending: _Pending, response: Response) -> Responded:
        method = pending.request.method
        headers = response.headers
        description, transport, rtp_info = None, None, None
        match method:
            case "OPTIONS":
                self._keep_alive_method = _keep_alive_method(headers)
            case "DESCRIBE":
                description = sdp.parse(response.body.decode("utf-8", "replace"))
                base = _base_url(headers, self.server.url)
                self._control_url = sdp.resolve_control(base, description.control)
            case "SETUP":
                if "Session" in headers:
                    session = parse_session(headers.get("Session", ""))
                    self._session_id = session.id
                    self.keep_alive_interval_s = max(1.0, session.timeout_s / 2)
                transport = _agreed(pending.transport, headers.get("Transport", ""))
            case "PLAY":
                rtp_info = parse_rtp_info(headers.get("RTP-Info", ""))
            case "TEARDOWN":
                self._session_id = None
        return Responded(method, response, description, transport, tuple(rtp_info or ()))

    def _authenticate(self, pending: _Pending, response: Response) -> bytes | None:
        """The request once more with credentials; None if there is no use in that."""
        challenges = parse_challenges(response.headers.get_all("WWW-Authenticate"))
        is_stale = any(c.parameters.get("stale", "").lower() == "true" for c in challenges)
        if self._credentials is None or (pending.with_credentials and not is_stale):
            return None
        if pending.retries_left == 0 or not self._credentials.accept(challenges):
            return None
        pending.retries_left -= 1
        return self._send(pending)

    def _redirected(self, pending: _Pending, response: Response) -> Event:
        if self._redirects >= MAX_REDIRECTS:
            sentence = f"{self._address} leads from one address to the next without end."
            return Refused(pending.request.method, response, sentence)
        target = parse_server_url(response.headers.get("Location", ""))
        own = self.server
        if (target.scheme, target.host, target.port) == (own.scheme, own.host, own.port):
            # What was given for this server is for no other, nor to be sent unencrypted.
            if target.user is None:
                target = replace(target, user=own.user, password=own.password)
            target = replace(target, verify=own.verify)
        return Redirected(ClientProtocol(target, redirects=self._redirects + 1))

    def _refused(self, pending: _Pending, response: Response) -> Refused:
        method = pending.request.method
        match response.status:
            case 401 if self._credentials is None:
                sentence = (
                    f"{self._address} asks for a user and a password: give them in the URL, as "
                    f"{self.server.scheme}://USER:PASSWORD@{self._address}/…"
                )
            case 401:
                sentence = f"{self._address} does not accept this user and password."
            case 403:
                sentence = f"{self._address} forbids it: {_reason(response)}."
            case 404:
                sentence = f"There is no stream {self.server.path!r} on {self._address}."
            case 454:
                sentence = f"{self._address} has ended the session: connect again."
            case 461:
                sentence = f"{self._address} does not send over this transport: try another one."
            case _:
                sentence = f"{self._address} answered {method} with {_reason(response)}."
        return Refused(method, response, sentence)

    @property
    def _address(self) -> str:
        host = f"[{self.server.host}]" if ":" in self.server.host else self.server.host
        return f"{host}:{self.server.port}"


def _answer(request: Request) -> Response:
    """What a server is told that asks something of us (RFC 2326, 10.1 and 10.8)."""
    is_keep_alive = request.method in ("OPTIONS", "GET_PARAMETER", "SET_PARAMETER")
    response = Response(200, "OK") if is_keep_alive else Response(501, "Not Implemented")
    response.headers.add("CSeq", request.headers.get("CSeq", "0"))
    return response


def _keep_alive_method(headers: Headers) -> str:
    methods = ",".join(headers.get_all("Public")).upper().split(",")
    return "GET_PARAMETER" if "GET_PARAMETER" in map(str.strip, methods) else "OPTIONS"


def _base_url(headers: Headers, request_url: str) -> str:
    """What relative control URLs are relative to (RFC 2326, C.1.1)."""
    for name in ("Content-Base", "Content-Location"):
        value = headers.get(name, "").strip()
        if value.lower().startswith(("rtsp://", "rtsps://")):
            return value
    return request_url


def _agreed(asked: TransportSpec | None, answered: str) -> TransportSpec | None:
    """What a SETUP has agreed on; what the answer leaves out is as it was asked for."""
    specs = parse_transport(answered)
    if asked is None or not specs:
        return asked
    spec = specs[0]
    if spec.protocol != asked.protocol:
        raise ParseError(f"The server answered SETUP with another transport: {answered[:80]!r}.")
    return replace(
        spec,
        client_ports=spec.client_ports or asked.client_ports,
        interleaved=spec.interleaved or asked.interleaved,
        server_ports=spec.server_ports if spec.server_ports and spec.server_ports[0] else None,
    )


def _reason(response: Response) -> str:
    printable = "".join(char for char in response.reason if char.isprintable())
    return f"{response.status} {printable[:200]}".strip().rstrip(".")  # ours is a sentence
