"""Sending over TCP: everything that leaves through one connection, in order and bounded."""

from __future__ import annotations

import socket
import time
from asyncio import AbstractEventLoop
from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from streamsocket.hub.wire import interleaved
from streamsocket.tls import TlsSocket

if TYPE_CHECKING:
    from streamsocket.hub.output import Output

# What the kernel may hold for one viewer (it doubles the figure for its own bookkeeping). Without
# a bound it grows to 4 MB: many seconds of stale pictures for a viewer that reads slowly.
SEND_BUFFER_BYTES = 256 * 1024

# Responses and reports for a peer that reads nothing: past this the connection is given up.
_MAX_WAITING_CONTROL_BYTES = 256 * 1024


class TcpTarget(NamedTuple):
    """The interleaved channels of one track of one viewer."""

    rtp: int
    rtcp: int


class TcpSender:
    """Owns the writing side of one connection: responses, reports and packets share it."""

    def __init__(
        self,
        loop: AbstractEventLoop,
        connection: socket.socket | TlsSocket,
        on_failure: Callable[[], None],
    ) -> None:
        self._loop = loop
        self._socket = connection
        self._on_failure = on_failure
        self._failed = False
        self._outputs: dict[Output, None] = {}
        self._waiting: deque[memoryview] = deque()
        self._waiting_control = 0
        self.socket_send: Callable[[bytes | memoryview], int] = connection.send
        connection.setblocking(False)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def write(self, data: bytes) -> None:
        """Send a response or a report, after whatever waits already."""
        if self._failed:
            return
        if self._waiting:
            self._waiting_control += len(data)
            if self._waiting_control > _MAX_WAITING_CONTROL_BYTES:
                self.fail()
                return
            self._waiting.append(memoryview(data))
        else:
            self._send(data)

    @property
    def stalled(self) -> bool:
        """Whether the peer has not read enough lately for everything to be sent."""
        return bool(self._waiting)

    # What the fan-out calls after a send of its own.

    def keep(self, data: bytes, sent: int) -> None:
        """The socket took only the first `sent` bytes: keep the rest, queue what comes."""
        if not self._waiting:
            self._loop.add_writer(self._socket, self._writable)
        self._waiting.append(memoryview(data)[sent:])
        for output in self._outputs:
            output.track.interleaved.remove(self, output)
            output.hold()

    def fail(self) -> None:
        """The connection is broken: tell its owner, once, and drop what waits."""
        if self._failed:
            return
        self._failed = True
        self._forget_waiting()
        self._loop.call_soon(self._on_failure)

    # What an output calls.

    def blocks(self, output: Output) -> bool:
        """Whether the connection takes nothing at the moment."""
        return bool(self._waiting) or self._failed

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets of one track; what the socket doesn't take now is kept and sent later."""
        self._send(interleaved(buffer, sizes, _target(output).rtp))

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet for one track."""
        self.write(interleaved(rtcp, (len(rtcp),), _target(output).rtcp))

    def enter(self, output: Output) -> None:
        """The output will send through this connection, on its own at first."""
        self._outputs[output] = None

    def go_live(self, output: Output) -> None:
        """From now on the output gets what its group gets."""
        output.track.interleaved.add(self, output, _target(output).rtp)

    def leave(self, output: Output) -> None:
        """The output stops: take it out of its group."""
        output.track.interleaved.remove(self, output)
        self._outputs.pop(output, None)

    def close(self) -> None:
        """Stop watching the socket; closing it is for who opened it."""
        self._failed = True
        self._forget_waiting()

    def _send(self, data: bytes) -> None:
        if self._waiting:
            self._waiting.append(memoryview(data))
            return
        try:
            sent = self.socket_send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.fail()
            return
        if sent != len(data):
            self.keep(data, sent)

    def _writable(self) -> None:
        waiting = self._waiting
        while waiting:
            try:
                sent = self.socket_send(waiting[0])
            except BlockingIOError:
                return
            except OSError:
                self.fail()
                return
            if sent < len(waiting[0]):
                waiting[0] = waiting[0][sent:]
                return
            waiting.popleft()
        self._waiting_control = 0
        self._loop.remove_writer(self._socket)
        now = time.monotonic()
        # Sound before picture: a late picture is seen, late sound is heard.
        for output in sorted(self._outputs, key=lambda output: output.track.is_video):
            output.pump(now)

    def _forget_waiting(self) -> None:
        if self._waiting:
            self._loop.remove_writer(self._socket)
            self._waiting.clear()


def _target(output: Output) -> TcpTarget:
    assert isinstance(output.target, TcpTarget)
    return output.target
