"""One RTSP connection on the server: its socket, who it is, what it watches or publishes."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from streamsocket.auth.access import AccessDeniedError
from streamsocket.auth.users import Action, User
from streamsocket.errors import ConversionError, ParseError, StreamSocketError
from streamsocket.hub.hub import StreamTakenError
from streamsocket.hub.stream import Stream
from streamsocket.hub.tcp import TcpSender
from streamsocket.hub.udp import Address
from streamsocket.hub.wire import interleaved
from streamsocket.matching.match import NothingFitsError
from streamsocket.names import bad_name_reason, is_stream_name
from streamsocket.rtsp import sdp
from streamsocket.rtsp.ability import ability_of
from streamsocket.rtsp.publisher import Publisher, UnsupportedMediaError
from streamsocket.rtsp.server_authentication import (
    BasicCredentials,
    DigestFailed,
    DigestVerified,
    NoCredentials,
    ServerAuthentication,
    Stale,
)
from streamsocket.rtsp.server_events import (
    AnnounceRequested,
    DescribeRequested,
    Event,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    RecordRequested,
    Reply,
    Requested,
    SetupRequested,
    TeardownRequested,
)
from streamsocket.rtsp.server_protocol import ServerProtocol
from streamsocket.rtsp.viewer import Viewer
from streamsocket.tls import TlsSocket

if TYPE_CHECKING:
    from streamsocket.rtsp.server import RtspServer

_RECEIVE_BYTES = 64 * 1024

# Time enough for any player to say what it wants; who says nothing only holds a place.
_TIME_WITHOUT_SESSION_S = 15.0

# How long a player may take to read the last words of a stream that ended.
_FAREWELL_S = 1.0

# How long who asks for a stream waits for its source: a camera may have to be connected to first.
_PATIENCE_WITH_SOURCE_S = 10.0


class RtspConnection:
    """Reads requests, asks the hub, answers. Its sender carries responses and packets alike."""

    def __init__(
        self, server: RtspServer, accepted: socket.socket | TlsSocket, address: Address
    ) -> None:
        self._server = server
        self._socket = accepted
        self._address = address
        self.host = str(address[0])
        now = time.monotonic()
        self._opened = now
        self._protocol = ServerProtocol(
            self.host,
            now,
            timeout_s=round(server.options.session_timeout_s),
            # What is encrypted here must not leave in the clear beside it.
            udp=not isinstance(accepted, TlsSocket),
            multicast=server.multicast is not None,
        )
        access = server.access
        self._authentication = ServerAuthentication(access.user, access.digest_algorithms)
        self._user: User | None = None
        self._sender = TcpSender(server.loop, accepted, on_failure=self.close)
        self._own_host = str(accepted.getsockname()[0])
        self._closed = False
        self._stream_is_over = False
        self._events: Iterator[Event] = iter(())
        self._answering: asyncio.Task[None] | None = None
        self.viewer: Viewer | None = None
        """What it watches, from the first SETUP on."""
        self.publisher: Publisher | None = None
        """What it publishes, from ANNOUNCE on."""
        server.loop.add_reader(accepted, self._readable)

    def close(self) -> None:
        """End the session and the connection."""
        if self._closed:
            return
        self._closed = True
        if self._answering:
            self._answering.cancel()
        self._end_session()
        self._server.loop.remove_reader(self._socket)
        self._sender.close()
        self._socket.close()
        self._server.forget(self)

    def sweep(self, now: float) -> None:
        """Close if the session has expired, or none was ever begun; called every second."""
        if self.publisher:
            self.publisher.sweep(now)
            silent_s = now - self.publisher.last_arrival
            if self.publisher.ended or silent_s > self._server.options.publisher_timeout_s:
                self.close()
        elif self.viewer:
            if self.viewer.takes_all_through(self._sender):
                # A peer that takes all it is sent is there, even if it never says so, as some
                # recorders don't.
                self._protocol.touch(now)
            if self._protocol.expired(now):
                self.close()
        elif now - self._opened > _TIME_WITHOUT_SESSION_S:
            self._server.refused["silent_connection"] += 1
            self.close()

    def take_rtcp(self, data: bytes) -> None:
        """Take RTCP from this viewer, whichever way it came."""
        self._protocol.touch(time.monotonic())
        if self.viewer:
            try:
                self.viewer.take_rtcp(data)
            except ParseError:
                self._server.refused["malformed_rtcp"] += 1

    # Reading, one request after the other.

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            return
        self._events = self._protocol.receive(data, time.monotonic())
        self._proceed()

    def _proceed(self) -> None:
        """Answer what was asked, up to something that takes its time."""
        for event in self._events:
            self._handle(event)
            if self._closed or self._answering:
                break
        if self.publisher:
            self.publisher.flush()

    def _answer_later(self, answering: Coroutine[None, None, None]) -> None:
        """Answer when this has been found out; until then, nothing more is read."""

        async def answer() -> None:
            try:
                await answering
            except Exception:
                self.close()
                raise
            finally:
                self._answering = None
            if not self._closed:
                self._server.loop.add_reader(self._socket, self._readable)
                self._proceed()

        self._server.loop.remove_reader(self._socket)
        self._answering = self._server.loop.create_task(answer())

    def _handle(self, event: Event) -> None:
        match event:
            case Reply():
                if event.refused:
                    self._server.refused[event.refused] += 1
                self._sender.write(event.data)
                if event.close:
                    self.close()
            case InterleavedReceived():
                self._take_packets(event)
            case TeardownRequested():
                self._tear_down(event)
            case PauseRequested() if self.viewer:
                self.viewer.pause(event.tracks)
                self._sender.write(self._protocol.paused(event))
            case _ if self._stream_is_over:
                self._refuse(event, 454, "the stream has ended")
            case _ if not self._may(event):
                self._answer_later(self._log_in(event))
            case DescribeRequested():
                self._answer_later(self._describe(event))
            case _:
                self._grant(event)

    def _take_packets(self, event: InterleavedReceived) -> None:
        publisher = self.publisher
        if publisher and not event.is_rtcp:
            publisher.receive(event.track, event.packets, time.time())
        elif event.is_rtcp:
            for packet in event.packets:
                if publisher:
                    publisher.receive_rtcp(event.track, packet, time.time())
                else:
                    self.take_rtcp(packet)

    # Who it is, and what it may do.

    def _may(self, event: Requested) -> bool:
        """Whether this is allowed without another look at who asks."""
        action, name = _action(event), event.url.path
        if self._user and self._user.permissions.allow(action, name):
            return True
        return self._server.access.anonymous_may(action, name, self.host)

    async def _log_in(self, event: Requested) -> None:
        """Find out who asks, and do what is asked if that one may; otherwise refuse."""
        request, access = event.request, self._server.access
        now = time.monotonic()
        stale = False
        try:
            result = self._authentication.check(
                request.method, request.url, request.headers.get("Authorization"), now
            )
            match result:
                case BasicCredentials(user, password):
                    self._user = await access.by_password(user, password, self.host)
                case DigestVerified(verified):
                    self._user = await access.by_digest(verified.name, verified, self.host)
                case DigestFailed(user):
                    self._user = await access.by_digest(user, None, self.host)
                case Stale():
                    stale = True
                case NoCredentials():
                    pass
            access.require(_action(event), event.url.path, self.host, self._user)
        except ParseError as error:
            self._refuse(event, 400, str(error))
        except AccessDeniedError as error:
            if error.ask:
                challenges = self._authentication.challenges(time.monotonic(), stale=stale)
                self._refuse(event, 401, str(error), challenges)
            else:
                self._refuse(event, 403, str(error))
        else:
            if isinstance(event, DescribeRequested):
                await self._describe(event)
            else:
                self._grant(event)

    # What is asked for.

    def _grant(self, event: Requested) -> None:
        match event:
            case AnnounceRequested():
                self._announce(event)
            case SetupRequested() if event.records:
                self._setup_to_record(event)
            case RecordRequested():
                self._record(event)
            case SetupRequested():
                self._setup(event)
            case PlayRequested():
                self._play(event)
            case _:
                raise AssertionError(f"{event} is answered elsewhere")

    async def _describe(self, event: DescribeRequested) -> None:
        name = event.url.path
        stream = await self._server.hub.look_for(name, _PATIENCE_WITH_SOURCE_S)
        if stream is None:
            now = " at the moment" if self._server.hub.provides(name) else ""
            self._refuse(event, 404, f"there is no stream '{name}'{now}")
            return
        try:
            ability = ability_of(event.url.query, event.request.headers.get("User-Agent", ""))
            chosen = await self._server.matcher.tracks_for(stream, ability)
        except ParseError as error:
            self._refuse(event, 400, str(error))
            return
        except NothingFitsError as error:
            self._refuse(event, 406, str(error))
            return
        except ConversionError as error:
            self._refuse(event, 503, str(error))
            return
        # Players ask for what is missing only where they are told AVPF, and some know AVP alone.
        profile = "AVPF" if "profile=avpf" in event.url.query.lower() else "AVP"
        text = sdp.build(
            [track.track for track in chosen],
            name=stream.name,
            host=self._own_host,
            profile=profile,
            indices=[track.index for track in chosen],
        )
        self._sender.write(self._protocol.described(event, text))

    def _setup(self, event: SetupRequested) -> None:
        name = event.url.path
        stream = self._server.hub.find(name)
        if stream is None:
            self._refuse(event, 404, f"there is no stream '{name}'")
            return
        index = event.url.track
        if index is None and len(stream.tracks) == 1:
            index = 0
        if index is None or index >= len(stream.tracks) + len(stream.renditions):
            self._refuse(event, 404, f"'{name}' has {_track_names(stream)} only")
            return
        if self.viewer is None:
            self.viewer = Viewer(self._server, self, stream, on_end=self._stream_ended)
        elif self.viewer.stream is not stream:
            self._refuse(event, 455, f"'{name}' has changed: set up a new connection")
            return
        server_ports = None
        ssrc: int | None = stream.track(index).ssrc
        if event.transport.multicast and self._server.multicast:
            try:
                transport = self.viewer.set_up_multicast(
                    index, self._server.multicast, event.transport
                )
            except StreamSocketError as error:
                if self._protocol.session_id is None:
                    self._end_session()
                self._refuse(event, 461, str(error))
                return
            event = replace(event, transport=transport)
            ssrc = None  # in answers it belongs to unicast alone (RFC 2326, 12.39)
        elif event.transport.client_ports:
            ports = event.transport.client_ports
            server_ports = self.viewer.set_up_udp(index, self._address, ports)
        else:
            self.viewer.set_up_tcp(index, self._sender, event.transport)
        self._sender.write(
            self._protocol.setup_done(event, track=index, server_ports=server_ports, ssrc=ssrc)
        )

    def _play(self, event: PlayRequested) -> None:
        assert self.viewer is not None
        # After a pause, what is there on demand alone may have to be fetched anew.
        self._server.hub.want(event.url.path)
        positions = self.viewer.prepare(event.tracks, keep_timestamps=event.keep_timestamps)
        # The answer first: over TCP it shares the connection with the packets.
        self._sender.write(self._protocol.playing(event, positions))
        self.viewer.start(event.tracks)

    def _announce(self, event: AnnounceRequested) -> None:
        name = event.url.path
        try:
            if not is_stream_name(name):
                raise StreamSocketError(bad_name_reason(name))
            self._server.hub.check_free(name, replace=self._server.options.replace_publishers)
            self.publisher = Publisher(self._server.loop, name, event.description, self._send_frame)
        except UnsupportedMediaError as error:
            self._refuse(event, 415, str(error))
        except StreamTakenError as error:
            self._refuse(event, 409, str(error))
        except StreamSocketError as error:
            self._refuse(event, 400, str(error))
        else:
            self._sender.write(self._protocol.announced(event))

    def _setup_to_record(self, event: SetupRequested) -> None:
        assert self.publisher is not None
        assert event.url.track is not None
        track, transport = event.url.track, event.transport
        rtcp_port = transport.client_ports[1] if transport.client_ports else 0
        peer = (self.host, rtcp_port, *self._address[2:])
        try:
            ports = self.publisher.set_up(track, transport, self._own_host, peer)
        except StreamSocketError as error:
            self._refuse(event, 503, str(error))
            return
        self._sender.write(self._protocol.setup_done(event, track=track, server_ports=ports))

    def _record(self, event: RecordRequested) -> None:
        assert self.publisher is not None
        try:
            self.publisher.record(
                self._server.hub,
                replace=self._server.options.replace_publishers,
                on_replaced=self.close,
            )
        except StreamSocketError as error:
            self._refuse(event, 409, str(error))
            return
        self._sender.write(self._protocol.recording(event))

    def _send_frame(self, channel: int, data: bytes) -> None:
        self._sender.write(interleaved(data, (len(data),), channel))

    def _tear_down(self, event: TeardownRequested) -> None:
        self._sender.write(self._protocol.torn_down(event))
        if self.viewer:
            self.viewer.remove(event.tracks)
        if self._protocol.session_id is None:
            self._end_session()
            self._opened = time.monotonic()

    def _refuse(
        self, event: Requested, status: int, message: str, challenges: list[str] | None = None
    ) -> None:
        counted_as = {401: "unauthorized", 403: "forbidden", 404: "not_found"}
        self._server.refused[counted_as.get(status, "not_possible")] += 1
        self._sender.write(self._protocol.refuse(event, status, message, challenges or ()))

    def _stream_ended(self) -> None:
        """The hub has said goodbye to the player; give it the time to read that."""
        self._stream_is_over = True
        self._end_session()
        self._server.loop.call_later(_FAREWELL_S, self.close)

    def _end_session(self) -> None:
        if self.publisher:
            self.publisher.close()
            self.publisher = None
        if self.viewer:
            self.viewer.close()
            self.viewer = None


def _action(event: Requested) -> Action:
    publishes = isinstance(event, AnnounceRequested | RecordRequested) or (
        isinstance(event, SetupRequested) and event.records
    )
    return "publish" if publishes else "watch"


def _track_names(stream: Stream) -> str:
    return ", ".join(sdp.track_control(track.index) for track in stream.tracks)
