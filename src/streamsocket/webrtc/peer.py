"""One peer: ICE finds the way to it, DTLS makes the keys, SRTP protects what comes and goes."""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections import Counter
from collections.abc import Callable
from typing import Protocol

from streamsocket.rtp.packet import is_rtcp
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState, is_dtls
from streamsocket.webrtc.ice import IceLite, Path
from streamsocket.webrtc.sdp import Description
from streamsocket.webrtc.sdp_answer import dtls_role
from streamsocket.webrtc.srtp import (
    SrtpError,
    SrtpReceiver,
    SrtpSender,
    make_receiver,
    make_sender,
)

_log = logging.getLogger("streamsocket.webrtc")

SendDatagram = Callable[[bytes, Path | None], None]


class Session(Protocol):
    """What a peer is there for: it watches or publishes."""

    def connected(self, protection: SrtpSender) -> None:
        """The peer is connected: what is sent to it is protected so."""

    def receive(self, packets: list[bytes]) -> None:
        """Take RTP packets, their protection taken off."""

    def receive_rtcp(self, data: bytes) -> None:
        """Take a compound RTCP packet, its protection taken off."""

    def moved(self) -> None:
        """Media goes by another path now, or by none."""

    def tick(self, now: float) -> None:
        """A second has passed."""

    def close(self) -> None:
        """The peer is gone."""


class Peer:
    """One peer's connection, from our answer to its end. It belongs to the media thread."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        offer: Description,
        stream: str,
        send: SendDatagram,
        on_end: Callable[[Peer], None],
        refused: Counter[str],
    ) -> None:
        """`on_end` is called when the connection ends by itself.

        `refused` counts packets that were forged, damaged or repeated, as `srtp`, and handshakes
        that failed, as `dtls`.
        """
        self.id = secrets.token_urlsafe(24)
        """Who knows it may end the session: it cannot be guessed."""
        self.offer = offer
        self.stream = stream
        """The name of the stream that it watches or publishes."""
        self.ice: IceLite[Peer] = IceLite(
            self, time.monotonic(), remote=offer.transport.credentials
        )
        self.session: Session | None = None
        self._loop = loop
        self._send = send
        self._on_end = on_end
        self._refused = refused
        self._dtls: DtlsEndpoint | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._receiver: SrtpReceiver | None = None
        self._received: list[bytes] = []

    @property
    def connected(self) -> bool:
        """Whether DTLS has made keys."""
        return self._receiver is not None

    @property
    def tag(self) -> str:
        """Names the ICE session: it changes when that restarts."""
        return self.ice.local.ufrag

    def checked(self) -> None:
        """A check of the peer's came: there is a way to it."""
        if self._dtls is None:
            is_server = dtls_role(self.offer) == "passive"
            self._dtls = DtlsEndpoint(
                is_server=is_server,
                peer_fingerprints=self.offer.transport.fingerprints,
                now=time.monotonic(),
            )
            self._advance(self.ice.path)

    def moved(self) -> None:
        """Media goes by another path now, or by none."""
        if self.session:
            self.session.moved()

    def receive(self, datagram: bytes, path: Path, now: float) -> bool:
        """Take a datagram that is no check; returns whether `flush` has something to do."""
        if is_dtls(datagram):
            if self._dtls:
                self._dtls.receive(datagram, now)
                self._advance(path)
            return False
        if self._receiver is None:
            return False  # the keys are not made yet
        try:
            if is_rtcp(datagram):
                packet = self._receiver.unprotect_rtcp(datagram)
                self.flush()  # a goodbye comes after what it ends
                if self.session:
                    self.session.receive_rtcp(packet)
            else:
                self._received.append(self._receiver.unprotect(datagram))
        except SrtpError:
            self._refused["srtp"] += 1
            return False
        self.ice.heard(path, now)
        return bool(self._received)

    def flush(self) -> None:
        """Pass on the packets that one wakeup brought."""
        received, self._received = self._received, []
        if received and self.session:
            self.session.receive(received)

    def close(self) -> None:
        """Say goodbye and end; `on_end` is not called."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if session := self.session:
            self.session = None
            session.close()
        if self._dtls:
            self._dtls.close()
            for datagram in self._dtls.datagrams_to_send():
                self._send(datagram, self.ice.path)
            self._dtls = None
        self._receiver = None

    def _advance(self, path: Path | None) -> None:
        """Send what DTLS has to say, and act on how far it is."""
        dtls = self._dtls
        assert dtls is not None
        for datagram in dtls.datagrams_to_send():
            self._send(datagram, path)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if dtls.state is DtlsState.CONNECTED and self._receiver is None and dtls.keys:
            self._receiver = make_receiver(dtls.keys.remote)
            if self.session:
                self.session.connected(make_sender(dtls.keys.local))
        elif dtls.state in (DtlsState.FAILED, DtlsState.CLOSED):
            if dtls.failure:
                self._refused["dtls"] += 1
                _log.warning("'%s': %s", self.stream, dtls.failure)
            self._on_end(self)
        elif dtls.next_timer is not None:
            self._timer = self._loop.call_at(dtls.next_timer, self._repeat)

    def _repeat(self) -> None:
        self._timer = None
        if self._dtls:
            self._dtls.handle_timer(time.monotonic())
            self._advance(self.ice.path)
