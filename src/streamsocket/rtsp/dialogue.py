"""A conversation with an RTSP server: the connection, requests, and what is answered.

The rules are in `client_protocol.py`. What is done with the conversation, playing or publishing, is
for those who hold it.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
from collections.abc import Callable
from ipaddress import ip_address
from math import inf
from time import monotonic, time
from typing import Protocol

from streamsocket.errors import ConnectError, ParseError
from streamsocket.rtsp.client_protocol import (
    ClientProtocol,
    InterleavedReceived,
    Redirected,
    Refused,
    Responded,
    SendNeeded,
)
from streamsocket.rtsp.url import INSECURE
from streamsocket.tls import client_context

_SESSION_NOT_FOUND = 454
_ATTEMPT_S = 0.25
"""How long one of a name's addresses is tried before the next is, too (RFC 8305)."""


class RefusedError(ConnectError):
    """The server has refused a request."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.sentence)
        self.status = refused.status
        self.reason = refused.response.reason


class NonsenseError(ConnectError):
    """What the server answered cannot be understood."""


class ElsewhereError(ConnectError):
    """The server has sent us elsewhere."""

    def __init__(self, protocol: ClientProtocol) -> None:
        server = protocol.server
        super().__init__(f"The server sends us to {server.url} in the middle of setting up.")
        self.protocol = protocol


class Listener(Protocol):
    """Who holds the conversation."""

    def frames(self, frames: list[tuple[int, bytes]], arrival: float) -> None:
        """Packets have come on the connection's channels."""

    def lost(self, failure: ConnectError) -> None:
        """The connection is of no more use; nobody waits for an answer."""

    def writable(self, is_writable: bool) -> None:
        """Whether the connection takes more at the moment."""


class Dialogue:
    """One connection to a server. Every step raises ConnectError, a sentence for the user."""

    def __init__(self, url: str, listener: Listener, *, timeout_s: float) -> None:
        """`timeout_s` is how long all steps may take together, from `connect` on."""
        try:
            self.protocol = ClientProtocol(url)
        except ParseError as error:
            raise ConnectError(str(error)) from error
        self.transport: asyncio.Transport | None = None
        self.deadline = 0.0
        """When the step that is being taken must be over, by the loop's clock."""
        self.server: str | None = None
        """What the server calls itself."""
        self.round_trip_s: float | None = None
        """How soon the server has answered at its quickest: hardly more than the network takes."""
        self._listener = listener
        self._timeout_s = timeout_s
        self._gone: asyncio.Future[None] | None = None
        self._answer: tuple[str, asyncio.Future[Responded]] | None = None
        self._understood = False  # the server has said something that was RTSP
        self._keep_alive: asyncio.TimerHandle | None = None

    @property
    def url(self) -> str:
        """Without user and password."""
        return self.protocol.server.url

    @property
    def address(self) -> str:
        """The server's host and port, as a person would write them."""
        host, port = self.protocol.server.host, self.protocol.server.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def is_open(self) -> bool:
        """Whether there is a connection that can be written to."""
        return self.transport is not None and not self.transport.is_closing()

    async def connect(self) -> None:
        """Open the connection."""
        self.deadline = asyncio.get_running_loop().time() + self._timeout_s
        await self._open()

    async def move(self, protocol: ClientProtocol) -> None:
        """Go to where the server has sent us."""
        await self.hang_up()
        self.protocol = protocol
        await self._open()

    async def options(self) -> None:
        """Ask what the server can do; that it won't say is no failure."""
        try:
            await self.request("OPTIONS", self.protocol.request_options())
        except RefusedError:
            pass  # what follows will tell more clearly what is wrong

    async def teardown(self, within_s: float) -> None:
        """End the session, if the server still listens."""
        self.deadline = asyncio.get_running_loop().time() + within_s
        try:
            await self.request("TEARDOWN", self.protocol.request_teardown())
        except ConnectError:
            pass  # it is left all the same

    async def _open(self) -> None:
        server = self.protocol.server
        loop = asyncio.get_running_loop()
        self._gone = loop.create_future()
        # Reading all certificates that are trusted takes a while.
        context = (
            await asyncio.to_thread(client_context, verify=server.verify) if server.tls else None
        )
        try:
            async with asyncio.timeout_at(self.deadline):
                self.transport, _ = await loop.create_connection(
                    lambda: _Connection(self),
                    server.host,
                    server.port,
                    ssl=context,
                    # For an address there is nothing to choose; and who is cancelled while asyncio
                    # chooses may leave an open socket behind (Python 3.11).
                    happy_eyeballs_delay=None if _is_address(server.host) else _ATTEMPT_S,
                )
        except TimeoutError:
            raise ConnectError(
                f"{self.address} does not answer within {self._timeout_s:g} s: is the address "
                "right, and does a firewall let it through?"
            ) from None
        except socket.gaierror as error:
            raise ConnectError(
                f"The name {server.host!r} does not resolve: is it spelt right?"
            ) from error
        except ssl.SSLError as error:
            raise ConnectError(_tls_failure(self.address, error)) from error
        except OSError as error:
            # Of a name with several addresses, asyncio tells the failures in one text.
            refused = f"[Errno {errno.ECONNREFUSED}]"
            if isinstance(error, ConnectionRefusedError) or refused in str(error):
                raise ConnectError(
                    f"{self.address} refuses the connection: is the server running, and on "
                    f"port {server.port}?"
                ) from error
            raise ConnectError(
                f"{self.address} cannot be reached: {error.strerror or error}."
            ) from error

    async def hang_up(self) -> None:
        if self.transport and self._gone:
            self.transport.abort()
            await self._gone
            self.transport = None

    async def request(self, method: str, request: bytes) -> Responded:
        """Send a request and wait for what is answered."""
        assert self._gone is not None
        if self._gone.done():
            raise self._vanished()
        answered: asyncio.Future[Responded] = asyncio.get_running_loop().create_future()
        self._answer = method, answered
        began = monotonic()
        self.write(request)
        try:
            async with asyncio.timeout_at(self.deadline):
                response = await answered
            self.round_trip_s = min(monotonic() - began, self.round_trip_s or inf)
            return response
        except TimeoutError:
            silence = "" if self._understood else ", nor anything else: does it speak RTSP"
            raise ConnectError(
                f"{self.address} accepted the connection but did not answer {method} within "
                f"{self._timeout_s:g} s{silence}{'.' if self._understood else '?'}"
            ) from None
        finally:
            self._answer = None

    def write(self, data: bytes) -> None:
        """Send bytes to the server, if there is a connection."""
        if self.transport and not self.transport.is_closing():
            self.transport.write(data)

    def stay_alive(self, also: Callable[[], None] = lambda: None) -> None:
        """From now on, show the server every now and then that we are here; `also` is called."""

        def show() -> None:
            also()
            self.write(self.protocol.request_keep_alive())
            self.stay_alive(also)

        interval_s = self.protocol.keep_alive_interval_s
        self._keep_alive = asyncio.get_running_loop().call_later(interval_s, show)

    def stop_staying_alive(self) -> None:
        """The session is about to end."""
        if self._keep_alive:
            self._keep_alive.cancel()

    # What the connection calls.

    def received(self, data: bytes) -> None:
        """Take what came over the connection."""
        arrival = time()
        try:
            for event in self.protocol.receive(data):
                self._understood = True
                if isinstance(event, InterleavedReceived):
                    self._listener.frames(event.frames, arrival)
                else:
                    self._handle(event)
        except ParseError as error:
            self._fail(self._nonsense(error))

    def writable(self, is_writable: bool) -> None:
        """The connection's buffer has filled, or has room again."""
        self._listener.writable(is_writable)

    def lost(self) -> None:
        """The connection is no more."""
        assert self._gone is not None
        if not self._gone.done():
            self._gone.set_result(None)
        self._fail(self._vanished())

    def _handle(self, event: Responded | Refused | Redirected | SendNeeded) -> None:
        if isinstance(event, SendNeeded):
            self.write(event.data)
            return
        if isinstance(event, Responded):
            self.server = event.response.headers.get("Server") or self.server
        if self._answer is None or self._answer[1].done():
            # A keep-alive was answered. Only that the session is over is worth knowing.
            if isinstance(event, Refused) and event.status == _SESSION_NOT_FOUND:
                self._fail(ConnectError(event.sentence))
            return
        method, answered = self._answer
        if isinstance(event, Redirected):
            answered.set_exception(ElsewhereError(event.protocol))
        elif event.method == method:
            if isinstance(event, Refused):
                answered.set_exception(RefusedError(event))
            else:
                answered.set_result(event)

    def _fail(self, failure: ConnectError) -> None:
        """Tell whoever waits for an answer, or for packets."""
        if self._answer and not self._answer[1].done():
            self._answer[1].set_exception(failure)
        else:
            self._listener.lost(failure)

    def _nonsense(self, error: ParseError) -> ConnectError:
        if self._understood:
            return NonsenseError(f"What {self.address} sent makes no sense: {error}")
        return NonsenseError(
            f"{self.address} accepted the connection but does not speak RTSP: is it the right "
            f"port? ({error})"
        )

    def _vanished(self) -> ConnectError:
        if self._understood:
            return ConnectError(f"{self.address} closed the connection.")
        return ConnectError(
            f"{self.address} closed the connection without an answer: does it speak RTSP?"
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False  # a name
    return True


def _tls_failure(address: str, error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {address} is not trusted ({error.verify_message.rstrip('.')}): "
            "name a file with it in the environment variable SSL_CERT_FILE, or end the URL with "
            f"#{INSECURE} to do without."
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "UNEXPECTED_MESSAGE"):
        return f"{address} does not speak TLS: is it the port for rtsps://, or is rtsp:// meant?"
    return f"No TLS connection to {address} can be made: {error.reason or error}."


class _Connection(asyncio.Protocol):
    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue

    def data_received(self, data: bytes) -> None:
        self._dialogue.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._dialogue.lost()

    def pause_writing(self) -> None:
        self._dialogue.writable(False)

    def resume_writing(self) -> None:
        self._dialogue.writable(True)
