"""Bounds for HTTP connections that uvicorn doesn't set: how many, and for how long they may dawdle.

A peer that connects and says nothing, sends a header a minute or never reads its answer costs a
file descriptor each. Here it costs one for ten seconds.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

MAX_CONNECTIONS = 512
"""Further connections are closed at once."""
REQUEST_SECONDS = 10.0
"""A request must have arrived whole by then (the API takes no large bodies)."""
STALL_SECONDS = 10.0
"""An answer that its reader doesn't take for so long is given up."""


class BoundedProtocol(H11Protocol):
    """One HTTP/1.1 connection of uvicorn's, with deadlines."""

    _request_deadline: asyncio.TimerHandle | None = None
    _stall_deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > MAX_CONNECTIONS:
            transport.abort()
        else:
            self._request_deadline = self.loop.call_later(REQUEST_SECONDS, transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_request_deadline()
        self._cancel_stall_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.conn.their_state not in (h11.IDLE, h11.SEND_BODY):
            self._cancel_request_deadline()
        elif self._request_deadline is None:
            self._request_deadline = self.loop.call_later(REQUEST_SECONDS, self.transport.abort)

    def send_400_response(self, msg: str) -> None:
        if self.conn.our_state is h11.IDLE:
            super().send_400_response(msg)
            return
        # Nonsense behind a request that is being answered: uvicorn would put the 400 into the
        # middle of that answer, and log a traceback for what is the peer's fault.
        if self.cycle is not None:
            self.cycle.disconnected = True
        self.transport.abort()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._stall_deadline = self.loop.call_later(STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        self._cancel_stall_deadline()
        super().resume_writing()

    def _cancel_request_deadline(self) -> None:
        if self._request_deadline is not None:
            self._request_deadline.cancel()
            self._request_deadline = None

    def _cancel_stall_deadline(self) -> None:
        if self._stall_deadline is not None:
            self._stall_deadline.cancel()
            self._stall_deadline = None
