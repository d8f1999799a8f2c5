"""A WebRTC peer of the benches: a real session with ICE, DTLS and SRTP, as a browser has it.

The handshake is the package's own code with the roles turned round. What a peer checks of the
packets it receives is libsrtp's word, not ours.
"""

from __future__ import annotations

import http.client
import re
import secrets
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from pylibsrtp import Error, Policy, Session

from bench.rtsp import BenchError
from streamsocket.webrtc import stun
from streamsocket.webrtc.certificate import Fingerprint, own_certificate
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState, is_dtls
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.srtp import SrtpKey, SrtpProfile, SrtpSender, make_sender
from streamsocket.webrtc.stun import MessageClass, StunMessage

CONNECT_TIMEOUT_S = 20.0
CHECK_S = 5.0
"""How often a peer renews its consent (RFC 7675, 5.1)."""
VIDEO, BASELINE, AUDIO = 102, 108, 111
"""Payload types; those of repairs of video are one more. Movies have H.264's high profile."""
_H264 = "level-asymmetry-allowed=1;packetization-mode=1"
SEND_TIME_ID, TRANSPORT_ID, CAPTURE_TIME_ID, MID_ID = 2, 4, 5, 9
_EXTENSIONS = {
    SEND_TIME_ID: "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
    TRANSPORT_ID: "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
    CAPTURE_TIME_ID: "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
    MID_ID: "urn:ietf:params:rtp-hdrext:sdes:mid",
}
_OTHERS = [
    *(("VP9", f"profile-id={profile}") for profile in range(4)),
    *(("AV1", f"level-idx=5;profile={profile};tier=0") for profile in range(2)),
    *(("H265", f"level-id=180;profile-id={profile};tier-flag=0;tx-mode=SRST")
      for profile in range(1, 9)),
]  # fmt: skip
"""Formats that are offered besides."""
_LIBSRTP = {
    SrtpProfile.AEAD_AES_128_GCM: Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
    SrtpProfile.AES128_CM_SHA1_80: Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
    SrtpProfile.AEAD_AES_256_GCM: Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
}


@dataclass(frozen=True)
class Answer:
    """What a peer was told."""

    ufrag: str
    password: str
    address: tuple[str, int]
    fingerprint: str
    setup: str
    ssrcs: tuple[int, ...]
    """The sources of the first and second section, without those of repairs."""
    payload_types: tuple[int, ...]
    """The first of each section's."""


class Peer:
    """One session, from its offer on. `poll` does what there is to do until it is connected."""

    def __init__(self, url: str, *, sends: bool) -> None:
        """Ask at `url`, a WHEP endpoint, or a WHIP endpoint if the peer `sends`."""
        self.credentials = Credentials.generate()
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.setblocking(False)
        self.keys: tuple[SrtpKey, SrtpKey] | None = None
        """Its own and the server's, once it is connected."""
        self.sender: SrtpSender | None = None
        self._url = url
        self._dtls: DtlsEndpoint | None = None
        self._check_at = 0.0
        try:
            status, self._session, text = _ask("POST", url, offer(self.credentials, sends=sends))
            if status != 201:
                raise BenchError(f"{url} answers {status}: {text[:200]}")
            self.answer = _parse(text)
            self.socket.connect(self.answer.address)
            self.check(time.monotonic())
        except BaseException:
            self.socket.close()
            raise

    @property
    def connected(self) -> bool:
        """Whether media can flow."""
        return self.keys is not None

    def check(self, now: float) -> None:
        """Send a check (RFC 8445, 7.2.2) if one is due."""
        if now < self._check_at:
            return
        self._check_at = now + (CHECK_S if self._dtls else 0.1)
        request = StunMessage(
            MessageClass.REQUEST,
            secrets.token_bytes(12),
            username=f"{self.answer.ufrag}:{self.credentials.ufrag}",
            priority=1,
            use_candidate=True,
            ice_controlling=1,
        )
        self.send(stun.build(request, self.answer.password))

    def send(self, datagram: bytes) -> None:
        """Send a datagram; what the socket doesn't take is lost, as on any network."""
        try:
            self.socket.send(datagram)
        except OSError:
            pass

    def take(self, datagram: bytes) -> None:
        """Take what is no media."""
        now = time.monotonic()
        if stun.is_stun(datagram):
            message = stun.parse(datagram)
            if message.message_class is MessageClass.SUCCESS:
                self._answered(now)
            elif message.message_class is MessageClass.REQUEST:  # it has ICE in full
                reply = StunMessage(
                    MessageClass.SUCCESS,
                    message.transaction_id,
                    mapped_address=self.socket.getpeername(),
                )
                self.send(stun.build(reply, self.credentials.password))
        elif is_dtls(datagram) and self._dtls:
            self._dtls.receive(datagram, now)
            self._advance()

    def poll(self) -> None:
        """Take what has come, and say again what may have been lost."""
        now = time.monotonic()
        try:
            while not self.connected:
                self.take(self.socket.recv(4096))
        except BlockingIOError:
            pass
        self.check(now)
        if self._dtls:
            self._dtls.handle_timer(now)
            self._advance()

    def close(self, *, goodbye: bool = True) -> None:
        """End the session, with a DELETE or without a word."""
        self.socket.close()
        if goodbye:
            try:
                _ask("DELETE", self._session, "")
            except OSError:
                pass  # the server is gone, and with it the session

    def _answered(self, now: float) -> None:
        if self._dtls is None:
            self._dtls = DtlsEndpoint(
                is_server=self.answer.setup == "active",
                peer_fingerprints=(Fingerprint.parse(self.answer.fingerprint),),
                now=now,
            )
            self._advance()

    def _advance(self) -> None:
        assert self._dtls
        for datagram in self._dtls.datagrams_to_send():
            self.send(datagram)
        if self._dtls.state is DtlsState.FAILED:
            raise BenchError(str(self._dtls.failure))
        if self._dtls.keys and self.keys is None:
            self.keys = self._dtls.keys.local, self._dtls.keys.remote
            self.sender = make_sender(self._dtls.keys.local)


def offer(credentials: Credentials, *, sends: bool) -> str:
    """An offer as long as Chromium's, with H.264 and Opus the only formats that we have."""
    common = [
        "c=IN IP4 0.0.0.0",
        f"a=ice-ufrag:{credentials.ufrag}",
        f"a=ice-pwd:{credentials.password}",
        f"a=fingerprint:{own_certificate().fingerprint}",
        "a=setup:actpass",
        "a=rtcp-mux",
        "a=rtcp-rsize",
        f"a={'sendonly' if sends else 'recvonly'}",
        *(f"a=extmap:{number} {uri}" for number, uri in _EXTENSIONS.items()),
    ]
    others = range(20, 20 + 2 * len(_OTHERS), 2)
    numbers = " ".join(f"{other} {other + 1}" for other in others)
    video = [
        f"m=video 9 UDP/TLS/RTP/SAVPF {VIDEO} {VIDEO + 1} {BASELINE} {BASELINE + 1} {numbers}",
        "a=mid:0",
        *_format(VIDEO, "H264", f"{_H264};profile-level-id=64001f"),
        *_format(BASELINE, "H264", f"{_H264};profile-level-id=42e01f"),
    ]
    for other, (name, parameters) in zip(others, _OTHERS, strict=True):
        video += _format(other, name, parameters)
    audio = [
        f"m=audio 9 UDP/TLS/RTP/SAVPF {AUDIO}",
        "a=mid:1",
        f"a=rtpmap:{AUDIO} opus/48000/2",
        f"a=rtcp-fb:{AUDIO} transport-cc",
    ]
    lines = ["v=0", f"o=- {secrets.randbits(62)} 2 IN IP4 127.0.0.1", "s=-", "t=0 0"]
    lines += ["a=group:BUNDLE 0 1", *video, *common, *audio, *common]
    return "\r\n".join(lines) + "\r\n"


def _format(number: int, name: str, parameters: str) -> list[str]:
    """What an offer says of a format of video, and of what repairs it."""
    feedback = ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
    return [
        f"a=rtpmap:{number} {name}/90000",
        *(f"a=rtcp-fb:{number} {word}" for word in feedback),
        f"a=fmtp:{number} {parameters}",
        f"a=rtpmap:{number + 1} rtx/90000",
        f"a=fmtp:{number + 1} apt={number}",
    ]


def connecting(peers: list[Peer]) -> Iterator[Peer | None]:
    """Let peers connect: yields each that is, as soon as it is, and None after each turn.

    Raises `BenchError` if they don't connect within 20 s.
    """
    deadline = time.monotonic() + CONNECT_TIMEOUT_S
    waiting = list(peers)
    while waiting:
        if time.monotonic() > deadline:
            raise BenchError(f"{len(waiting)} of {len(peers)} peers are not connected")
        for peer in tuple(waiting):
            peer.poll()
            if peer.connected:
                waiting.remove(peer)
                yield peer
        yield None
        time.sleep(0.001)


class Unprotector:
    """Takes the protection off by libsrtp."""

    def __init__(self, key: SrtpKey) -> None:
        policy = Policy(
            key=key.key + key.salt,
            ssrc_type=Policy.SSRC_ANY_INBOUND,
            srtp_profile=_LIBSRTP[key.profile],
        )
        policy.window_size = 1024
        self._session = Session(policy)

    def packet(self, datagram: bytes) -> bytes | None:
        """The RTP packet; None if it is forged or damaged."""
        try:
            packet: bytes = self._session.unprotect(datagram)
        except Error:
            return None
        return packet


def _ask(method: str, url: str, body: str) -> tuple[int, str, str]:
    """Status, where the session is, and the body of an HTTP answer."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=CONNECT_TIMEOUT_S)
    try:
        connection.request(method, parts.path, body, {"Content-Type": "application/sdp"})
        response = connection.getresponse()
        location = response.getheader("Location") or ""
        if location.startswith("/"):
            location = f"{parts.scheme}://{parts.netloc}{location}"
        return response.status, location, response.read().decode()
    finally:
        connection.close()


def _parse(text: str) -> Answer:
    def first(pattern: str) -> re.Match[str]:
        found = re.search(pattern, text)
        if found is None:
            raise BenchError(f"the answer has nothing like {pattern}:\n{text}")
        return found

    candidate = first(r"a=candidate:\S+ 1 udp \d+ ([\d.]+) (\d+) typ host")
    ssrcs = []
    for section in text.split("\r\nm=")[1:]:
        found = re.search(r"a=ssrc-group:FID (\d+)|a=ssrc:(\d+)", section)
        if found:
            ssrcs.append(int(found[1] or found[2]))
    return Answer(
        first(r"a=ice-ufrag:(\S+)")[1],
        first(r"a=ice-pwd:(\S+)")[1],
        (candidate[1], int(candidate[2])),
        first(r"a=fingerprint:(\S+ \S+)")[1],
        first(r"a=setup:(\S+)")[1],
        tuple(ssrcs),
        tuple(int(number) for number in re.findall(r"\nm=\S+ \d+ \S+ (\d+)", text)),
    )
