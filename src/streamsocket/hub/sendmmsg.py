"""Many sends in one system call: sendmmsg(2), which Linux has and Python doesn't.

A call of `socket.sendmsg` for each of hundreds of viewers spends a fifth of its time on the way
into the kernel and back, and on reading addresses.
"""

from __future__ import annotations

import ctypes
import functools
import socket
import struct
import sys
from collections.abc import Callable, Sequence
from typing import Any

MAX_MESSAGES = 32
"""What one call sends at most: more would gain nothing, and memory would not stay in caches."""

SOL_UDP = 17
UDP_SEGMENT = 103

_IPV4_NAME = struct.Struct("=H2s4s8x")
_IPV6_NAME = struct.Struct("=H2s4s16sI")
_PORT = struct.Struct("!H")
_FLOW = struct.Struct("!I")


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class _Header(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.c_void_p),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class _Message(ctypes.Structure):
    _fields_ = (("header", _Header), ("sent", ctypes.c_uint32))


class _Control(ctypes.Structure):
    _fields_ = (
        ("length", ctypes.c_size_t),
        ("level", ctypes.c_int),
        ("kind", ctypes.c_int),
        ("segment_size", ctypes.c_uint16),
    )


class ManySends:
    """Sends to many addresses at once, through one UDP socket."""

    def __init__(self, udp_socket: socket.socket) -> None:
        """Raises `OSError` where the system has no sendmmsg."""
        self._call = _system_call()
        self._socket = udp_socket
        self._family = udp_socket.family
        name = _IPV6_NAME if self._family == socket.AF_INET6 else _IPV4_NAME
        self._names = (ctypes.c_char * (name.size * MAX_MESSAGES))()
        self._vectors = (_Vector * MAX_MESSAGES)()
        self._messages = (_Message * MAX_MESSAGES)()
        self._control = _Control(_Control.segment_size.offset + 2, SOL_UDP, UDP_SEGMENT, 0)
        for place, message in enumerate(self._messages):
            header = message.header
            header.name = ctypes.addressof(self._names) + place * name.size
            header.name_length = name.size
            header.vectors = ctypes.addressof(self._vectors) + place * ctypes.sizeof(_Vector)
            header.vector_count = 1
            header.control = ctypes.addressof(self._control)
            header.control_length = ctypes.sizeof(_Control)
        self._names_view = memoryview(self._names).cast("B")
        self._vectors_view = memoryview(self._vectors).cast("B")
        self._messages_at = ctypes.addressof(self._messages)
        self._laid_out = (0, 0, 0)

    def name(self, address: tuple[Any, ...]) -> bytes:
        """The address as the kernel wants it; empty for what is none."""
        try:
            return _name(self._family, address)
        except OSError:
            return b""

    def send(
        self, names: Sequence[bytes], memory: int, stride: int, size: int, segment_size: int
    ) -> int:
        """Send `size` bytes from `memory` + n · `stride` to the n-th name, cut into datagrams.

        `memory` is an address that `address_of` told. Returns how many have been sent to: the first
        of the others was refused, or the socket's buffer is full.
        """
        joined = b"".join(names)
        self._names_view[: len(joined)] = joined
        if self._laid_out != (memory, stride, size):
            self._laid_out = (memory, stride, size)
            fields: list[int] = []
            for place in range(MAX_MESSAGES):
                fields += (memory + place * stride, size)
            _VECTORS.pack_into(self._vectors_view, 0, *fields)
        self._control.segment_size = segment_size
        sent = self._call(self._socket.fileno(), self._messages_at, len(names), 0)
        return max(0, sent)


_VECTORS = struct.Struct("@" + "PN" * MAX_MESSAGES)


def address_of(memory: bytearray) -> int:
    """Where the bytes are, for as long as they are referred to; they cannot be resized then."""
    return ctypes.addressof((ctypes.c_char * len(memory)).from_buffer(memory))


@functools.lru_cache(maxsize=8192)
def _name(family: int, address: tuple[Any, ...]) -> bytes:
    """A `sockaddr_in` or `sockaddr_in6`. Raises `OSError` for what is no address."""
    host, port = address[0].partition("%")[0], _PORT.pack(address[1])
    if family == socket.AF_INET6:
        flow, scope = address[2:] if len(address) == 4 else (0, 0)
        return _IPV6_NAME.pack(
            family, port, _FLOW.pack(flow), socket.inet_pton(socket.AF_INET6, host), scope
        )
    return _IPV4_NAME.pack(family, port, socket.inet_pton(socket.AF_INET, host))


@functools.cache
def _system_call() -> Callable[..., int]:
    if sys.platform != "linux":
        raise OSError("only Linux has sendmmsg")
    try:
        call: Any = ctypes.CDLL(None).sendmmsg
    except AttributeError as error:
        raise OSError("the C library has no sendmmsg") from error
    call.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    found: Callable[..., int] = call
    return found
