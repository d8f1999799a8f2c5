"""Peers that come over TCP (RFC 6544), for networks where UDP doesn't get through.

The port is open to anybody, so a connection is a stranger's until it has shown otherwise: its first
packet has to be a check (STUN) of a peer that we have answered, made with that peer's password. All
else, and whoever takes too long over it, is closed. From then on its packets go the way of
datagrams.
"""

from __future__ import annotations

import errno
import socket
import time
from asyncio import AbstractEventLoop
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from streamsocket.auth.slowing import network
from streamsocket.errors import ParseError
from streamsocket.webrtc.framing import MAX_PACKET, FramingParser
from streamsocket.webrtc.tcp_sender import SrtpTcpSender

MAX_CONNECTIONS = 4000
MAX_CONNECTIONS_PER_ADDRESS = 1000
"""One address may be a whole company's, and a browser opens a connection for each of its own."""
FIRST_CHECK_S = 5.0
"""So long a connection has for its first packet."""
MAX_FIRST_PACKET = 1500
"""A check is far shorter; what HTTP and TLS begin with is, as a length, more."""

# As much as comes while the media thread is busy elsewhere; the kernel doubles it.
_RECEIVE_BUFFER_BYTES = 256 * 1024
_RECEIVE_BYTES = 64 * 1024
_CONNECTIONS_PER_WAKEUP = 64
_OUT_OF_FILES_PAUSE_S = 0.1


class TcpPath(NamedTuple):
    """A way to a peer, as `ice.Path` has it: a connection is itself and no other."""

    host: str
    port: int
    connection: TcpConnection


Admit = Callable[[bytes, TcpPath, float], bool]
"""Takes a connection's first packet, and the time; returns whether it is a peer's check."""
Receive = Callable[[list[bytes], TcpPath, float], None]
"""Takes the packets that one wakeup brought, and the time."""


class TcpConnection:
    """One accepted connection. Its sender carries all that goes to the peer."""

    def __init__(self, listener: TcpListener, accepted: socket.socket, address: Any) -> None:
        self._listener = listener
        self._socket = accepted
        self._parser = FramingParser(MAX_FIRST_PACKET)
        self._opened = time.monotonic()
        self.path = TcpPath(str(address[0]), int(address[1]), self)
        self.admitted = False
        """Whether it has shown whose it is."""
        self.closed = False
        self.sender = SrtpTcpSender(listener.loop, accepted, on_failure=self.close)
        listener.loop.add_reader(accepted, self._readable)

    def close(self) -> None:
        """Close it, and tell the listener's owner."""
        if self.closed:
            return
        self.closed = True
        self._listener.loop.remove_reader(self._socket)
        self.sender.close()
        self._socket.close()
        self._listener.forget(self)

    def refuse(self, reason: str) -> None:
        """Close it, and count why."""
        if not self.closed:
            self._listener.refused[reason] += 1
            self.close()

    def overdue(self, now: float) -> bool:
        """Whether it should have shown by now whose it is."""
        return not self.admitted and now - self._opened >= FIRST_CHECK_S

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        try:
            packets = self._parser.feed(data)
        except ParseError:
            self.refuse("malformed" if self.admitted else "no_check")
            return
        if packets:
            self._take(packets, time.monotonic())

    def _take(self, packets: list[bytes], now: float) -> None:
        if not self.admitted:
            self.admitted = self._listener.admit(packets.pop(0), self.path, now)
            if not self.admitted:
                self.refuse("no_check")
                return
            self._parser.max_packet = MAX_PACKET
        self._listener.receive(packets, self.path, now)


class TcpListener:
    """Accepts connections, and holds those there are."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        listening: socket.socket,
        refused: Counter[str],
        *,
        admit: Admit,
        receive: Receive,
        on_close: Callable[[TcpPath], None],
    ) -> None:
        """`listening` is the listener's from now on; what is refused is counted in `refused`."""
        self.loop = loop
        self.refused = refused
        self.admit = admit
        self.receive = receive
        self._on_close = on_close
        self._socket = listening
        self._connections: dict[TcpConnection, str] = {}
        """And the address that they count for."""
        self._per_address: Counter[str] = Counter()
        self._closed = False
        listening.setblocking(False)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        loop.add_reader(listening, self._accept)

    def __len__(self) -> int:
        return len(self._connections)

    def close(self) -> None:
        """Close all connections, and listen no more."""
        self._closed = True
        for connection in tuple(self._connections):
            connection.close()
        self.loop.remove_reader(self._socket)
        self._socket.close()

    def sweep(self, now: float, in_use: Callable[[TcpPath], bool]) -> None:
        """Close what is overdue, or belongs to no peer any more; to be called every second."""
        for connection in tuple(self._connections):
            if connection.overdue(now):
                connection.refuse("silent_connection")
            elif connection.admitted and not in_use(connection.path):
                connection.close()

    def forget(self, connection: TcpConnection) -> None:
        """The connection has closed."""
        address = self._connections.pop(connection)
        self._per_address[address] -= 1
        if not self._per_address[address]:
            del self._per_address[address]
        self._on_close(connection.path)

    def _accept(self) -> None:
        for _ in range(_CONNECTIONS_PER_WAKEUP):
            try:
                accepted, address = self._socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    # The connection stays in the backlog: without a pause this would spin.
                    self.refused["out_of_files"] += 1
                    self.loop.remove_reader(self._socket)
                    self.loop.call_later(_OUT_OF_FILES_PAUSE_S, self._accept_again)
                    return
                continue  # that one gave up already
            self._open(accepted, address)

    def _accept_again(self) -> None:
        if not self._closed:
            self.loop.add_reader(self._socket, self._accept)

    def _open(self, accepted: socket.socket, address: Any) -> None:
        counted = network(str(address[0]))
        too_many = len(self._connections) >= MAX_CONNECTIONS
        if too_many or self._per_address[counted] >= MAX_CONNECTIONS_PER_ADDRESS:
            self.refused["too_many_connections"] += 1
            accepted.close()
            return
        self._per_address[counted] += 1
        self._connections[TcpConnection(self, accepted, address)] = counted
