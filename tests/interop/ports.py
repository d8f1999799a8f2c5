"""Ports that are free at this moment, and that nobody else is likely to take before they are used.

They lie below those that the system itself gives out, to sockets that don't name one.
"""

from __future__ import annotations

import itertools
import os
import random
import socket
from collections.abc import Iterator
from contextlib import ExitStack, suppress

_FIRST, _PER_WORKER, _WORKERS = 12_000, 2_000, 8


def _numbers() -> Iterator[int]:
    """Even numbers, round and round; tests that run side by side have some of their own."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % _WORKERS
    first = _FIRST + worker * _PER_WORKER
    start = 2 * random.randrange(_PER_WORKER // 2)
    return (first + (start + step) % _PER_WORKER for step in itertools.count(0, 2))


_NUMBERS = _numbers()


def free_ports() -> tuple[int, int, int]:
    """Two TCP ports of loopback, and an even UDP port with a free one above it."""
    with ExitStack() as stack:
        rtp, _ = (stack.enter_context(each) for each in udp_pair("127.0.0.1"))
        return _free_tcp_port(stack), _free_tcp_port(stack), rtp.getsockname()[1]


def _free_tcp_port(stack: ExitStack) -> int:
    for number in _NUMBERS:
        with suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", number)))
            return number
    raise AssertionError("there is always one more")


def udp_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Sockets for RTP and RTCP: an even port and the one above it (RFC 3550, 11)."""
    for number in _NUMBERS:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        try:
            rtp.bind((host, number))
            rtcp.bind((host, number + 1))
        except OSError:
            rtp.close()
            rtcp.close()
            continue
        return rtp, rtcp
    raise AssertionError("there is always one more")
