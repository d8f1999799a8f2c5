"""One player's RTSP connection on the server: its socket, its session, its reader in the hub."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

from streamsocket.errors import ParseError
from streamsocket.hub.reader import Reader
from streamsocket.hub.stream import Stream
from streamsocket.hub.tcp import TcpSender, TcpTarget
from streamsocket.hub.udp import Address, UdpTarget
from streamsocket.rtp.rtcp import Nack, Pli, parse_rtcp
from streamsocket.rtsp import sdp
from streamsocket.rtsp.server_protocol import (
    DescribeRequested,
    Event,
    InterleavedReceived,
    PauseRequested,
    PlayRequested,
    Reply,
    Requested,
    ServerProtocol,
    SetupRequested,
    TeardownRequested,
)

if TYPE_CHECKING:
    from streamsocket.rtsp.server import RtspServer

_RECEIVE_BYTES = 64 * 1024

# Time enough for any player to say what it wants; who says nothing only holds a place.
_TIME_WITHOUT_SESSION_S = 15.0

# How long a player may take to read the last words of a stream that ended.
_FAREWELL_S = 1.0


class RtspConnection:
    """Reads requests, asks the hub, answers. Its sender carries responses and packets alike."""

    def __init__(self, server: RtspServer, accepted: socket.socket, address: Address) -> None:
        self._server = server
        self._socket = accepted
        self._address = address
        self.host = str(address[0])
        now = time.monotonic()
        self._opened = now
        self._protocol = ServerProtocol(
            self.host, now, timeout_s=round(server.options.session_timeout_s)
        )
        self._sender = TcpSender(server.loop, accepted, on_failure=self.close)
        self._own_host = str(accepted.getsockname()[0])
        self._rtcp_addresses: dict[int, Address] = {}
        self._closed = False
        self._stream_is_over = False
        self.reader: Reader | None = None
        """The session in the hub, from the first SETUP on."""
        server.loop.add_reader(accepted, self._readable)

    def close(self) -> None:
        """End the session and the connection."""
        if self._closed:
            return
        self._closed = True
        self._end_session()
        self._server.loop.remove_reader(self._socket)
        self._sender.close()
        self._socket.close()
        self._server.forget(self)

    def close_if_silent(self, now: float) -> None:
        """Close if the session has expired, or none was ever begun."""
        if self.reader is None:
            if now - self._opened > _TIME_WITHOUT_SESSION_S:
                self._server.refused["silent_connection"] += 1
                self.close()
            return
        if self.reader.sends_through(self._sender) and not self._sender.stalled:
            # A peer that takes all it is sent is there, even if it never says so, as some
            # recorders don't.
            self._protocol.touch(now)
        if self._protocol.expired(now):
            self.close()

    def take_rtcp(self, data: bytes) -> None:
        """Take RTCP from this player, whichever way it came."""
        self._protocol.touch(time.monotonic())
        if self.reader is None:
            return
        try:
            packets = parse_rtcp(data)
        except ParseError:
            self._server.refused["malformed_rtcp"] += 1
            return
        for packet in packets:
            match packet:
                case Nack(media_ssrc=ssrc, sequences=sequences):
                    self.reader.resend(ssrc, sequences)
                case Pli():
                    self.reader.stream.request_keyframe()
                case _:
                    pass  # reports: that they come is all that matters

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
        for event in self._protocol.receive(data, time.monotonic()):
            self._handle(event)
            if self._closed:
                return

    def _handle(self, event: Event) -> None:
        match event:
            case Reply():
                if event.refused:
                    self._server.refused[event.refused] += 1
                self._sender.write(event.data)
                if event.close:
                    self.close()
            case InterleavedReceived():
                if event.is_rtcp:
                    self.take_rtcp(event.data)
            case DescribeRequested():
                self._describe(event)
            case SetupRequested() | PlayRequested() | PauseRequested() if self._stream_is_over:
                self._refuse(event, 454, "the stream has ended")
            case SetupRequested():
                self._setup(event)
            case PlayRequested():
                self._play(event)
            case PauseRequested():
                assert self.reader is not None
                self.reader.pause(event.tracks)
                self._sender.write(self._protocol.paused(event))
            case TeardownRequested():
                self._tear_down(event)

    def _describe(self, event: DescribeRequested) -> None:
        if stream := self._find(event, event.url.path):
            tracks = [track.track for track in stream.tracks]
            text = sdp.build(tracks, name=stream.name, host=self._own_host)
            self._sender.write(self._protocol.described(event, text))

    def _setup(self, event: SetupRequested) -> None:
        stream = self._find(event, event.url.path)
        if stream is None:
            return
        index = event.url.track
        if index is None and len(stream.tracks) == 1:
            index = 0
        if index is None or not 0 <= index < len(stream.tracks):
            self._refuse(event, 404, f"'{stream.name}' has {_track_names(stream)} only")
            return
        if self.reader is None:
            self.reader = Reader(stream, on_end=self._stream_ended)
        elif self.reader.stream is not stream:
            self._refuse(event, 455, f"'{stream.name}' has changed: set up a new connection")
            return
        transport = event.transport
        server_ports = None
        if transport.client_ports:
            rtp, rtcp = transport.client_ports
            rest = self._address[2:]
            target = UdpTarget((self.host, rtp, *rest), (self.host, rtcp, *rest))
            self.reader.add(index, self._server.udp, target)
            self._forget_rtcp_address(index)
            self._rtcp_addresses[index] = target.rtcp
            self._server.expect_reports(target.rtcp, self)
            server_ports = self._server.udp_ports
        else:
            assert transport.interleaved is not None
            self.reader.add(index, self._sender, TcpTarget(*transport.interleaved))
        ssrc = stream.tracks[index].ssrc
        self._sender.write(
            self._protocol.setup_done(event, track=index, server_ports=server_ports, ssrc=ssrc)
        )

    def _play(self, event: PlayRequested) -> None:
        assert self.reader is not None
        beginnings = self.reader.prepare(event.tracks)
        positions = {each.track: (each.sequence, each.timestamp) for each in beginnings}
        # The answer first: over TCP it shares the connection with the packets.
        self._sender.write(self._protocol.playing(event, positions))
        self.reader.start(event.tracks)

    def _tear_down(self, event: TeardownRequested) -> None:
        self._sender.write(self._protocol.torn_down(event))
        if self.reader is None:
            return  # the stream has ended already
        for index in event.tracks:
            self._forget_rtcp_address(index)
            self.reader.remove(index)
        if self._protocol.session_id is None:
            self._end_session()
            self._opened = time.monotonic()

    def _find(self, event: Requested, name: str) -> Stream | None:
        """The stream of that name; refuses the request where there is none."""
        stream = self._server.hub.find(name)
        if stream is None or not stream.tracks:
            self._refuse(event, 404, f"there is no stream '{name}'")
            return None
        return stream

    def _refuse(self, event: Requested, status: int, message: str) -> None:
        self._server.refused["not_found" if status == 404 else "not_possible"] += 1
        self._sender.write(self._protocol.refuse(event, status, message))

    def _stream_ended(self) -> None:
        """The hub has said goodbye to the player; give it the time to read that."""
        self._stream_is_over = True
        self._end_session()
        self._server.loop.call_later(_FAREWELL_S, self.close)

    def _end_session(self) -> None:
        if self.reader:
            self.reader.close()
            self.reader = None
        for index in tuple(self._rtcp_addresses):
            self._forget_rtcp_address(index)

    def _forget_rtcp_address(self, index: int) -> None:
        if address := self._rtcp_addresses.pop(index, None):
            self._server.expect_no_reports(address)


def _track_names(stream: Stream) -> str:
    return ", ".join(sdp.track_control(track.index) for track in stream.tracks)
