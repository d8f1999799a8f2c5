"""The WebRTC server: one port for all peers, their sessions, and the way from HTTP to both."""

from __future__ import annotations

import secrets
import time
from asyncio import AbstractEventLoop, TimerHandle
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.auth.access import Access
from streamsocket.auth.authorization import NOBODY, Credentials
from streamsocket.auth.slowing import network
from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.matching.matcher import Matcher
from streamsocket.names import bad_name_reason, is_stream_name
from streamsocket.webrtc import sdp, sdp_answer, sdp_fragment, stun
from streamsocket.webrtc.ability import ability_of
from streamsocket.webrtc.addresses import PublicHosts, bind_both, bind_udp, reachable
from streamsocket.webrtc.candidate import Candidate, host_candidates
from streamsocket.webrtc.certificate import own_certificate
from streamsocket.webrtc.ice import Path
from streamsocket.webrtc.ice_table import MAX_PEERS, IceTable, TooManyPeersError
from streamsocket.webrtc.negotiation import plan_publishing, plan_watching
from streamsocket.webrtc.peer import Peer
from streamsocket.webrtc.publisher import Publisher
from streamsocket.webrtc.sender import SrtpUdpSender
from streamsocket.webrtc.tcp import TcpListener, TcpPath
from streamsocket.webrtc.viewer import Viewer

MAX_CONNECTING = 1000
MAX_CONNECTING_PER_ADDRESS = 200
"""Peers that have an answer, but haven't connected yet: an offer costs its sender nothing."""

_PATIENCE_WITH_SOURCE_S = 10.0
_TICK_S = 1.0
_MAX_DATAGRAM = 2048
_DATAGRAMS_PER_TURN = 256
"""So many are taken before others have their turn on the media thread."""


class NoSuchStreamError(StreamSocketError):
    """There is no stream of that name."""


class NoSuchSessionError(StreamSocketError):
    """There is no session of that id, or no more."""


class OtherSessionError(StreamSocketError):
    """A condition (RFC 9110, 13.1.1) names another ICE session than there is now."""


@dataclass(frozen=True, slots=True)
class WebRtcOptions:
    """How the WebRTC server is set up."""

    host: str
    port: int
    tcp: bool = True
    """Over TCP too, by the same number."""
    max_peers: int = MAX_PEERS
    public_hosts: tuple[str, ...] = ()
    """Names or addresses by which peers reach the port; none: those of this machine that it is
    bound to."""
    publisher_timeout_s: float = 10.0
    """A publisher that is silent for longer is gone."""
    replace_publishers: bool = False
    """A new publisher takes a name over from the one before."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks over HTTP."""

    host: str
    """The peer's address."""
    by: str
    """Ours that it has asked at."""
    credentials: Credentials = NOBODY


@dataclass(frozen=True, slots=True)
class Answer:
    """What a peer is told."""

    session: str
    """The session's id, a secret of the peer's."""
    tag: str
    """Names the ICE session: it changes when that restarts."""
    text: str
    """An SDP answer, or a fragment of one; empty where there is nothing to tell."""


class WebRtcServer:
    """All WebRTC peers. It belongs to the media thread's loop."""

    def __init__(
        self,
        hub: Hub,
        loop: AbstractEventLoop,
        options: WebRtcOptions,
        access: Access,
        matcher: Matcher | None = None,
    ) -> None:
        """Without a `matcher`, streams are passed on as they are."""
        self.refused: Counter[str] = Counter()
        """What was refused since the start, by reason."""
        self._hub = hub
        self._loop = loop
        self._options = options
        self._access = access
        self._matcher = matcher or Matcher()
        self._public = PublicHosts(loop, options.public_hosts)
        self._table: IceTable[Peer] = IceTable(options.max_peers, self.refused)
        self._peers: dict[str, Peer] = {}
        self._connecting: dict[Peer, str] = {}
        """The peers that haven't connected yet, as far as is known, and where they are."""
        self._timer: TimerHandle | None = None

    def open(self) -> None:
        """Bind the port, UDP and TCP. Raises `StreamSocketError` if it cannot be had."""
        options = self._options
        self._tcp: TcpListener | None = None
        if options.tcp:
            self._socket, listening = bind_both(options.host, options.port)
            self._tcp = TcpListener(
                self._loop,
                listening,
                self.refused,
                admit=self._check,
                receive=self._receive_framed,
                on_close=self._lose_path,
            )
        else:
            self._socket = bind_udp(options.host, options.port)
        self._sender = SrtpUdpSender(self._loop, self._socket)
        self._loop.add_reader(self._socket, self._readable)
        self._tick()

    def close(self) -> None:
        """End all sessions and close the sockets."""
        if self._timer:
            self._timer.cancel()
        for peer in tuple(self._peers.values()):
            self._end(peer)
        if self._tcp is not None:
            self._tcp.close()
        self._loop.remove_reader(self._socket)
        self._sender.close()
        self._socket.close()

    @property
    def port(self) -> int:
        """The port, also where 0 was asked for."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def sessions(self) -> int:
        """How many peers there are."""
        return len(self._peers)

    # What peers ask for over HTTP.

    async def watch(self, name: str, text: str, asker: Asker) -> Answer:
        """Answer the offer of a peer that wants to watch a stream.

        Raises `ParseError`, `AccessDeniedError`, `NoSuchStreamError`, `NothingFitsError`,
        `ConversionError`, `TooManyPeersError`.
        """
        self._check_name(name)
        await self._access.admit("watch", name, asker.host, *asker.credentials)
        offer = sdp.parse_offer(text)
        stream = await self._hub.look_for(name, _PATIENCE_WITH_SOURCE_S)
        if stream is None:
            raise NoSuchStreamError(f"There is no stream '{name}'.")
        tracks = await self._matcher.tracks_for(stream, ability_of(offer))
        candidates = await self._candidates(asker.by)
        if self._hub.find(name) is not stream:
            raise NoSuchStreamError(f"'{name}' has ended.")
        plan = plan_watching(offer, [(each.index, each.track, each.ssrc) for each in tracks])
        peer = self._add(offer, name, asker.host)
        peer.session = Viewer(
            stream, plan.tracks, peer.ice, self._sender, on_end=lambda: self._end(peer)
        )
        return self._answer(peer, plan.accepted, candidates)

    async def publish(self, name: str, text: str, asker: Asker) -> Answer:
        """Answer the offer of a peer that wants to publish a stream, as `watch` does.

        Raises `StreamTakenError` where somebody else does, `ParseError`, `AccessDeniedError`,
        `NothingFitsError`, `TooManyPeersError`.
        """
        self._check_name(name)
        await self._access.admit("publish", name, asker.host, *asker.credentials)
        offer = sdp.parse_offer(text)
        replace = self._options.replace_publishers
        candidates = await self._candidates(asker.by)
        self._hub.check_free(name, replace=replace)
        plan = plan_publishing(offer)
        peer = self._add(offer, name, asker.host)
        peer.session = Publisher(
            self._loop,
            plan.tracks,
            lambda tracks, request_keyframe, on_replaced: self._hub.publish(
                name,
                tracks,
                request_keyframe,
                on_replaced=on_replaced,
                guest=True,
                replace=replace,
                origin="WebRTC",
            ),
            lambda data: self._send(data, peer.ice.path),
            lambda: self._end(peer),
            timeout_s=self._options.publisher_timeout_s,
        )
        return self._answer(peer, plan.accepted, candidates)

    async def update(self, name: str, session: str, text: str, tag: str | None, by: str) -> Answer:
        """Take candidates, or restart ICE; `tag` is the ICE session that is meant, `*` any.

        Raises `ParseError`, `NoSuchSessionError`, `OtherSessionError`.
        """
        candidates = await self._candidates(by)
        peer = self._find(name, session)
        fragment = sdp_fragment.parse(text)
        if fragment.restarts(peer.ice.remote):
            if tag not in ("*", peer.tag):
                raise OtherSessionError("ICE has restarted since: If-Match names another session.")
            credentials = self._table.restart(peer.ice, fragment.credentials)
            restarted = sdp_fragment.build(peer.offer, credentials, candidates)
            return Answer(peer.id, peer.tag, restarted)
        if tag != peer.tag:
            raise OtherSessionError("ICE has restarted since: If-Match names another session.")
        return Answer(peer.id, peer.tag, "")  # peers come to us: their candidates aren't needed

    async def end(self, name: str, session: str) -> None:
        """End a session. Raises `NoSuchSessionError`."""
        self._end(self._find(name, session))

    def _check_name(self, name: str) -> None:
        if not is_stream_name(name):
            raise NoSuchStreamError(bad_name_reason(name))

    def _find(self, name: str, session: str) -> Peer:
        peer = self._peers.get(session)
        if peer is None or peer.stream != name:
            raise NoSuchSessionError("There is no such session, or it has ended.")
        return peer

    def _add(self, offer: sdp.Description, name: str, host: str) -> Peer:
        self._connecting = {
            peer: address for peer, address in self._connecting.items() if not peer.connected
        }
        address = network(host)
        of_the_same = sum(each == address for each in self._connecting.values())
        if len(self._connecting) >= MAX_CONNECTING or of_the_same >= MAX_CONNECTING_PER_ADDRESS:
            raise TooManyPeersError(
                f"{len(self._connecting)} WebRTC peers are connecting already: try again later."
            )
        peer = Peer(self._loop, offer, name, self._send, self._end, self.refused)
        self._table.add(peer.ice)
        self._peers[peer.id] = peer
        self._connecting[peer] = address
        return peer

    def _answer(
        self,
        peer: Peer,
        accepted: dict[int, sdp_answer.Accepted],
        candidates: Sequence[Candidate],
    ) -> Answer:
        transport = sdp_answer.Transport(peer.ice.local, own_certificate().fingerprint, candidates)
        text = sdp_answer.build(peer.offer, accepted, transport, session_id=secrets.randbits(62))
        return Answer(peer.id, peer.tag, text)

    async def _candidates(self, by: str) -> list[Candidate]:
        hosts = await self._public.addresses()
        addresses = [(host, self.port) for host in hosts] or reachable(self._socket, by)
        return host_candidates(udp=addresses, tcp=addresses if self._tcp is not None else ())

    def _end(self, peer: Peer) -> None:
        self._peers.pop(peer.id, None)
        self._connecting.pop(peer, None)
        peer.close()
        self._table.remove(peer.ice)
        for path in peer.ice.paths:
            if isinstance(path, TcpPath):
                path.connection.close()

    # What goes and comes, over UDP and TCP.

    def _send(self, datagram: bytes, path: Path | None) -> None:
        if isinstance(path, TcpPath):
            path.connection.sender.send_datagram(datagram)
        else:
            self._sender.send_datagram(datagram, path)

    def _readable(self) -> None:
        """Take what has come, and pass it on peer by peer."""
        now = time.monotonic()
        touched: dict[Peer, None] = {}
        receive = self._socket.recvfrom
        for _ in range(_DATAGRAMS_PER_TURN):
            try:
                datagram, path = receive(_MAX_DATAGRAM)
            except BlockingIOError:
                break
            except OSError:
                continue  # an earlier datagram's peer is gone (ICMP); the next is another's
            if peer := self._receive(datagram, path, now):
                touched[peer] = None
        for peer in touched:
            peer.flush()

    def _receive_framed(self, packets: list[bytes], path: TcpPath, now: float) -> None:
        for peer in {self._receive(packet, path, now) for packet in packets}:
            if peer:
                peer.flush()

    def _receive(self, datagram: bytes, path: Path, now: float) -> Peer | None:
        """Take what has come; returns the peer that has packets to flush now."""
        if stun.is_stun(datagram):
            self._check(datagram, path, now)
        elif (ice := self._table.find(path)) is None:
            self.refused["unknown_peer"] += 1
        elif ice.owner.receive(datagram, path, now):
            return ice.owner
        return None

    def _check(self, datagram: bytes, path: Path, now: float) -> bool:
        """Answer a check; returns whether it was a peer's."""
        before = self._table.find(path)
        received = self._table.receive(datagram, path, now)
        if received.reply:
            self._send(received.reply, path)
        if received.peer is None:
            return False
        if before not in (None, received.peer):
            before.owner.moved()  # the path was its, and is another's now
        if received.moved:
            received.peer.owner.moved()
        received.peer.owner.checked()
        return True

    def _lose_path(self, path: TcpPath) -> None:
        """A TCP connection has ended."""
        if ice := self._table.forget(path):
            ice.owner.moved()

    def _tick(self) -> None:
        now = time.monotonic()
        gone = self._table.expire(now)
        for peer in tuple(self._peers.values()):
            peer.moved()  # consent for its way may have run out
        for each in gone:
            self._end(each.owner)
        if self._tcp is not None:
            self._tcp.sweep(now, in_use=lambda path: self._table.find(path) is not None)
        for peer in tuple(self._peers.values()):
            if peer.session and peer.connected:
                peer.session.tick(now)
        self._timer = self._loop.call_later(_TICK_S, self._tick)
