"""Watching a stream by WHEP: asked for over HTTP, received over one connection, taken apart."""

from __future__ import annotations

import asyncio
import secrets
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from time import monotonic

from streamsocket.errors import ConnectError, ParseError
from streamsocket.media.codec import Kind
from streamsocket.webrtc.client_offer import (
    AgreedFormat,
    AgreedTrack,
    Agreement,
    build_watching,
    read_answer,
)
from streamsocket.webrtc.client_peer import ClientPeer
from streamsocket.webrtc.endpoint import parse_endpoint
from streamsocket.webrtc.http_client import HttpSession
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.rtx import unwrap

PacketHandler = Callable[[int, bool, bytes, float], None]
"""`(track, is_rtcp, data, arrival)`; `arrival` in seconds since the epoch."""

CHOICE_S = 2.0
"""Where a server leaves open which format it sends, its first packets have to tell by then."""
LEAST_CONNECTING_S = 2.0
"""So long connecting may take, however long HTTP did."""
MAX_HELD = 1024
"""Packets that are held until somebody takes them."""

_SSRC = struct.Struct("!xxxxI")
_RTP_SSRC = struct.Struct("!xxxxxxxxI")


class WhepClient:
    """Watches one stream: `ask`, `connect`, `play`, in this order; `close` whatever happened.

    Every step but `close` raises ConnectError with a sentence for the user.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        ice_servers: Sequence[IceServer],
        on_packet: PacketHandler,
        on_lost: Callable[[ConnectError], None],
    ) -> None:
        """`ice_servers`: to be used instead of those that the server tells of.

        `on_lost` is called if the connection ends after `play` and before `close`: with
        ServerLeftError where the server has ended it.
        """
        try:
            self._endpoint = parse_endpoint(url)
        except ParseError as error:
            raise ConnectError(str(error)) from None
        self._http = HttpSession(self._endpoint, timeout_s=timeout_s)
        self._deadline = monotonic() + timeout_s
        self._ice_servers = tuple(ice_servers)
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._peer: ClientPeer | None = None
        self._agreement: Agreement | None = None
        self._tracks: list[AgreedTrack] = []
        self._by_type: dict[int, int] = {}
        self._repairs: dict[int, tuple[int, AgreedFormat]] = {}
        self._ssrcs: dict[int, int] = {}
        """The tracks' own, as far as they are known."""
        self._owners: dict[int, int] = {}
        self._held: list[tuple[int, bool, bytes, float]] = []
        self._came = asyncio.Event()
        self._playing = False
        self._failure: ConnectError | None = None

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._endpoint.url

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        return self._http.server

    @property
    def round_trip_s(self) -> float | None:
        """How soon the server has answered at its quickest."""
        return self._http.round_trip_s

    async def find_servers(self) -> None:
        """Reach the server, and learn which STUN and TURN servers to use."""
        if not self._ice_servers:
            self._ice_servers = await self._http.ice_servers()

    async def ask(self, kinds: Iterable[Kind]) -> list[AgreedTrack]:
        """Ask for one track of each kind; returns those that the server sends, in that order.

        Their first format is the one that comes. Raises HttpRefusedError if the server refuses.
        """
        self._peer = ClientPeer(self._ice_servers, self._receive, self._lost)
        transport = await self._peer.gather()
        offer = build_watching(kinds, transport, secrets.randbits(62))
        text = await self._http.offer(offer.text)
        try:
            self._agreement = read_answer(offer, text)
        except ParseError as error:
            raise ConnectError(f"{self.url} cannot be watched: {error}") from None
        self._tracks = list(self._agreement.tracks)
        for index, track in enumerate(self._tracks):
            self._note(index, track)
        if any(len(track.formats) > 1 for track in self._tracks):
            await self.connect()
            await self._see_formats()
        return self._tracks

    async def connect(self) -> None:
        """Connect, if that hasn't been done yet. What comes is held until `play`."""
        assert self._peer
        assert self._agreement
        if not self._peer.connected:
            timeout_s = max(LEAST_CONNECTING_S, self._deadline - monotonic())
            await self._peer.connect(self._agreement.answer, timeout_s)

    def play(self) -> None:
        """Let the packets come, with those that are here already."""
        self._playing = True
        held, self._held = self._held, []
        for packet in held:
            self._on_packet(*packet)
        if self._failure:
            self._on_lost(self._failure)

    def send_rtcp(self, data: bytes) -> None:
        """Send RTCP; nobody is told if it can't be."""
        if self._peer and self._peer.connected:
            self._peer.send(self._peer.protection.protect_rtcp(data))

    async def close(self) -> None:
        """Leave the server, in a second at most, and give every socket back."""
        self._playing = False
        peer = self._peer
        await asyncio.gather(self._http.close(), *([peer.close()] if peer else []))

    # Which format comes.

    def _note(self, index: int, track: AgreedTrack) -> None:
        for each in track.formats:
            self._by_type[each.payload_type] = index
            if each.rtx_payload_type is not None:
                self._repairs[each.rtx_payload_type] = index, each
        if track.ssrc is not None:
            self._ssrcs[index] = track.ssrc
            self._owners[track.ssrc] = index

    async def _see_formats(self) -> None:
        """Put the format first that each track comes in. What doesn't come stays as answered."""
        waiting = {index for index, track in enumerate(self._tracks) if len(track.formats) > 1}
        try:
            async with asyncio.timeout(CHOICE_S):
                while waiting:
                    await self._came.wait()
                    self._came.clear()
                    if self._failure:
                        raise self._failure
                    for index, is_rtcp, data, _ in self._held:
                        if not is_rtcp and index in waiting:
                            self._tracks[index] = _first(self._tracks[index], data[1] & 0x7F)
                            waiting.discard(index)
        except TimeoutError:
            pass

    # What comes.

    def _receive(self, data: bytes, is_rtcp: bool, arrival: float) -> None:
        if is_rtcp:
            self._receive_rtcp(data, arrival)
            return
        payload_type = data[1] & 0x7F
        if repair := self._repairs.get(payload_type):
            index, repaired = repair
            if original := self._unwrapped(data, index, repaired):
                self._hand_on(index, False, original, arrival)
        elif (owner := self._by_type.get(payload_type)) is not None:
            (ssrc,) = _RTP_SSRC.unpack_from(data)
            if ssrc != self._ssrcs.get(owner):
                self._owners.pop(self._ssrcs.get(owner, -1), None)
                self._ssrcs[owner] = ssrc
                self._owners[ssrc] = owner
            self._hand_on(owner, False, data, arrival)

    def _unwrapped(self, data: bytes, index: int, repaired: AgreedFormat) -> bytes | None:
        """The packet that a retransmission brings; None where it is padding, or of nothing."""
        ssrc = self._ssrcs.get(index)
        if ssrc is None:
            return None
        try:
            return unwrap(data, repaired.payload_type, ssrc)
        except ParseError:
            return None

    def _receive_rtcp(self, data: bytes, arrival: float) -> None:
        (sender,) = _SSRC.unpack_from(data)
        owner = self._owners.get(sender)
        for index in range(len(self._tracks)) if owner is None else (owner,):
            self._hand_on(index, True, data, arrival)

    def _hand_on(self, index: int, is_rtcp: bool, data: bytes, arrival: float) -> None:
        if self._playing:
            self._on_packet(index, is_rtcp, data, arrival)
        elif len(self._held) < MAX_HELD:
            self._held.append((index, is_rtcp, data, arrival))
            self._came.set()

    def _lost(self, failure: ConnectError) -> None:
        self._failure = failure
        self._came.set()
        if self._playing:
            self._on_lost(failure)


def _first(track: AgreedTrack, payload_type: int) -> AgreedTrack:
    """The track with that format in front of the others."""
    formats = sorted(track.formats, key=lambda each: each.payload_type != payload_type)
    return replace(track, formats=tuple(formats))
