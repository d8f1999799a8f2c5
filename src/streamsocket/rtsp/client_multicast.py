"""A viewer's pair of sockets in a multicast group (RFC 2326, 12.39)."""

from __future__ import annotations

import socket
import sys
from ipaddress import AddressValueError, IPv4Address
from typing import Any, NamedTuple

from streamsocket.errors import ConnectError
from streamsocket.rtsp.headers import TransportSpec

_ANY = ""


class Group(NamedTuple):
    """Where a track is sent to for all viewers."""

    host: str
    ports: tuple[int, int]
    """Of RTP and RTCP."""


def agreed_group(transport: TransportSpec) -> Group:
    """The group that a server has named in its answer to SETUP.

    Raises ConnectError if it named none that can be joined.
    """
    host, ports = transport.destination, transport.ports
    try:
        if transport.multicast and host and ports and IPv4Address(host).is_multicast:
            return Group(host, ports)
    except AddressValueError:
        pass
    raise ConnectError(
        "The server names no multicast group of IPv4 that could be joined: ask for another "
        "--transport."
    )


def join(group: Group, local_address: tuple[Any, ...]) -> tuple[socket.socket, socket.socket]:
    """Sockets that hear the group, non-blocking, on the interface that has this address.

    Raises ConnectError if that cannot be.
    """
    rtp = _joined(group.host, group.ports[0], local_address)
    try:
        return rtp, _joined(group.host, group.ports[1], local_address)
    except ConnectError:
        rtp.close()
        raise


def _joined(host: str, port: int, local_address: tuple[Any, ...]) -> socket.socket:
    udp_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        # Other viewers on this machine listen to the same group.
        udp_socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Bound to the group, it hears no others on the same port; Windows knows no such thing.
        udp_socket.bind((_ANY if sys.platform == "win32" else host, port))
        membership = socket.inet_aton(host) + _interface(local_address)
        udp_socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, membership)
        udp_socket.setblocking(False)
    except OSError as error:
        udp_socket.close()
        raise ConnectError(
            f"The multicast group {host}:{port} cannot be joined ({error.strerror}): ask for "
            "another --transport."
        ) from error
    return udp_socket


def _interface(local_address: tuple[Any, ...]) -> bytes:
    """The address that the connection to the server goes out from; any, if it is IPv6's."""
    try:
        return IPv4Address(str(local_address[0]).removeprefix("::ffff:")).packed
    except AddressValueError:
        return bytes(4)
