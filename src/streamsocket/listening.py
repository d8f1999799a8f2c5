"""The listening socket of a TCP server, or one sentence that says why there is none."""

from __future__ import annotations

import errno
import os
import socket
import sys

from streamsocket.errors import StreamSocketError


def listening_socket(host: str, port: int, *, backlog: int, port_option: str) -> socket.socket:
    """Listen on an address; `::` means IPv4 too.

    `port_option` is how a user chooses another port. Raises `StreamSocketError`.
    """
    try:
        addresses = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise StreamSocketError(
            f"The address {host!r} to listen on is not known here: {error.strerror}."
        ) from None
    # A name like "localhost" is IPv4 first here: that is what 127.0.0.1 in a player means.
    family, kind, protocol, _, address = min(
        addresses, key=lambda found: found[0] != socket.AF_INET
    )
    listener = socket.socket(family, kind, protocol)
    try:
        if sys.platform != "win32":  # there it would let two programs share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, host != "::")
        listener.bind(address)
        listener.listen(backlog)
    except OSError as error:
        listener.close()
        raise StreamSocketError(_sentence(host, port, error, port_option)) from None
    return listener


def _sentence(host: str, port: int, error: OSError, port_option: str) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"Port {port} on {host} is taken: end the program that has it, or choose another "
            f"with {port_option}."
        )
    if error.errno == errno.EACCES:
        return f"Port {port} is not for ordinary users: choose one above 1023 with {port_option}."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This machine has no address {host}: choose another one with --host."
    # Not error.strerror: Python adds to it what it was doing.
    reason = os.strerror(error.errno or 0)
    return (
        f"Cannot listen on {host} port {port} ({reason}): choose another with --host and "
        f"{port_option}."
    )
