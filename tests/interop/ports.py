"""Ports that are free at this moment."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports() -> tuple[int, int, int]:
    """Two TCP ports of loopback, and an even UDP port with a free one above it."""
    with ExitStack() as stack:
        tcp = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        udp = [stack.enter_context(each) for each in udp_pair("127.0.0.1")]
        first, second, pair, _ = (each.getsockname()[1] for each in (*tcp, *udp))
        return first, second, pair


def udp_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets for RTP and RTCP: an even port and the one above it (RFC 3550, 11)."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                return rtp, rtcp
        except OSError:
            pass  # somebody else has it
        rtp.close()
        rtcp.close()
