"""The RTSP client's sockets: one connection to a server, and UDP ports where they are wanted.

The rules are in `client_protocol.py`; this half connects, writes, waits, and hands packets on.
"""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable
from functools import partial
from time import time
from typing import Literal

from streamsocket.errors import ConnectError, ParseError
from streamsocket.rtsp.client_protocol import (
    ClientProtocol,
    InterleavedReceived,
    Redirected,
    Refused,
    Responded,
    SendNeeded,
)
from streamsocket.rtsp.client_udp import UdpPair
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.sdp import Media, SessionDescription

Protocol = Literal["udp", "tcp"]

PacketHandler = Callable[[int, bool, bytes, float], None]
"""`(track, is_rtcp, data, arrival)`; `arrival` in seconds since the epoch."""

TEARDOWN_S = 1.0
_NAMES = {"video": "picture", "audio": "sound"}
_SESSION_NOT_FOUND = 454
_SERVICE_UNAVAILABLE = 503
_BUSY_PAUSES_S = (0.2, 0.8)
"""How long a server that is busy is left alone: gst-rtsp-server is, after its last viewer left."""
_ATTEMPT_S = 0.25
"""How long one of a name's addresses is tried before the next is, too (RFC 8305)."""


class TransportRefusedError(ConnectError):
    """The server does not send over this transport; over another one it may."""

    def __init__(self, sentence: str, unsupported: Protocol | None = None) -> None:
        super().__init__(sentence)
        self.unsupported = unsupported
        """What it does not send over in any case (461); None if it may just not like a mix."""


class RtspClient:
    """Plays one stream: connect, describe, setup for each track, play, close, in this order.

    Every step but `close` raises ConnectError with a sentence for the user, at the latest
    `timeout_s` seconds after `connect` began. `close` has to be called whatever happened.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        on_packet: PacketHandler,
        on_lost: Callable[[ConnectError], None],
    ) -> None:
        """`on_lost` is called if the connection ends after `play` and before `close`."""
        try:
            self._protocol = ClientProtocol(url)
        except ParseError as error:
            raise ConnectError(str(error)) from error
        self._timeout_s = timeout_s
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._deadline = 0.0
        self._connection: asyncio.Transport | None = None
        self._gone: asyncio.Future[None] | None = None
        self._answer: tuple[str, asyncio.Future[Responded]] | None = None
        self._understood = False  # the server has said something that was RTSP
        self._channels: dict[int, tuple[int, bool]] = {}
        self._ports: dict[int, UdpPair] = {}
        self._protocols: set[Protocol] = set()
        self._playing = False
        self._keep_alive: asyncio.TimerHandle | None = None
        self.server: str | None = None
        """What the server calls itself."""

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._protocol.server.url

    async def connect(self) -> None:
        """Open the connection."""
        loop = asyncio.get_running_loop()
        self._deadline = loop.time() + self._timeout_s
        await self._open()

    async def describe(self) -> SessionDescription:
        """Ask what the stream is made of, at another address if the server says so."""
        pauses = list(_BUSY_PAUSES_S)
        while True:
            try:
                return await self._describe()
            except _RefusedError as refusal:
                if refusal.status != _SERVICE_UNAVAILABLE or not pauses:
                    raise
                await asyncio.sleep(pauses.pop(0))

    async def setup(self, track: int, media: Media, protocol: Protocol) -> None:
        """Ask for a track; its packets will be handed on under the number `track`.

        Raises TransportRefusedError if another protocol, or the same for all tracks, may do.
        """
        assert self._connection is not None
        if protocol == "udp":
            ports = UdpPair(
                self._connection.get_extra_info("sockname"), partial(self._on_packet, track)
            )
            self._ports[track] = ports
            wish = TransportSpec("udp", client_ports=(ports.port, ports.port + 1))
        else:
            wish = TransportSpec("tcp", interleaved=(2 * track, 2 * track + 1))
        try:
            answer = await self._request("SETUP", self._protocol.request_setup(media, wish))
        except _RefusedError as refusal:
            # Servers that take one transport a session say so in many ways.
            unsupported = refusal.status == 461
            if unsupported or self._protocols - {protocol}:
                raise TransportRefusedError(
                    f"{self._address} refuses to send the {_NAMES.get(media.kind, media.kind)} "
                    f"over {protocol.upper()} ({refusal.status} {refusal.reason}).",
                    unsupported=protocol if unsupported else None,
                ) from refusal
            raise
        self._protocols.add(protocol)
        agreed = answer.transport or wish
        if protocol == "udp":
            server = self._connection.get_extra_info("peername")
            await ports.open({server[0], agreed.source or server[0]})
            if agreed.server_ports:
                ports.aim(server, agreed.server_ports)
        else:
            for is_rtcp, channel in enumerate(agreed.interleaved or wish.interleaved or ()):
                self._channels[channel] = track, bool(is_rtcp)

    async def play(self) -> None:
        """Let the packets come."""
        for ports in self._ports.values():
            ports.punch()
        await self._request("PLAY", self._protocol.request_play())
        self._playing = True
        self._stay_alive_later()

    def send_rtcp(self, track: int, data: bytes) -> None:
        """Send RTCP about a track the way its packets come."""
        if track in self._ports:
            self._ports[track].send_rtcp(data)
            return
        for channel, place in self._channels.items():
            if place == (track, True):
                self._write(b"$" + bytes((channel,)) + len(data).to_bytes(2, "big") + data)

    async def close(self) -> None:
        """Leave the server, in a second at most, and give every socket back."""
        self._playing = False
        if self._keep_alive:
            self._keep_alive.cancel()
        try:
            if self._protocols and self._connection and not self._connection.is_closing():
                self._deadline = asyncio.get_running_loop().time() + TEARDOWN_S
                await self._request("TEARDOWN", self._protocol.request_teardown())
        except ConnectError:
            pass  # it is left all the same
        finally:
            for ports in self._ports.values():
                ports.close()
            await self._hang_up()

    async def _describe(self) -> SessionDescription:
        while True:
            try:
                try:
                    await self._request("OPTIONS", self._protocol.request_options())
                except _RefusedError:
                    pass  # DESCRIBE will tell more clearly what is wrong
                answer = await self._request("DESCRIBE", self._protocol.request_describe())
            except _ElsewhereError as elsewhere:
                await self._hang_up()
                self._protocol = elsewhere.protocol
                await self._open()
                continue
            assert answer.description is not None
            return answer.description

    async def _open(self) -> None:
        server = self._protocol.server
        loop = asyncio.get_running_loop()
        self._gone = loop.create_future()
        try:
            async with asyncio.timeout_at(self._deadline):
                self._connection, _ = await loop.create_connection(
                    lambda: _Connection(self),
                    server.host,
                    server.port,
                    happy_eyeballs_delay=_ATTEMPT_S,
                )
        except TimeoutError:
            raise ConnectError(
                f"{self._address} does not answer within {self._timeout_s:g} s: is the address "
                "right, and does a firewall let it through?"
            ) from None
        except socket.gaierror as error:
            raise ConnectError(
                f"The name {server.host!r} does not resolve: is it spelt right?"
            ) from error
        except OSError as error:
            # Of a name with several addresses, asyncio tells the failures in one text.
            refused = f"[Errno {errno.ECONNREFUSED}]"
            if isinstance(error, ConnectionRefusedError) or refused in str(error):
                raise ConnectError(
                    f"{self._address} refuses the connection: is the server running, and on "
                    f"port {server.port}?"
                ) from error
            raise ConnectError(
                f"{self._address} cannot be reached: {error.strerror or error}."
            ) from error

    async def _hang_up(self) -> None:
        if self._connection and self._gone:
            self._connection.abort()
            await self._gone
            self._connection = None

    async def _request(self, method: str, request: bytes) -> Responded:
        """Send a request and wait for what is answered."""
        assert self._gone is not None
        if self._gone.done():
            raise self._vanished()
        answered: asyncio.Future[Responded] = asyncio.get_running_loop().create_future()
        self._answer = method, answered
        self._write(request)
        try:
            async with asyncio.timeout_at(self._deadline):
                return await answered
        except TimeoutError:
            silence = "" if self._understood else ", nor anything else: does it speak RTSP"
            raise ConnectError(
                f"{self._address} accepted the connection but did not answer {method} within "
                f"{self._timeout_s:g} s{silence}{'.' if self._understood else '?'}"
            ) from None
        finally:
            self._answer = None

    def received(self, data: bytes) -> None:
        """Take what came over the connection."""
        arrival = time()
        try:
            for event in self._protocol.receive(data):
                self._understood = True
                if isinstance(event, InterleavedReceived):
                    place = self._channels.get(event.channel)
                    if place:
                        self._on_packet(*place, event.data, arrival)
                else:
                    self._handle(event)
        except ParseError as error:
            self._fail(self._nonsense(error))

    def lost(self) -> None:
        """The connection is no more."""
        assert self._gone is not None
        if not self._gone.done():
            self._gone.set_result(None)
        self._fail(self._vanished())

    def _handle(self, event: Responded | Refused | Redirected | SendNeeded) -> None:
        if isinstance(event, SendNeeded):
            self._write(event.data)
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
            answered.set_exception(_ElsewhereError(event.protocol))
        elif event.method == method:
            if isinstance(event, Refused):
                answered.set_exception(_RefusedError(event))
            else:
                answered.set_result(event)

    def _fail(self, failure: ConnectError) -> None:
        """Tell whoever waits for an answer, or for packets."""
        if self._answer and not self._answer[1].done():
            self._answer[1].set_exception(failure)
        elif self._playing:
            self._playing = False
            self._on_lost(failure)

    def _nonsense(self, error: ParseError) -> ConnectError:
        if self._answer and self._answer[0] == "SETUP":
            return TransportRefusedError(f"{self._address}: {error}")
        if self._understood:
            return ConnectError(f"What {self._address} sent makes no sense: {error}")
        return ConnectError(
            f"{self._address} accepted the connection but does not speak RTSP: is it the right "
            f"port? ({error})"
        )

    def _vanished(self) -> ConnectError:
        if self._understood:
            return ConnectError(f"{self._address} closed the connection.")
        return ConnectError(
            f"{self._address} closed the connection without an answer: does it speak RTSP?"
        )

    def _stay_alive_later(self) -> None:
        interval_s = self._protocol.keep_alive_interval_s
        self._keep_alive = asyncio.get_running_loop().call_later(interval_s, self._stay_alive)

    def _stay_alive(self) -> None:
        for ports in self._ports.values():
            ports.punch()
        self._write(self._protocol.request_keep_alive())
        self._stay_alive_later()

    def _write(self, data: bytes) -> None:
        if self._connection and not self._connection.is_closing():
            self._connection.write(data)

    @property
    def _address(self) -> str:
        host, port = self._protocol.server.host, self._protocol.server.port
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Connection(asyncio.Protocol):
    def __init__(self, client: RtspClient) -> None:
        self._client = client

    def data_received(self, data: bytes) -> None:
        self._client.received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._client.lost()


class _RefusedError(ConnectError):
    """The server has refused a request."""

    def __init__(self, refused: Refused) -> None:
        super().__init__(refused.sentence)
        self.status = refused.status
        self.reason = refused.response.reason


class _ElsewhereError(ConnectError):
    """The server has sent us elsewhere."""

    def __init__(self, protocol: ClientProtocol) -> None:
        server = protocol.server
        super().__init__(f"The server sends us to {server.url} in the middle of setting up.")
        self.protocol = protocol
