"""One publisher's RTMP connection: its socket, its rights, its stream."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from streamsocket.errors import StreamSocketError
from streamsocket.rtmp.address import PublishAddress
from streamsocket.rtmp.publisher import Publisher
from streamsocket.rtmp.server_protocol import (
    Event,
    MediaReceived,
    MetadataReceived,
    PublishRequested,
    Refused,
    ServerProtocol,
    Unpublished,
)

if TYPE_CHECKING:
    from streamsocket.rtmp.server import RtmpServer

_MAX_UNREAD_BYTES = 256 * 1024
"""Of answers: a peer that leaves more unread is not listening."""
_FAREWELL_S = 1.0
"""How long a publisher may take to read why it was refused."""


class RtmpConnection(asyncio.BufferedProtocol):
    """Reads messages, asks who may publish, and hands the stream to its publisher."""

    def __init__(self, server: RtmpServer) -> None:
        self.host = ""
        self.publisher: Publisher | None = None
        self._server = server
        self._protocol = ServerProtocol()
        self._transport: asyncio.Transport | None = None
        self._asking: asyncio.Task[None] | None = None
        self._leaving = False
        # Since when it has owed us a stream, and when it last sent anything.
        self._waiting_since = self._heard = time.monotonic()

    # What the loop calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        peer = transport.get_extra_info("peername")
        self.host = str(peer[0]) if peer else ""
        if not self._server.admit(self):
            transport.abort()

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        if self._asking:
            self._asking.cancel()
        self._end_stream()
        self._server.forget(self)

    def get_buffer(self, size_hint: int) -> memoryview:
        return self._server.buffer

    def buffer_updated(self, size: int) -> None:
        self._heard = time.monotonic()
        if not self._leaving:
            self._handle_all(self._protocol.receive(bytes(self._server.buffer[:size])))

    # What the server calls.

    def close(self) -> None:
        """End the stream and the connection, once what was said is sent."""
        self._leaving = True
        self._end_stream()
        if self._transport:
            self._transport.close()

    def check(self, now: float) -> None:
        """Do what is due by the clock: publish what waited long enough, close what is silent."""
        if self._transport is None or self._leaving:
            return
        options = self._server.options
        unread = self._transport.get_write_buffer_size()
        started = self.publisher is not None and self.publisher.started
        waits = now - self._waiting_since
        if unread > _MAX_UNREAD_BYTES or now - self._heard > options.idle_timeout_s:
            self._server.refused["silent_connection"] += 1
            self._end_stream()
            self._transport.abort()
        elif not started and waits > options.begin_timeout_s:
            self._refuse("No picture and no sound came that could be published.")
        elif self.publisher:
            self._try(lambda publisher: publisher.poll(now))

    def _handle_all(self, events: list[Event]) -> None:
        arrival = time.time()
        for event in events:
            if not self._leaving:
                self._handle(event, arrival)
        if self.publisher:
            self.publisher.flush()
        self._send()

    def _handle(self, event: Event, arrival: float) -> None:
        match event:
            case MediaReceived(kind, timestamp, body):
                now = self._heard
                self._try(lambda to: to.receive(kind, timestamp, body, now=now, arrival=arrival))
            case MetadataReceived(announced):
                self._try(lambda to: to.announce(announced))
            case PublishRequested(address):
                assert self._transport is not None
                # Nothing more is read before it is known whether that is wanted.
                self._transport.pause_reading()
                self._asking = self._server.loop.create_task(self._ask(address))
            case Unpublished():
                self._end_stream()
            case Refused():
                self._server.refused[event.reason] += 1
                if event.close:
                    self._send()
                    self.close()

    def _try(self, action: Callable[[Publisher], None]) -> None:
        """Do something with the publisher, if there is one; it goes if it cannot be done."""
        if self.publisher is None:
            return
        try:
            action(self.publisher)
        except StreamSocketError as error:
            self._refuse(str(error))

    async def _ask(self, address: PublishAddress) -> None:
        """Find out whether it may publish; then go on reading."""
        try:
            await self._server.may_publish(address, self.host)
        except StreamSocketError as error:
            self._asking = None
            self._refuse(str(error))
        else:
            self._asking = None
            self.publisher = Publisher(
                address.name, self._server.publish, on_replaced=self._replaced
            )
            self._protocol.publish_started()
            self._handle_all(self._protocol.receive(b""))
        if self._transport:
            self._transport.resume_reading()

    def _refuse(self, sentence: str) -> None:
        """Tell the publisher why not, and hang up once it had time to read that."""
        self._server.refused["publish"] += 1
        self._leaving = True
        self._end_stream()
        self._protocol.publish_refused(sentence)
        self._send()
        self._server.loop.call_later(_FAREWELL_S, self.close)

    def _replaced(self) -> None:
        self._refuse("Another publisher has taken the place of this one.")

    def _end_stream(self) -> None:
        publisher, self.publisher = self.publisher, None
        if publisher:
            self._server.count(publisher)
            publisher.close()
        self._waiting_since = time.monotonic()

    def _send(self) -> None:
        data = self._protocol.data_to_send()
        if data and self._transport:
            self._transport.write(data)
