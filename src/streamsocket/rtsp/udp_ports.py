"""Pairs of UDP ports: RTP on an even one, RTCP on the odd one above (RFC 3550, 11)."""

from __future__ import annotations

import random
import socket

from streamsocket.errors import StreamSocketError

_ATTEMPTS = 100
_LOWEST_PORT, _HIGHEST_PORT = 16_384, 32_766


def bind_pair(host: str, port: int = 0) -> tuple[socket.socket, socket.socket]:
    """Bind two UDP sockets, non-blocking, on an even port and the next; 0 means any free pair.

    Raises `StreamSocketError` if the pair is taken, or none is free.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last_error: OSError | None = None
    for _ in range(1 if port else _ATTEMPTS):
        candidate = port or random.randrange(_LOWEST_PORT, _HIGHEST_PORT, 2)
        try:
            rtp = _bind(family, host, candidate)
        except OSError as error:
            last_error = error
            continue
        try:
            return rtp, _bind(family, host, candidate + 1)
        except OSError as error:
            rtp.close()
            last_error = error
    ports = f"UDP ports {port} and {port + 1}" if port else "A free pair of UDP ports"
    raise StreamSocketError(
        f"{ports} on {host} cannot be had ({last_error}): choose another with --udp-port."
    )


def _bind(family: socket.AddressFamily, host: str, port: int) -> socket.socket:
    udp_socket = socket.socket(family, socket.SOCK_DGRAM)
    try:
        udp_socket.setblocking(False)
        if family == socket.AF_INET6 and hasattr(socket, "IPV6_V6ONLY"):
            # "::" means everybody, as the TCP listener understands it.
            udp_socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        udp_socket.bind((host, port))
    except OSError:
        udp_socket.close()
        raise
    return udp_socket
