"""A WebRTC peer of our own on a real socket, made of the same rules with the roles turned round."""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Iterator

from tests.unit.webrtc_helpers import offer_text

from streamsocket.rtp.packet import RtpPacket, is_rtcp, parse_rtp
from streamsocket.rtp.rtcp import RtcpPacket, parse_rtcp
from streamsocket.webrtc import sdp, sdp_fragment, stun
from streamsocket.webrtc.certificate import Certificate, own_certificate
from streamsocket.webrtc.dtls import PROFILES, DtlsEndpoint, DtlsState, is_dtls
from streamsocket.webrtc.framing import FramingParser, frame
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.server import Answer
from streamsocket.webrtc.srtp import (
    SrtpProfile,
    SrtpReceiver,
    SrtpSender,
    make_receiver,
    make_sender,
)
from streamsocket.webrtc.stun import MessageClass, StunMessage


class PythonPeer:
    """Offers, connects, and keeps what it receives. `poll` does what there is to do."""

    def __init__(
        self,
        offer: str = "chromium_recvonly",
        *,
        certificate: Certificate | None = None,
        profiles: tuple[SrtpProfile, ...] = PROFILES,
        tcp: bool = False,
        receive_buffer: int | None = None,
    ) -> None:
        """`certificate` is what it shows, if that isn't the one it announces.

        With `tcp` it connects over that at first; `receive_buffer` is what the kernel then keeps
        for it, in bytes.
        """
        self.credentials = Credentials.generate()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.rtp: list[RtpPacket] = []
        self.raw: list[bytes] = []
        """The same, as they came, their protection taken off."""
        self.rtcp: list[RtcpPacket] = []
        self.checks_answered = 0
        self.ended = False
        """Whether the server has ended the TCP connection."""
        self.dtls: DtlsEndpoint | None = None
        self.answer: sdp.Description
        self.sender: SrtpSender
        self._receiver: SrtpReceiver | None = None
        self._certificate = certificate
        self._profiles = profiles
        self._offer = offer
        self._receive_buffer = receive_buffer
        self._framing: FramingParser | None = FramingParser() if tcp else None
        """How what comes over TCP is taken apart; None over UDP."""

    @property
    def offer(self) -> str:
        """Its offer: a real browser's, with this peer's credentials and fingerprint."""
        text = offer_text(self._offer)
        fingerprint = own_certificate().fingerprint
        for name, value in (
            ("ice-ufrag", self.credentials.ufrag),
            ("ice-pwd", self.credentials.password),
            ("fingerprint", str(fingerprint)),
        ):
            text = re.sub(f"a={name}:[^\r]*", f"a={name}:{value}", text)
        return text

    def take(self, told: Answer, *, password: str | None = None) -> None:
        """Take the answer, and begin with a check, by that password if it isn't the right one."""
        self.adopt(told)
        if self._framing:
            self.connect()
        self.check(password=password)

    def adopt(self, told: Answer) -> None:
        """Take the answer, and do nothing yet."""
        self.told = told
        self.answer = sdp.parse(told.text)
        self._theirs = self.answer.transport.credentials
        candidate = self.answer.transport.candidates[0]
        self.server = candidate.host, candidate.port

    def restart(self, told: Answer) -> None:
        """Take the server's new credentials: they are those of checks from now on."""
        self._theirs = sdp_fragment.parse(told.text).credentials

    def connect(self) -> None:
        """Go over to a new TCP connection; media follows the next check."""
        offered = self.answer.transport.candidates
        candidate = next(each for each in offered if each.tcp_type == "passive")
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if self._receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        self.socket.connect((candidate.host, candidate.port))
        self.socket.setblocking(False)
        self._framing = FramingParser()

    def disconnect(self) -> None:
        """Go over to UDP, and end the TCP connection; media follows the next check."""
        self.socket.close()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self._framing = None

    def check(self, *, password: str | None = None, nominates: bool = True) -> None:
        """Send a check (RFC 8445, 7.2.2)."""
        theirs = self._theirs
        assert theirs
        request = StunMessage(
            MessageClass.REQUEST,
            secrets.token_bytes(12),
            username=f"{theirs.ufrag}:{self.credentials.ufrag}",
            priority=1,
            use_candidate=nominates,
            ice_controlling=1,
        )
        self.send(stun.build(request, password or theirs.password))

    def send(self, datagram: bytes) -> None:
        if self._framing:
            self.socket.sendall(frame(datagram))
        else:
            self.socket.sendto(datagram, self.server)

    def send_rtcp(self, packet: bytes) -> None:
        self.send(self.sender.protect_rtcp(packet))

    @property
    def connected(self) -> bool:
        return self.dtls is not None and self.dtls.state is DtlsState.CONNECTED

    def poll(self) -> None:
        """Take what has come."""
        now = time.monotonic()
        for datagram in self._came():
            if stun.is_stun(datagram):
                self._answered(now)
            elif is_dtls(datagram):
                self._handshake(datagram, now)
            elif self._receiver is None:
                pass  # media may overtake the last words of the handshake
            elif is_rtcp(datagram):
                self.rtcp += parse_rtcp(self._receiver.unprotect_rtcp(datagram))
            else:
                packet = self._receiver.unprotect(datagram)
                self.raw.append(packet)
                self.rtp.append(parse_rtp(packet))
        if self.dtls:
            self.dtls.handle_timer(now)
            self._say()

    def _came(self) -> Iterator[bytes]:
        while True:
            try:
                data, sender = self.socket.recvfrom(65_536)
            except BlockingIOError:
                return
            if not self._framing:
                if sender == self.server:  # others may send to whoever had the port before
                    yield data
            elif data:
                yield from self._framing.feed(data)
            else:
                self.ended = True
                return

    def forget_what_came(self) -> None:
        """Take packets that came before once more."""
        assert self.dtls
        assert self.dtls.keys
        self._receiver = make_receiver(self.dtls.keys.remote)

    def close(self) -> None:
        self.socket.close()

    def _answered(self, now: float) -> None:
        self.checks_answered += 1
        if self.dtls is None:
            self.dtls = DtlsEndpoint(
                is_server=self.answer.transport.setup == "active",
                peer_fingerprints=self.answer.transport.fingerprints,
                now=now,
                certificate=self._certificate,
                profiles=self._profiles,
            )

    def _handshake(self, datagram: bytes, now: float) -> None:
        assert self.dtls
        self.dtls.receive(datagram, now)
        if self.dtls.keys and self._receiver is None:
            self._receiver = make_receiver(self.dtls.keys.remote)
            self.sender = make_sender(self.dtls.keys.local)

    def _say(self) -> None:
        assert self.dtls
        for datagram in self.dtls.datagrams_to_send():
            self.send(datagram)
