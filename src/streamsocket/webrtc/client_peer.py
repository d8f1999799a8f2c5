"""One connection to a WebRTC server: ICE finds a way, DTLS makes the keys, SRTP protects.

`aioice` does the finding; what comes goes past its queue, straight to who holds the connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from socket import AF_INET, AF_INET6

import aioice

from streamsocket.errors import ConnectError, ServerLeftError
from streamsocket.rtp.packet import is_rtcp
from streamsocket.webrtc.addresses import own_address
from streamsocket.webrtc.candidate import RTP_COMPONENT, Candidate
from streamsocket.webrtc.certificate import own_certificate
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState, is_dtls
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.sdp import Description, Media
from streamsocket.webrtc.sdp_answer import Transport
from streamsocket.webrtc.srtp import (
    SrtpError,
    SrtpReceiver,
    SrtpSender,
    make_receiver,
    make_sender,
)

GATHER_S = 2
"""So long STUN and TURN servers have to answer: without them it goes on."""
CLOSE_S = 0.5
"""How long leaving may take: a TURN server is to forget us."""
MAX_ADDRESSES = 12
"""Of ours, and of the server's: each is tried with each."""
MAX_UNSENT_BYTES = 1 << 20
"""What the kernel doesn't take at once may wait up to here; past it datagrams are lost."""
_MAX_EARLY = 256
"""Datagrams that are held until it is known what to do with them."""

_ELSEWHERE = ((AF_INET, "192.0.2.1"), (AF_INET6, "2001:db8::1"))
"""Nothing is sent there: they tell by which of our addresses the world is reached."""

PacketHandler = Callable[[bytes, bool, float], None]
"""`(packet, is_rtcp, arrival)`, its protection taken off; `arrival` in seconds since the epoch."""


class ClientPeer:
    """One connection: `gather`, `connect`, then `send` until `close`, which must always be called.

    `on_packet` gets what comes. `on_lost` is called once, if the connection ends by itself after
    `connect`: with ServerLeftError where the server has ended it.
    """

    def __init__(
        self,
        ice_servers: Sequence[IceServer],
        on_packet: PacketHandler,
        on_lost: Callable[[ConnectError], None],
    ) -> None:
        self.protection: SrtpSender
        """For what we send, once connected."""
        self.refused: Counter[str] = Counter()
        """Packets that were forged, damaged or repeated, and those that found no room to leave."""
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._ice = _Ice(ice_servers, self._arrived)
        self._early: deque[tuple[bytes, float]] = deque(maxlen=_MAX_EARLY)
        self._dtls: DtlsEndpoint | None = None
        self._receiver: SrtpReceiver | None = None
        self._progress = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._watch: asyncio.Task[None] | None = None
        self._over = False

    @property
    def connected(self) -> bool:
        """Whether keys have been made; also when the connection has been lost since."""
        return self._receiver is not None

    async def gather(self) -> Transport:
        """Find our candidates: what the offer tells of us. Takes `GATHER_S` at most."""
        await self._ice.gather_candidates()
        credentials = Credentials(self._ice.local_username, self._ice.local_password)
        found = [_ours(each) for each in self._ice.local_candidates]
        return Transport(credentials, own_certificate().fingerprint, found)

    async def connect(self, answer: Description, timeout_s: float) -> None:
        """Find the way to who has answered, and agree on keys. Raises ConnectError."""
        media = answer.transport
        if not media.credentials or not media.fingerprints:
            raise ConnectError("The server's answer lacks ICE credentials or a fingerprint.")
        reached = False
        try:
            async with asyncio.timeout(timeout_s):
                await self._find_way(media, lite=answer.ice_lite)
                reached = True
                await self._shake_hands(media)
        except (TimeoutError, ConnectionError):
            if reached:
                sentence = f"The server has not finished the DTLS handshake in {timeout_s:.0f} s."
            else:
                sentence = _no_way(media)
            raise ConnectError(sentence) from None
        self._watch = asyncio.create_task(self._notice_loss())

    def send(self, datagram: bytes) -> None:
        """Send a datagram as it is. Never blocks; what finds no room is lost."""
        if not self._ice.send_now(datagram):
            self.refused["not_sent"] += 1

    async def close(self) -> None:
        """Say goodbye and give every socket back. `on_lost` is not called."""
        self._over = True
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._watch:
            self._watch.cancel()
        if self._dtls:
            self._dtls.close()
            self._say()
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._ice.close()
        except TimeoutError:
            pass  # a TURN server that doesn't answer forgets us by itself

    # ICE.

    async def _find_way(self, media: Media, *, lite: bool) -> None:
        ice = self._ice
        assert media.credentials
        ice.remote_is_lite = lite
        ice.remote_username = media.credentials.ufrag
        ice.remote_password = media.credentials.password
        candidates = _usable(media.candidates)
        await ice.add_loopback(candidates)
        for each in candidates:
            await ice.add_remote_candidate(
                aioice.Candidate(
                    each.foundation,
                    each.component,
                    "udp",
                    each.priority,
                    each.host,
                    each.port,
                    each.type,
                )
            )
        await ice.add_remote_candidate(None)
        await ice.connect()

    async def _notice_loss(self) -> None:
        """ICE closes itself where consent runs out (RFC 7675)."""
        await self._ice.get_event()
        self._lose(
            ConnectError("The server has not answered for 30 s: the way to it is lost, or it is.")
        )

    # DTLS.

    async def _shake_hands(self, media: Media) -> None:
        self._dtls = DtlsEndpoint(
            is_server=media.setup == "active",
            peer_fingerprints=media.fingerprints,
            now=time.monotonic(),
        )
        self._advance()
        self._take_early()
        while self._receiver is None:
            if self._dtls.failure:
                raise ConnectError(str(self._dtls.failure))
            if self._dtls.state is DtlsState.CLOSED or self._over:
                raise ConnectError("The server has ended the connection while it was being made.")
            self._progress.clear()
            await self._progress.wait()

    def _advance(self) -> None:
        """Send what DTLS has to say, and act on how far it is."""
        dtls = self._dtls
        assert dtls
        self._say()
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if dtls.state is DtlsState.CONNECTED and self._receiver is None and dtls.keys:
            self.protection = make_sender(dtls.keys.local)
            self._receiver = make_receiver(dtls.keys.remote)
            self._take_early()
        elif dtls.state is DtlsState.CLOSED and self._receiver:
            self._lose(ServerLeftError("The server has ended the session."))
        elif dtls.state is DtlsState.FAILED and self._receiver:
            self._lose(ConnectError(str(dtls.failure)))
        elif dtls.next_timer is not None:
            due = max(0.0, dtls.next_timer - time.monotonic())
            self._timer = asyncio.get_running_loop().call_later(due, self._repeat)
        self._progress.set()

    def _repeat(self) -> None:
        self._timer = None
        if self._dtls:
            self._dtls.handle_timer(time.monotonic())
            self._advance()

    def _say(self) -> None:
        assert self._dtls
        for datagram in self._dtls.datagrams_to_send():
            self.send(datagram)

    # What comes.

    def _arrived(self, datagram: bytes) -> None:
        if not self._over:
            self._take(datagram, time.time())

    def _take(self, datagram: bytes, arrival: float) -> None:
        if is_dtls(datagram):
            if self._dtls:
                self._dtls.receive(datagram, time.monotonic())
                self._advance()
            else:
                self._early.append((datagram, arrival))
        elif self._receiver is None:
            self._early.append((datagram, arrival))  # it has overtaken the last of the handshake
        else:
            self._unprotect(self._receiver, datagram, arrival)

    def _take_early(self) -> None:
        early = tuple(self._early)
        self._early.clear()
        for datagram, arrival in early:
            self._take(datagram, arrival)

    def _unprotect(self, receiver: SrtpReceiver, datagram: bytes, arrival: float) -> None:
        rtcp = is_rtcp(datagram)
        try:
            unprotect = receiver.unprotect_rtcp if rtcp else receiver.unprotect
            packet = unprotect(datagram)
        except SrtpError:
            self.refused["malformed"] += 1
            return
        self._on_packet(packet, rtcp, arrival)

    def _lose(self, failure: ConnectError) -> None:
        if not self._over:
            self._over = True
            self._on_lost(failure)


class _Ice(aioice.Connection):
    """ICE whose datagrams come and go without waiting."""

    def __init__(self, servers: Sequence[IceServer], on_datagram: Callable[[bytes], None]) -> None:
        stun = next((each for each in servers if each.kind == "stun"), None)
        turn = next((each for each in servers if each.kind == "turn"), None)
        super().__init__(
            ice_controlling=True,
            stun_server=(stun.host, stun.port) if stun else None,
            turn_server=(turn.host, turn.port) if turn else None,
            turn_username=turn.user if turn else None,
            turn_password=turn.password if turn else None,
            turn_ssl=bool(turn and turn.tls),
            turn_transport=turn.transport if turn else "udp",
        )
        self._on_datagram = on_datagram

    async def get_component_candidates(
        self,
        component: int,
        addresses: list[str],
        timeout: int = 5,  # noqa: ASYNC109
    ) -> list[aioice.Candidate]:
        """Ours, with the addresses first by which the world is reached; not too many."""
        first = [own_address(family, elsewhere) for family, elsewhere in _ELSEWHERE]
        ordered = [each for each in first if each in addresses]
        ordered += [each for each in addresses if each not in ordered]
        return await super().get_component_candidates(
            component, ordered[:MAX_ADDRESSES], min(timeout, GATHER_S)
        )

    async def add_loopback(self, remote: Sequence[Candidate]) -> None:
        """Be reachable by this machine itself, if that is where the server is: nobody is told."""
        self.stun_server = self.turn_server = None  # gathering is over
        hosts = {
            "127.0.0.1" if ipaddress.ip_address(each.host).version == 4 else "::1"
            for each in remote
            if ipaddress.ip_address(each.host).is_loopback
        }
        await self.get_component_candidates(RTP_COMPONENT, sorted(hosts))

    def data_received(self, data: bytes, component: int) -> None:
        """Take a datagram that is not STUN."""
        self._on_datagram(data)

    def send_now(self, data: bytes) -> bool:
        """Send a datagram over the pair in use; returns whether there was room for it."""
        pair = self._nominated.get(RTP_COMPONENT)
        if not pair:
            return False
        transport = pair.protocol.transport
        # A TURN server's transport has no such buffer.
        if getattr(transport, "get_write_buffer_size", int)() > MAX_UNSENT_BYTES:
            return False
        transport.sendto(data, pair.remote_addr)
        return True


def _ours(found: aioice.Candidate) -> Candidate:
    related = None
    if found.related_address is not None and found.related_port is not None:
        related = found.related_address, found.related_port
    return Candidate(
        found.foundation,
        found.component,
        found.transport,
        found.priority,
        found.host,
        found.port,
        found.type,
        related=related,
    )


def _usable(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Those over UDP at an IP address, the preferred first."""
    found = []
    for each in sorted(candidates, key=lambda each: -each.priority):
        try:
            ipaddress.ip_address(each.host)
        except ValueError:
            continue
        if each.transport == "udp" and each.component == RTP_COMPONENT:
            found.append(each)
    return found[:MAX_ADDRESSES]


def _no_way(media: Media) -> str:
    places = ", ".join(f"{each.host}:{each.port}" for each in _usable(media.candidates)[:4])
    if not places:
        return (
            "The server's answer tells no UDP address that it can be reached at: check how it is "
            "set up."
        )
    return (
        f"The server answered over HTTP, but could not be reached over UDP at {places}: is a "
        "firewall in the way? A TURN server (--ice-server turn:…) may lead around it."
    )
