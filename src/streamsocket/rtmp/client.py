"""Pushing a stream on to another RTMP server. The rules are in `client_protocol.py`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from streamsocket.errors import ConnectError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track
from streamsocket.rtmp.address import parse_push_url
from streamsocket.rtmp.client_protocol import Accepted, ClientProtocol, Rejected
from streamsocket.rtmp.outgoing import OutgoingTracks, metadata
from streamsocket.rtmp.send_queue import SendQueue

_STALLED_S = 15.0
"""A server that took nothing for so long is gone."""
_UNSENT_BYTES = 64 * 1024
"""What the transport may hold: the rest waits in the queue, which knows its age."""


class RtmpPush:
    """A stream's way to another server: `open`, then `write`, then `close`.

    `on_lost` is called once with the reason when the server hangs up, refuses to go on, or takes
    nothing for 15 seconds; the push is closed then.
    """

    def __init__(self, on_lost: Callable[[ConnectError], None] = lambda error: None) -> None:
        self._on_lost = on_lost
        self._queue = SendQueue()
        self._connection: _Connection | None = None
        self._protocol: ClientProtocol | None = None
        self._outgoing = OutgoingTracks(())

    @property
    def dropped(self) -> int:
        """How many pictures and frames of sound the server was too slow for."""
        return self._queue.dropped

    @property
    def is_open(self) -> bool:
        """Whether the server takes the stream."""
        return self._connection is not None

    async def open(self, url: str, tracks: Sequence[Track], timeout_s: float = 10.0) -> None:
        """Connect, and ask to publish these tracks.

        `rtmp://user:pass@…` is sent as `?user=…&pass=…` behind the stream's key. Raises
        `StreamSocketError` for a codec that RTMP has no place for or a URL that is none, and
        `ConnectError` where the server cannot be reached or refuses.
        """
        address = parse_push_url(url)
        self._outgoing = OutgoingTracks(tracks)
        host = f"{address.host}:{address.port}"
        protocol = ClientProtocol(address)
        connection = _Connection(host, protocol, self._lost, self._send)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(timeout_s):
                await loop.create_connection(lambda: connection, address.host, address.port)
                await connection.answer
        except TimeoutError:
            connection.close()
            raise ConnectError(
                f"The RTMP server {host} gave no answer within {timeout_s:g} s."
            ) from None
        except OSError as error:
            raise ConnectError(
                f"The RTMP server {host} cannot be reached: {error.strerror or error}."
            ) from None
        except BaseException:
            connection.close()
            raise
        self._protocol, self._connection = protocol, connection
        connection.write(protocol.metadata(metadata(tracks)))

    def write(self, track_index: int, unit: AccessUnit, dts: int) -> None:
        """Send an access unit of one track, in decoding order.

        `dts` and the unit's timestamp are ticks of the track's clock rate that count from the same
        moment for all tracks. What the server is too slow for is dropped after 2 s, to the next
        keyframe.
        """
        connection = self._connection
        if connection is None:
            return
        now = time.monotonic()
        if connection.full_since and now - connection.full_since > _STALLED_S:
            self._lost(connection.error(f"has taken nothing for {_STALLED_S:g} s"))
            return
        for message in self._outgoing.messages(track_index, unit, dts):
            self._queue.put(message, now)
        self._send()

    def close(self) -> None:
        """End the stream and the connection."""
        connection, self._connection = self._connection, None
        if connection and self._protocol:
            connection.write(self._protocol.goodbye())
            if connection.full_since:
                connection.abort()  # it would hold what is unsent for as long as TCP hopes
            else:
                connection.close()

    def _send(self) -> None:
        """Send what the transport takes."""
        while self._connection and self._protocol and not self._connection.full_since:
            message = self._queue.take()
            if message is None:
                return
            data = self._protocol.media(message.kind, message.timestamp, message.body)
            self._connection.write(data)

    def _lost(self, error: ConnectError) -> None:
        connection, self._connection = self._connection, None
        if connection:
            connection.abort()
            self._on_lost(error)


class _Connection(asyncio.Protocol):
    """The socket."""

    def __init__(
        self,
        host: str,
        protocol: ClientProtocol,
        on_lost: Callable[[ConnectError], None],
        on_room: Callable[[], None],
    ) -> None:
        self.answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the server takes the stream; `ConnectError` if it doesn't."""
        self.full_since: float | None = None
        """Since when the transport has held as much as it may."""
        self._host = host
        self._protocol = protocol
        self._on_lost = on_lost
        self._on_room = on_room
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.set_write_buffer_limits(high=_UNSENT_BYTES)
        transport.write(self._protocol.data_to_send())

    def data_received(self, data: bytes) -> None:
        events = self._protocol.receive(data)
        self.write(self._protocol.data_to_send())
        for event in events:
            match event:
                case Accepted():
                    if not self.answer.done():
                        self.answer.set_result(None)
                case Rejected(reason):
                    self._end(f"refuses the stream: {reason}")

    def connection_lost(self, error: Exception | None) -> None:
        self._transport = None
        self._end("has hung up")

    def pause_writing(self) -> None:
        self.full_since = time.monotonic()

    def resume_writing(self) -> None:
        self.full_since = None
        self._on_room()

    def write(self, data: bytes) -> None:
        if self._transport and data:
            self._transport.write(data)

    def close(self) -> None:
        self.answer.cancel()
        if self._transport:
            self._transport.close()

    def abort(self) -> None:
        if self._transport:
            self._transport.abort()

    def error(self, what: str) -> ConnectError:
        """What the server did, as a sentence."""
        return ConnectError(f"The RTMP server {self._host} {what}.")

    def _end(self, reason: str) -> None:
        if self.answer.done():
            self._on_lost(self.error(reason))
        else:
            self.answer.set_exception(self.error(reason))
