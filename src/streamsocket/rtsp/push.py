"""Publishing a stream of the hub on another RTSP server: ANNOUNCE, SETUP, RECORD."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Literal

from streamsocket.errors import ConnectError, ParseError, StreamSocketError
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.tcp import TcpTarget
from streamsocket.hub.transport_sender import TransportSender
from streamsocket.hub.udp import UdpSender, UdpTarget
from streamsocket.rtp.rtcp import Nack, Pli, ReceiverReport, parse_rtcp
from streamsocket.rtsp import sdp
from streamsocket.rtsp.dialogue import Dialogue, ElsewhereError, NonsenseError, RefusedError
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.udp_ports import bind_pair

Wish = Literal["mixed", "udp", "tcp"]
PushTransport = Literal["auto"] | Wish

UDP_PATIENCE_S = 8.0
"""A server that has reported on nothing that long after RECORD is taken not to get it over UDP."""

_TEARDOWN_S = 1.0
_DATAGRAMS_PER_WAKEUP = 64
_UNSUPPORTED = 461
_NO_UDP = (_UNSUPPORTED, 400, 406, 500, 503)
"""How servers say that UDP, or a mix with TCP, is not for them."""


class _UdpSilentError(ConnectError):
    """Nothing shows that what is sent over UDP arrives."""


async def push_rtsp(
    stream: Stream,
    url: str,
    *,
    transport: PushTransport = "auto",
    timeout_s: float = 10.0,
    on_live: Callable[[], None] = lambda: None,
) -> None:
    """Publish a stream at `url` until it ends; `on_live` is called once the server takes it.

    `"auto"` sends the picture over UDP and the sound over TCP; where the server refuses that, or
    doesn't report that it gets the picture, everything goes over TCP, and where that is refused,
    over UDP. Over `rtsps://` it is TCP. Raises ConnectError if the server refuses, or vanishes. The
    running loop has to be one with `add_reader`.
    """
    wishes: list[Wish] = ["mixed", "tcp", "udp"] if transport == "auto" else [transport]
    if url.lower().startswith("rtsps:"):
        if transport in ("mixed", "udp"):
            raise ConnectError("Over rtsps:// everything goes over TCP: leave out the transport.")
        wishes = ["tcp"]
    while True:
        wish = wishes.pop(0)
        push = _Push(stream, url, wish, timeout_s)
        try:
            await push.begin()
            on_live()
            await push.last(needs_reports=bool(wishes))
            return
        except (RefusedError, NonsenseError) as refusal:
            status = refusal.status if isinstance(refusal, RefusedError) else _UNSUPPORTED
            about_transport = (_UNSUPPORTED,) if wish == "tcp" else _NO_UDP
            if not wishes or status not in about_transport or not push.announced:
                raise
        except _UdpSilentError:
            pass
        finally:
            await push.close()


class _Push:
    """One connection that publishes."""

    def __init__(self, stream: Stream, url: str, wish: Wish, timeout_s: float) -> None:
        self._stream = stream
        self._wish = wish
        self._loop = asyncio.get_running_loop()
        self._dialogue = Dialogue(url, self, timeout_s=timeout_s)
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._reader = Reader(stream, on_end=self._stream_ended, is_viewer=False)
        self._connection: TransportSender | None = None
        self._udp: list[tuple[UdpSender, socket.socket, socket.socket]] = []
        self._over_udp: set[int] = set()
        """The SSRCs of what goes over UDP."""
        self._reported = asyncio.Event()
        self._recording = False
        self.announced = False
        """The server has granted the announcement: what it refuses then may be the transport."""

    async def begin(self) -> None:
        """Connect, announce, set every track up, and send."""
        dialogue = self._dialogue
        await dialogue.connect()
        while True:
            try:
                await dialogue.options()
                await self._announce()
                break
            except ElsewhereError as elsewhere:
                await dialogue.move(elsewhere.protocol)
        assert dialogue.transport is not None
        self._connection = TransportSender(self._loop, dialogue.transport)
        for track in self._stream.tracks:
            over_udp = self._wish == "udp" or (self._wish == "mixed" and track.is_video)
            await (self._set_up_udp if over_udp else self._set_up_tcp)(track.index)
        await dialogue.request("RECORD", dialogue.protocol.request_record())
        self._recording = True
        dialogue.stay_alive()
        self._reader.prepare(keep_timestamps=True)
        self._reader.start()

    async def last(self, *, needs_reports: bool) -> None:
        """Wait for the end of the stream. Raises ConnectError if the server vanishes first."""
        if needs_reports and self._udp:
            with suppress(TimeoutError):
                reported = asyncio.ensure_future(self._reported.wait())
                try:
                    async with asyncio.timeout(UDP_PATIENCE_S):
                        await asyncio.wait(
                            (reported, self._over), return_when=asyncio.FIRST_COMPLETED
                        )
                finally:
                    reported.cancel()
            if not self._reported.is_set() and not self._over.done():
                raise _UdpSilentError("Nothing says that what is sent over UDP arrives.")
        await self._over

    async def close(self) -> None:
        """Leave the server, in a second at most, and give every socket back."""
        self._reader.close()
        dialogue = self._dialogue
        dialogue.stop_staying_alive()
        if self._over.done() and not self._over.cancelled():
            self._over.exception()  # it has been raised, or something else has
        recording, self._recording = self._recording, False
        try:
            if recording and dialogue.is_open:
                await dialogue.teardown(_TEARDOWN_S)
        finally:
            if self._connection:
                self._connection.close()
            for sender, rtp, rtcp in self._udp:
                sender.close()
                self._loop.remove_reader(rtcp)
                rtp.close()
                rtcp.close()
            await dialogue.hang_up()

    async def _announce(self) -> None:
        dialogue = self._dialogue
        assert dialogue.transport is not None
        own_host = dialogue.transport.get_extra_info("sockname")[0]
        tracks = [track.track for track in self._stream.tracks]
        text = sdp.build(tracks, name=self._stream.name, host=own_host)
        await dialogue.request("ANNOUNCE", dialogue.protocol.request_announce(text))
        self.announced = True

    async def _set_up_tcp(self, track: int) -> None:
        wish = TransportSpec("tcp", interleaved=(2 * track, 2 * track + 1), mode="RECORD")
        agreed = await self._set_up(track, wish)
        assert self._connection is not None
        channels = agreed.interleaved or wish.interleaved or (0, 1)
        self._reader.add(track, self._connection, TcpTarget(*channels))

    async def _set_up_udp(self, track: int) -> None:
        assert self._dialogue.transport is not None
        local = self._dialogue.transport.get_extra_info("sockname")
        peer = self._dialogue.transport.get_extra_info("peername")
        try:
            rtp, rtcp = bind_pair(local[0])
        except StreamSocketError as error:
            raise ConnectError(str(error)) from error
        sender = UdpSender(self._loop, rtp, rtcp)
        self._udp.append((sender, rtp, rtcp))
        self._loop.add_reader(rtcp, partial(self._read_rtcp, rtcp, peer[0]))
        ports = rtp.getsockname()[1], rtcp.getsockname()[1]
        agreed = await self._set_up(track, TransportSpec("udp", client_ports=ports, mode="RECORD"))
        if agreed.server_ports is None:
            raise NonsenseError(f"{self._dialogue.address} doesn't say which UDP port to send to.")
        # Never to another host that it names: nobody there has asked for it.
        first, second = agreed.server_ports
        target = UdpTarget((peer[0], first, *peer[2:]), (peer[0], second, *peer[2:]))
        self._reader.add(track, sender, target)
        self._over_udp.add(self._stream.tracks[track].ssrc)

    async def _set_up(self, track: int, wish: TransportSpec) -> TransportSpec:
        dialogue = self._dialogue
        request = dialogue.protocol.request_record_setup(sdp.track_control(track), wish)
        return (await dialogue.request("SETUP", request)).transport or wish

    def _stream_ended(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

    def _read_rtcp(self, rtcp: socket.socket, server: str) -> None:
        for _ in range(_DATAGRAMS_PER_WAKEUP):
            try:
                data, address = rtcp.recvfrom(2048)
            except BlockingIOError:
                return
            except OSError:
                continue  # an earlier report was answered "port unreachable"
            if address[0] == server:
                self._take_rtcp(data)

    def _take_rtcp(self, data: bytes) -> None:
        try:
            packets = parse_rtcp(data)
        except ParseError:
            return
        for packet in packets:
            match packet:
                case Nack(media_ssrc=ssrc, sequences=sequences):
                    self._reader.resend(ssrc, sequences)
                case Pli():
                    self._reader.request_keyframe()
                case ReceiverReport(blocks=blocks):
                    if any(block.ssrc in self._over_udp for block in blocks):
                        self._reported.set()
                case _:
                    pass

    # What the dialogue calls.

    def frames(self, frames: list[tuple[int, bytes]], arrival: float) -> None:
        """The server reports on a track's other channel."""
        for channel, data in frames:
            if channel % 2:
                self._take_rtcp(data)

    def lost(self, failure: ConnectError) -> None:
        """The connection is of no more use."""
        if self._recording and not self._over.done():
            self._over.set_exception(failure)

    def writable(self, is_writable: bool) -> None:
        """The connection's buffer has filled, or has room again."""
        if self._connection:
            (self._connection.resume if is_writable else self._connection.pause)()
