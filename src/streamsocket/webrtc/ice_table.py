"""All ICE peers of a port: which one a check, and which one a packet of media, belongs to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic

from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.webrtc import stun
from streamsocket.webrtc.ice import Credentials, IceLite, Owner, Path
from streamsocket.webrtc.stun import MessageClass

MAX_PEERS = 4000


class TooManyPeersError(StreamSocketError):
    """The server has as many WebRTC peers as it takes."""


@dataclass(frozen=True, slots=True)
class Received(Generic[Owner]):
    """What a STUN message led to."""

    reply: bytes | None = None
    """To be sent back the way the message came, if anything."""
    peer: IceLite[Owner] | None = None
    """Whose it was, if it proved that."""
    moved: bool = False
    """Media for the peer goes by another path now: `peer.path`."""


class IceTable(Generic[Owner]):
    """Finds peers: by a check's username fragment, and for all else by the path it comes by."""

    def __init__(self, max_peers: int = MAX_PEERS, refused: Counter[str] | None = None) -> None:
        """`refused` counts the messages that are dropped or refused: `stun_malformed`, …"""
        self.refused: Counter[str] = Counter() if refused is None else refused
        self._max_peers = max_peers
        self._peers: dict[IceLite[Owner], list[str]] = {}
        """And the username fragments by which they stand in the next."""
        self._by_ufrag: dict[str, IceLite[Owner]] = {}
        self._by_path: dict[Path, IceLite[Owner]] = {}

    def __len__(self) -> int:
        return len(self._peers)

    def __iter__(self) -> Iterator[IceLite[Owner]]:
        return iter(list(self._peers))

    def add(self, peer: IceLite[Owner]) -> None:
        """Take a peer in. Raises `TooManyPeersError`."""
        if len(self._peers) >= self._max_peers:
            raise TooManyPeersError(
                f"There are {len(self._peers)} WebRTC peers already, as many as this server takes: "
                "try again later."
            )
        self._peers[peer] = []
        self._index(peer)

    def remove(self, peer: IceLite[Owner]) -> None:
        """Let a peer go; harmless if it is gone."""
        for ufrag in self._peers.pop(peer, ()):
            self._by_ufrag.pop(ufrag, None)
        for path in peer.paths:
            if self._by_path.get(path) is peer:
                del self._by_path[path]

    def restart(self, peer: IceLite[Owner], remote: Credentials | None = None) -> Credentials:
        """`IceLite.restart` for a peer that is in the table; returns our new credentials."""
        credentials = peer.restart(remote)
        self._index(peer)
        return credentials

    def find(self, path: Path) -> IceLite[Owner] | None:
        """The peer whose checks came by this path: whose DTLS, RTP or RTCP this is."""
        return self._by_path.get(path)

    def receive(self, data: bytes | memoryview, path: Path, now: float) -> Received[Owner]:
        """Take a STUN message; raises nothing.

        Answers go only to those who know a username fragment, so nobody can use us to flood others.
        """
        try:
            message = stun.parse(data)
        except ParseError:
            return self._drop("malformed")
        if message.message_class == MessageClass.INDICATION:
            return Received()  # it keeps an address translation alive, and wants no more
        if message.message_class != MessageClass.REQUEST or message.method != stun.BINDING:
            return self._drop("unexpected")
        peer = self._by_ufrag.get((message.username or "").partition(":")[0])
        if peer is None:
            return self._drop("unknown user")
        before = peer.paths
        checked = peer.check(data, message, path, now)
        if not checked.valid:
            self._drop(checked.refused or "")
            return Received(checked.reply)
        self._reindex(peer, before, path)
        return Received(checked.reply, peer, checked.moved)

    def forget(self, path: Path) -> IceLite[Owner] | None:
        """A TCP connection ended; returns its peer if media has to go by another path now."""
        peer = self._by_path.pop(path, None)
        return peer if peer and peer.forget(path) else None

    def expire(self, now: float) -> list[IceLite[Owner]]:
        """Remove the peers that are gone and return them; to be called about every second."""
        gone = []
        for peer in self:
            before = peer.paths
            if peer.expired(now):
                self.remove(peer)
                gone.append(peer)
            self._drop_paths(peer, before)
        return gone

    def _drop(self, reason: str) -> Received[Owner]:
        self.refused[f"stun_{reason.lower().replace(' ', '_')}"] += 1
        return Received()

    def _index(self, peer: IceLite[Owner]) -> None:
        """Checks find the peer by the username fragments it has now."""
        for ufrag in self._peers[peer]:
            self._by_ufrag.pop(ufrag, None)
        self._peers[peer] = peer.ufrags
        for ufrag in self._peers[peer]:
            self._by_ufrag[ufrag] = peer

    def _reindex(self, peer: IceLite[Owner], before: list[Path], path: Path) -> None:
        self._drop_paths(peer, before)
        other = self._by_path.get(path)
        if other is not peer:
            if other is not None:
                # The address has passed on to another: a peer's port is used again.
                other.forget(path)
            self._by_path[path] = peer
        if len(self._peers[peer]) != len(peer.ufrags):
            self._index(peer)  # a restart is done

    def _drop_paths(self, peer: IceLite[Owner], before: list[Path]) -> None:
        for path in set(before).difference(peer.paths):
            if self._by_path.get(path) is peer:
                del self._by_path[path]
