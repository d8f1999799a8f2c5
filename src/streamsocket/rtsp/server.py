"""The RTSP server's sockets: connections in, viewers of the hub's streams out.

The rules are in `server_protocol.py`; this half accepts, reads, asks the hub and writes.
"""

from __future__ import annotations

import errno
import socket
import ssl
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections import Counter
from dataclasses import dataclass

from streamsocket.auth.access import Access
from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.hub.udp import Address, UdpSender
from streamsocket.listening import listening_socket
from streamsocket.matching.matcher import Matcher
from streamsocket.rtsp.connection import RtspConnection
from streamsocket.rtsp.multicast import MulticastGroups, MulticastOptions
from streamsocket.rtsp.udp_ports import bind_pair
from streamsocket.tls import TlsSocket

# Enough for a burst of keyframes to a few hundred viewers; the kernel caps it at wmem_max.
_UDP_SEND_BUFFER_BYTES = 8 * 1024 * 1024

# How many datagrams one wakeup reads: a flood of reports must not keep the streams waiting.
_DATAGRAMS_PER_WAKEUP = 256

_BACKLOG = 1024
_CONNECTIONS_PER_WAKEUP = 64
_SWEEP_INTERVAL_S = 1.0
_OUT_OF_FILES_PAUSE_S = 0.1


@dataclass(frozen=True, slots=True)
class RtspOptions:
    """What of the server's RTSP side can be set."""

    host: str = "127.0.0.1"
    port: int = 8554
    udp_port: int = 0
    session_timeout_s: float = 60.0
    publisher_timeout_s: float = 10.0
    replace_publishers: bool = False
    tls_port: int | None = None
    """Where RTSP over TLS is spoken, if anywhere; 0: any free port."""
    multicast: MulticastOptions | None = None
    """Where to send for all who ask for multicast; None: nobody gets it."""
    max_connections: int = 4000
    max_connections_per_address: int = 1000


class RtspServer:
    """Accepts RTSP connections and lets them play the hub's streams."""

    def __init__(
        self,
        hub: Hub,
        loop: AbstractEventLoop,
        options: RtspOptions,
        access: Access | None = None,
        tls: ssl.SSLContext | None = None,
        matcher: Matcher | None = None,
    ) -> None:
        """Without `access` there are no users: this machine may do all, others may watch.

        `tls` is needed where the options have a port for it. Without a `matcher`, streams are
        passed on as they are.
        """
        self._tls = tls
        self.hub = hub
        self.access = access or Access({})
        self.matcher = matcher or Matcher()
        self.loop = loop
        self.options = options
        self.multicast = MulticastGroups(loop, options.multicast) if options.multicast else None
        """Who is sent to in groups; None where nobody is."""
        self.refused: Counter[str] = Counter()
        """What was refused since the start, by reason."""
        self._listener: socket.socket | None = None
        self._tls_listener: socket.socket | None = None
        self._connections: dict[RtspConnection, None] = {}
        self._per_address: Counter[str] = Counter()
        self._viewers_by_rtcp: dict[Address, RtspConnection] = {}
        self._sweeper: TimerHandle | None = None

    def open(self) -> None:
        """Listen. Raises `StreamSocketError` if a port cannot be had."""
        options = self.options
        listener = listening_socket(
            options.host, options.port, backlog=_BACKLOG, port_option="--rtsp-port"
        )
        listener.setblocking(False)
        try:
            if options.tls_port is not None:
                self._tls_listener = listening_socket(
                    options.host, options.tls_port, backlog=_BACKLOG, port_option="rtsps.port"
                )
                self._tls_listener.setblocking(False)
            if self.multicast:
                self.multicast.open()
            self._rtp, self._rtcp = bind_pair(options.host, options.udp_port)
        except StreamSocketError:
            if self.multicast:
                self.multicast.close()
            listener.close()
            if self._tls_listener:
                self._tls_listener.close()
            raise
        self._listener = listener
        self._rtp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UDP_SEND_BUFFER_BYTES)
        self.udp = UdpSender(self.loop, self._rtp, self._rtcp)
        for each in self._listeners():
            self.loop.add_reader(each, self._accept, each)
        self.loop.add_reader(self._rtp, self._read_rtp)
        self.loop.add_reader(self._rtcp, self._read_rtcp)
        self._sweep()

    def close(self) -> None:
        """End all sessions and close all sockets."""
        if self._sweeper:
            self._sweeper.cancel()
        for connection in tuple(self._connections):
            connection.close()
        if self._listener is None:
            return
        self.udp.close()
        for each in (*self._listeners(), self._rtp, self._rtcp):
            self.loop.remove_reader(each)
            each.close()
        if self.multicast:
            self.multicast.close()
        self._listener = self._tls_listener = None

    @property
    def port(self) -> int:
        """The TCP port it listens on."""
        assert self._listener is not None
        return int(self._listener.getsockname()[1])

    @property
    def tls_port(self) -> int | None:
        """The TCP port it speaks TLS on, if any."""
        return int(self._tls_listener.getsockname()[1]) if self._tls_listener else None

    @property
    def udp_ports(self) -> tuple[int, int]:
        """The UDP ports that RTP and RTCP leave from."""
        return self._rtp.getsockname()[1], self._rtcp.getsockname()[1]

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    @property
    def sessions(self) -> int:
        """How many of them have a session."""
        return sum(connection.viewer is not None for connection in self._connections)

    # What connections call.

    def forget(self, connection: RtspConnection) -> None:
        """The connection has closed."""
        if connection in self._connections:
            del self._connections[connection]
            self._per_address[connection.host] -= 1
            if not self._per_address[connection.host]:
                del self._per_address[connection.host]

    def expect_reports(self, address: Address, connection: RtspConnection) -> None:
        """RTCP from that address is about that connection's session."""
        self._viewers_by_rtcp[_canonical(address)] = connection

    def expect_no_reports(self, address: Address) -> None:
        """RTCP from that address means nothing any more."""
        self._viewers_by_rtcp.pop(_canonical(address), None)

    # What the loop calls.

    def _listeners(self) -> list[socket.socket]:
        return [each for each in (self._listener, self._tls_listener) if each]

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(_CONNECTIONS_PER_WAKEUP):
            try:
                accepted, address = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    # The connection stays in the backlog: without a pause this would spin.
                    self.refused["out_of_files"] += 1
                    self.loop.remove_reader(listener)
                    self.loop.call_later(_OUT_OF_FILES_PAUSE_S, self._accept_again, listener)
                    return
                continue  # that one gave up already
            self._take(accepted, address, with_tls=listener is self._tls_listener)

    def _accept_again(self, listener: socket.socket) -> None:
        if listener in self._listeners():
            self.loop.add_reader(listener, self._accept, listener)

    def _take(self, accepted: socket.socket, address: Address, *, with_tls: bool) -> None:
        host = str(address[0])
        too_many = len(self._connections) >= self.options.max_connections
        if too_many or self._per_address[host] >= self.options.max_connections_per_address:
            self.refused["too_many_connections"] += 1
            accepted.close()
            return
        self._per_address[host] += 1
        connection: socket.socket | TlsSocket = accepted
        if with_tls:
            assert self._tls is not None
            connection = TlsSocket(accepted, self._tls)
        self._connections[RtspConnection(self, connection, address)] = None

    def _read_rtp(self) -> None:
        """Players send packets to open their firewall; they mean nothing else to us."""
        for _ in range(_DATAGRAMS_PER_WAKEUP):
            try:
                self._rtp.recv(2048)
            except OSError:
                return

    def _read_rtcp(self) -> None:
        for _ in range(_DATAGRAMS_PER_WAKEUP):
            try:
                data, address = self._rtcp.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier report was answered "port unreachable"
            connection = self._viewers_by_rtcp.get(_canonical(address))
            if connection:
                connection.take_rtcp(data)
            else:
                self.refused["rtcp_from_strangers"] += 1

    def _sweep(self) -> None:
        """Close what has been silent for too long, report to publishers."""
        now = time.monotonic()
        for connection in tuple(self._connections):
            connection.sweep(now)
        self._sweeper = self.loop.call_later(_SWEEP_INTERVAL_S, self._sweep)


def _canonical(address: Address) -> Address:
    """Host and port alone: IPv6's flow label is no part of who somebody is."""
    return address[:2]
