"""Sending over a connection that asyncio holds, where the hub doesn't own the socket."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from streamsocket.hub.tcp import SEND_BUFFER_BYTES, TcpSender

if TYPE_CHECKING:
    from streamsocket.hub.output import Output


class TransportSender(TcpSender):
    """A `TcpSender` over an asyncio transport: its own queue is bounded, and tells when it is full.

    Who holds the transport's protocol passes `pause_writing` and `resume_writing` on as `pause`
    and `resume`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, transport: asyncio.Transport) -> None:
        self._loop = loop
        self._transport = transport
        self._failed = False
        self._paused = False
        self._outputs: dict[Output, None] = {}
        self.socket_send: Callable[[bytes | memoryview], int] = self._send_all
        transport.set_write_buffer_limits(high=SEND_BUFFER_BYTES)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def write(self, data: bytes) -> None:
        """Send a request or a report, after whatever waits already."""
        if not self._failed:
            self._transport.write(data)

    @property
    def stalled(self) -> bool:
        """Whether the peer has not read enough lately for everything to be sent."""
        return self._paused

    def blocks(self, output: Output) -> bool:
        """Whether the connection takes nothing at the moment."""
        return self._paused or self._failed

    def pause(self) -> None:
        """The transport holds as much as it may."""
        self._paused = True
        # Not now: this is called from within a send that goes through the group's members.
        self._loop.call_soon(self._hold_outputs)

    def resume(self) -> None:
        """The transport has room again."""
        self._paused = False
        now = time.monotonic()
        for output in sorted(self._outputs, key=lambda output: output.track.is_video):
            output.pump(now)

    def fail(self) -> None:
        """The connection is broken: its protocol's `connection_lost` tells the owner."""
        self._failed = True

    def close(self) -> None:
        """Send nothing more; closing the transport is for who opened it."""
        self._failed = True

    def _send_all(self, data: bytes | memoryview) -> int:
        self._transport.write(data)
        return len(data)

    def _send(self, data: bytes) -> None:
        self.write(data)

    def _hold_outputs(self) -> None:
        if self._paused:
            for output in self._outputs:
                output.track.interleaved.remove(self, output)
                output.hold()
