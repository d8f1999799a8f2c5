"""The sockets that all peers share, UDP and TCP, and the addresses by which they reach them."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import math
import os
import socket
from collections.abc import Sequence

from streamsocket.errors import StreamSocketError
from streamsocket.listening import listening_socket

_log = logging.getLogger("streamsocket.webrtc")

_LOOK_UP_S = 2.0
_LOOK_UP_AGAIN_S = 60.0

# As much as a keyframe for many viewers; the kernel gives what it is allowed to.
_SEND_BUFFER_BYTES = 4 * 1024 * 1024
_RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024

_BACKLOG = 256
_ATTEMPTS = 20
"""Any free port has to be free for UDP and TCP: so many are tried."""

# Nothing is sent there: the kernel only says by which of its addresses it would be. They are of the
# blocks for documentation (RFC 5737, RFC 3849), which the default route takes.
_ELSEWHERE = (
    (socket.AF_INET, "192.0.2.1"),
    (socket.AF_INET6, "2001:db8::1"),
)


def bind_both(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """Bind the UDP socket, and listen on TCP by the same number; 0: one that is free for both.

    Raises `StreamSocketError`.
    """
    attempts_left = 1 if port else _ATTEMPTS
    while True:
        attempts_left -= 1
        udp_socket = bind_udp(host, port)
        number = udp_socket.getsockname()[1]
        try:
            return udp_socket, listening_socket(
                host, number, backlog=_BACKLOG, port_option="--webrtc-port"
            )
        except StreamSocketError:
            udp_socket.close()
            if not attempts_left:
                raise


def bind_udp(host: str, port: int) -> socket.socket:
    """Bind the socket, non-blocking; `::` means IPv4 too. Raises `StreamSocketError`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StreamSocketError(
            f"The address {host!r} for WebRTC is not known here: {error.strerror}."
        ) from None
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    udp_socket = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp_socket.setblocking(False)
        if family == socket.AF_INET6:
            udp_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER_BYTES)
        udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
        udp_socket.bind(address)
    except OSError as error:
        udp_socket.close()
        taken = error.errno == errno.EADDRINUSE
        reason = "is taken" if taken else f"cannot be had ({os.strerror(error.errno or 0)})"
        raise StreamSocketError(
            f"UDP port {port} on {host} {reason}: choose another with --webrtc-port."
        ) from None
    return udp_socket


def reachable(udp_socket: socket.socket, by: str) -> list[tuple[str, int]]:
    """Addresses and port where peers reach the socket, the likeliest first.

    `by` is the address of ours by which a peer has asked over HTTP: where the socket has all
    addresses, that one surely leads to it, unless HTTP came through a proxy.
    """
    host, port = udp_socket.getsockname()[:2]
    if not ipaddress.ip_address(host).is_unspecified:
        return [(host, port)]
    families = [socket.AF_INET]
    if udp_socket.family == socket.AF_INET6:
        families.append(socket.AF_INET6)
    hosts = [by, *(own_address(family, elsewhere) for family, elsewhere in _ELSEWHERE)]
    return [(each, port) for each in dict.fromkeys(hosts) if _is_of(each, families)]


class PublicHosts:
    """What this machine is called from outside, where a router or a container hides its addresses.

    Names are looked up when somebody asks, and once a minute at most: the address that a provider
    gives may change.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, hosts: Sequence[str]) -> None:
        self._loop = loop
        self._hosts = hosts
        self._found: dict[str, tuple[float, list[str]]] = {}

    async def addresses(self) -> list[str]:
        """The IP addresses, in the order of the hosts; a name that isn't known gives none."""
        found = [each for host in self._hosts for each in await self._look_up(host)]
        return list(dict.fromkeys(found))

    async def _look_up(self, host: str) -> list[str]:
        now = self._loop.time()
        since, addresses = self._found.get(host, (-math.inf, []))
        if now - since < _LOOK_UP_AGAIN_S:
            return addresses
        try:
            async with asyncio.timeout(_LOOK_UP_S):
                answers = await self._loop.getaddrinfo(host, 0, type=socket.SOCK_DGRAM)
                addresses = [str(address[0]) for *_, address in answers]
        except (OSError, TimeoutError) as error:
            _log.warning("The public host %r is not known here: %s", host, error or "no answer")
        self._found[host] = now, addresses
        return addresses


def own_address(family: socket.AddressFamily, elsewhere: str) -> str:
    """The address by which packets for elsewhere would leave; empty where there is no way."""
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((elsewhere, 9))
        except OSError:
            return ""
        return str(probe.getsockname()[0])


def _is_of(host: str, families: list[socket.AddressFamily]) -> bool:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return family in families and not address.is_unspecified
