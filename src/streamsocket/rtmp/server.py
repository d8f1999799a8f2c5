"""The RTMP server: publishers in, streams in the hub. The rules are in `server_protocol.py`."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from streamsocket.errors import StreamSocketError
from streamsocket.listening import listening_socket
from streamsocket.rtmp.address import DEFAULT_PORT, PublishAddress
from streamsocket.rtmp.connection import RtmpConnection
from streamsocket.rtmp.publisher import Access, Publish, Publisher

_BACKLOG = 128
_CHECK_INTERVAL_S = 0.25
_RECEIVE_BYTES = 16 * 1024
"""How much one wakeup reads: the smallest messages, all the time, must not hold up streams."""


@dataclass(frozen=True, slots=True)
class RtmpOptions:
    """What of the server's RTMP side can be set."""

    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    max_connections: int = 200
    max_connections_per_address: int = 50
    begin_timeout_s: float = 10.0
    """How long a connection may take until its stream is published."""
    idle_timeout_s: float = 15.0
    """A connection that sends nothing for so long is closed."""


class RtmpServer:
    """Accepts RTMP connections and publishes what they send.

    `publish` is the hub's. Without `access`, everybody on this machine may publish and nobody else.
    `check_free` raises `StreamSocketError` for a name that is taken: whoever asks for it is told at
    once, and not when its stream is about to be published.
    """

    def __init__(
        self,
        loop: AbstractEventLoop,
        options: RtmpOptions,
        publish: Publish,
        access: Access | None = None,
        check_free: Callable[[str], None] = lambda name: None,
    ) -> None:
        self.loop = loop
        self.options = options
        self.publish = publish
        self.refused: Counter[str] = Counter()
        """What was refused since the start, by reason."""
        self.buffer = memoryview(bytearray(_RECEIVE_BYTES))
        """Where connections read to; what is in it belongs to nobody after that."""
        self._access = access
        self._check_free = check_free
        self._connections: dict[RtmpConnection, None] = {}
        self._per_address: Counter[str] = Counter()
        self._listener: socket.socket | None = None
        self._starting: asyncio.Task[asyncio.Server] | None = None
        self._timer: TimerHandle | None = None
        self.port = 0
        """The TCP port it listens on."""

    def open(self) -> None:
        """Listen. Raises `StreamSocketError` if the port cannot be had."""
        options = self.options
        listener = listening_socket(
            options.host, options.port, backlog=_BACKLOG, port_option="--rtmp-port"
        )
        listener.setblocking(False)
        self._listener = listener
        self.port = int(listener.getsockname()[1])
        self._starting = self.loop.create_task(
            self.loop.create_server(lambda: RtmpConnection(self), sock=listener, backlog=_BACKLOG)
        )
        self._check()

    def close(self) -> None:
        """End all streams and close all sockets."""
        if self._timer:
            self._timer.cancel()
        if self._starting and self._starting.done():
            self._starting.result().close()
        elif self._starting and self._listener:
            self._starting.cancel()
            self.loop.remove_reader(self._listener)
            self._listener.close()
        self._starting = None
        for connection in tuple(self._connections):
            connection.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # What connections call.

    def admit(self, connection: RtmpConnection) -> bool:
        """Take up a new connection, if there is room for it."""
        if self._starting is None:
            return False  # it came while we closed
        host = connection.host
        too_many = len(self._connections) >= self.options.max_connections
        if too_many or self._per_address[host] >= self.options.max_connections_per_address:
            self.refused["too_many_connections"] += 1
            return False
        self._connections[connection] = None
        self._per_address[host] += 1
        return True

    def forget(self, connection: RtmpConnection) -> None:
        """The connection has closed."""
        if connection in self._connections:
            del self._connections[connection]
            self._per_address[connection.host] -= 1
            if not self._per_address[connection.host]:
                del self._per_address[connection.host]

    def count(self, publisher: Publisher) -> None:
        """A publisher's stream has ended: keep what was counted of it."""
        if publisher.malformed:
            self.refused["malformed_media"] += publisher.malformed

    async def may_publish(self, address: PublishAddress, host: str) -> None:
        """Return if that one may publish; raise `StreamSocketError` if not."""
        if self._access:
            await self._access.admit("publish", address.name, host, address.user, address.password)
        elif not _is_loopback(host):
            raise StreamSocketError("Only programs on the server's own machine may publish.")
        self._check_free(address.name)

    def _check(self) -> None:
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.check(now)
        self._timer = self.loop.call_later(_CHECK_INTERVAL_S, self._check)


def _is_loopback(host: str) -> bool:
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
