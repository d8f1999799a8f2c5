"""A viewer's pair of UDP ports: RTP on the even one, RTCP on the next (RFC 3550, 11)."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Collection
from time import time
from typing import Any

from streamsocket.errors import ConnectError, StreamSocketError
from streamsocket.rtsp.client_multicast import Group, join
from streamsocket.rtsp.udp_ports import bind_pair

DatagramHandler = Callable[[bool, bytes, float], None]
"""`(is_rtcp, data, arrival)`; `arrival` in seconds since the epoch, taken as it was read."""

RECEIVE_BUFFER = 4 << 20
"""Bytes asked of the kernel: a keyframe burst must survive a loop that is busy for a moment."""
MAX_DRAIN = 256
"""Datagrams read in one wakeup, so that a flood cannot hold up everything else."""
MAX_DATAGRAM = 65_536

# An RTP packet without payload and a receiver report without blocks: on their way out they open
# the path through NATs and firewalls for what comes in. No server takes them for media.
PUNCH_RTP = b"\x80\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
PUNCH_RTCP = b"\x80\xc9\x00\x01\x00\x00\x00\x00"


class UdpPair:
    """Two bound sockets that hand on what comes from the server's address and nothing else.

    With a `group`, they are in that multicast group instead of on ports of their own, and hand on
    whatever is sent to it. Raises ConnectError where no pair of ports is free.
    """

    def __init__(
        self, local_address: tuple[Any, ...], handler: DatagramHandler, group: Group | None = None
    ):
        self._handler = handler
        self._senders: Collection[str] | None = ()
        self._targets: tuple[tuple[Any, ...], tuple[Any, ...]] | None = None
        self._sockets = join(group, local_address) if group else _bind_pair(local_address)
        for sock in self._sockets:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        self._transports: list[asyncio.DatagramTransport] = []
        self.port: int = self._sockets[0].getsockname()[1]
        """The even port; RTCP's is the next."""
        self.foreign = 0
        """Datagrams that came from somebody else and were dropped."""

    async def open(self, senders: Collection[str] | None) -> None:
        """Start to receive what comes from the addresses in `senders`; None: from anywhere."""
        self._senders = senders
        loop = asyncio.get_running_loop()
        for is_rtcp, sock in enumerate(self._sockets):
            try:
                loop.add_reader(sock, self._drain, sock, bool(is_rtcp))
            except NotImplementedError:  # Windows' proactor loop has no readers
                transport, _ = await loop.create_datagram_endpoint(
                    lambda is_rtcp=is_rtcp: _Receiver(self, bool(is_rtcp)),  # type: ignore[misc]
                    sock=sock,
                )
                self._transports.append(transport)

    def aim(self, server_address: tuple[Any, ...], ports: tuple[int, int]) -> None:
        """Send to these ports of the server from now on."""
        rest = server_address[2:]
        host = server_address[0]
        self._targets = (host, ports[0], *rest), (host, ports[1], *rest)

    def punch(self) -> None:
        """Open the path through NATs and firewalls on the way, or keep it open."""
        self._send(0, PUNCH_RTP)
        self._send(1, PUNCH_RTCP)

    def send_rtcp(self, data: bytes) -> None:
        """Send RTCP to the server, if it said where to; what the network refuses is lost."""
        self._send(1, data)

    def receive(self, is_rtcp: bool, data: bytes, sender: str, arrival: float) -> None:
        """Hand a datagram on if it is the server's."""
        if self._senders is None or sender in self._senders:
            self._handler(is_rtcp, data, arrival)
        else:
            self.foreign += 1

    def close(self) -> None:
        """Give the ports back."""
        if self._transports:
            for transport in self._transports:
                transport.abort()
            self._transports.clear()
            return
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            if sock.fileno() >= 0:
                try:
                    loop.remove_reader(sock)
                except NotImplementedError:
                    pass
                sock.close()

    def _send(self, index: int, data: bytes) -> None:
        if self._targets is None:
            return
        try:
            if self._transports:
                self._transports[index].sendto(data, self._targets[index])
            else:
                self._sockets[index].sendto(data, self._targets[index])
        except OSError:
            pass  # an unreachable port or a full buffer; the next report will tell the same

    def _drain(self, sock: socket.socket, is_rtcp: bool) -> None:
        for _ in range(MAX_DRAIN):
            try:
                data, address = sock.recvfrom(MAX_DATAGRAM)
            except BlockingIOError:
                return
            except OSError:
                continue  # the kernel reports an earlier send's failure here
            self.receive(is_rtcp, data, address[0], time())


class _Receiver(asyncio.DatagramProtocol):
    def __init__(self, pair: UdpPair, is_rtcp: bool):
        self._pair = pair
        self._is_rtcp = is_rtcp

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        self._pair.receive(self._is_rtcp, data, addr[0], time())


def _bind_pair(local_address: tuple[Any, ...]) -> tuple[socket.socket, socket.socket]:
    """A pair on the address that the connection to the server goes out from."""
    host = local_address[0]
    if len(local_address) == 4 and local_address[3]:  # a link-local IPv6 address needs its scope
        host = f"{host}%{local_address[3]}"
    try:
        return bind_pair(host)
    except StreamSocketError as error:
        raise ConnectError(
            "No two neighbouring UDP ports are free on this machine: "
            "end a program that holds many, or ask for --transport tcp."
        ) from error
