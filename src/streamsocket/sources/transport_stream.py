"""The `udp://` source: an MPEG transport stream that somebody sends to us."""

from __future__ import annotations

import errno
import os
import select
import socket
import struct
import sys
import time
from contextlib import suppress
from ipaddress import ip_address
from itertools import groupby

from streamsocket.errors import SourceError
from streamsocket.sources.link import TrackBatch, Waiting
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.spec import UdpSpec, is_multicast
from streamsocket.sources.transport_intake import Message, TransportIntake

_RECEIVE_BUFFERS = (8 << 20, 2 << 20, 1 << 20)
"""The largest that the system grants; a keyframe comes all at once."""
_MAX_DATAGRAM = 1 << 16
_DATAGRAMS_A_WAKEUP = 64
_LOOK_AROUND_S = 0.1
_ANY = ""


def run_transport_stream(spec: UdpSpec, outlet: Outlet) -> None:
    """Receive for ever, that is until `StoppedError`. Raises `SourceError` if it can't listen."""
    intake = TransportIntake(spec.text)
    with open_socket(spec) as sock:
        outlet.event(Waiting(f"It waits for what is sent to {spec.text}."))
        while True:
            readable, _, _ = select.select([sock], [], [], _LOOK_AROUND_S)
            messages = _receive(sock, intake) if readable else []
            _hand_over(messages + intake.look_around(time.monotonic()), outlet)
            outlet.wait_until(time.monotonic())  # no wait: only minds the server's commands


def _receive(sock: socket.socket, intake: TransportIntake) -> list[Message]:
    """What the datagrams that are there bring."""
    messages: list[Message] = []
    now, wall_clock = time.monotonic(), time.time()
    with suppress(OSError):  # there is no more; or Windows tells of somebody else's trouble
        for _ in range(_DATAGRAMS_A_WAKEUP):
            data, sender = sock.recvfrom(_MAX_DATAGRAM)
            messages += intake.receive(data, sender, now, wall_clock)
    return messages


def _hand_over(messages: list[Message], outlet: Outlet) -> None:
    """Tell the server, with all batches between two events in one write."""
    for are_batches, group in groupby(messages, lambda each: isinstance(each, TrackBatch)):
        if are_batches:
            outlet.batches([each for each in group if isinstance(each, TrackBatch)])
        else:
            for each in group:
                if not isinstance(each, TrackBatch):
                    outlet.event(each)


def open_socket(spec: UdpSpec) -> socket.socket:
    """A non-blocking socket that listens there, in the multicast group if it is one.

    Raises `SourceError`.
    """
    try:
        found = socket.getaddrinfo(
            spec.host, spec.port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE
        )
    except OSError:
        raise SourceError(
            f"'{spec.host}' in {spec.text} is no address: write one of this machine's, or 0.0.0.0."
        ) from None
    family, _, _, _, address = found[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _bind(sock, spec, address)
    except OSError as error:
        sock.close()
        raise SourceError(f"{spec.text} cannot be received: {_reason(error, spec)}") from error
    except SourceError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _bind(sock: socket.socket, spec: UdpSpec, address: tuple[object, ...]) -> None:
    for size in _RECEIVE_BUFFERS:
        with suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            break
    is_ipv6 = sock.family == socket.AF_INET6
    if not is_multicast(spec.host):
        if is_ipv6 and address[0] == "::":
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(address)
        return
    # Others may listen to the same group, and to other groups on the same port.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if is_ipv6:
        _join_ipv6(sock, str(address[0]), spec)
    else:
        _join_ipv4(sock, str(address[0]), spec)


def _join_ipv4(sock: socket.socket, group: str, spec: UdpSpec) -> None:
    """Listen to a group, and ask the network for it (IGMP)."""
    sock.bind((_ANY if sys.platform == "win32" else group, spec.port))
    request = socket.inet_aton(group)
    if spec.interface is None:
        request += bytes(4)
    elif _is_address(spec.interface):
        request += socket.inet_aton(spec.interface)
    else:
        request += struct.pack("@4xi", _interface_index(spec.interface))
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, request)


def _join_ipv6(sock: socket.socket, group: str, spec: UdpSpec) -> None:
    """Listen to a group, and ask the network for it (MLD)."""
    index = 0
    if spec.interface is not None:
        if _is_address(spec.interface):
            raise SourceError(
                f"For the IPv6 group {group}, interface= takes the interface's name, such as eth0."
            )
        index = _interface_index(spec.interface)
    sock.bind((_ANY if sys.platform == "win32" else group, spec.port, 0, index))
    request = socket.inet_pton(socket.AF_INET6, group.partition("%")[0]) + struct.pack("@I", index)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, request)


def _interface_index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:
        raise SourceError(
            f"This machine has no network interface {name}: write interface=ADDRESS, "
            "with an address of this machine in that network."
        ) from None


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _reason(error: OSError, spec: UdpSpec) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"UDP port {spec.port} is in use already, choose another one."
    if error.errno == errno.EACCES:
        return f"the system does not let you listen at port {spec.port}, choose one above 1023."
    if error.errno in (errno.EADDRNOTAVAIL, errno.ENODEV):
        if is_multicast(spec.host):
            wanted = spec.interface or "that is one for multicast"
            return f"this machine has no network interface {wanted}, write interface=ADDRESS."
        return f"this machine has no address {spec.host}, write 0.0.0.0 for all that it has."
    return f"{os.strerror(error.errno) if error.errno else error}."
