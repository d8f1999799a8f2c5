"""DTLS 1.2 for SRTP (RFC 5764), without I/O: datagrams in, datagrams out.

connecting ──handshake, certificate as announced──> connected ──close_notify──> closed
     └──refused, or no answer for 30 s──> failed

OpenSSL does the cryptography. Here are the borders of datagrams, which its memory BIOs forget, the
repetition of what may have been lost, and the check of the peer's certificate.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from enum import Enum

from OpenSSL import SSL, crypto

from streamsocket.errors import StreamSocketError
from streamsocket.webrtc.certificate import Certificate, Fingerprint, own_certificate
from streamsocket.webrtc.dtls_alerts import CLOSE_NOTIFY, FATAL, Alerts, Secrets
from streamsocket.webrtc.srtp_profile import (
    SrtpKeys,
    SrtpProfile,
    keying_material_bytes,
    split_keying_material,
)

MAX_DATAGRAM_BYTES = 1200
"""The longest datagram we send: it fits wherever media packets do."""
HANDSHAKE_TIMEOUT_S = 30.0
FIRST_REPEAT_S = 0.1
"""How long an answer may take before we say it again. It is doubled each time. OpenSSL would wait
a second (RFC 6347, 4.2.4.1), as long as a viewer would see nothing."""
_LONGEST_REPEAT_S = 3.2

PROFILES = (
    SrtpProfile.AEAD_AES_128_GCM,
    SrtpProfile.AES128_CM_SHA1_80,
    SrtpProfile.AEAD_AES_256_GCM,
)
"""In the order of preference; a server's counts."""

_DTLS_1_2 = 0xFEFD
# Forward secrecy and authenticated encryption: every WebRTC peer has the first (RFC 8827, 6.5).
# The peer's key may be an elliptic curve's or RSA.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
_KEYING_LABEL = b"EXTRACTOR-dtls_srtp"  # RFC 5764, 4.2

_RECORD_HEADER = 13
_HANDSHAKE_RECORDS = (20, 22)  # change_cipher_spec among them
# OpenSSL reads a datagram at once if it isn't longer than the longest record.
_MAX_RECEIVED_BYTES = 16_384
_READ_BYTES = 65_536


class DtlsError(StreamSocketError):
    """A connection that failed: the peer is not who it should be, or cannot be talked to."""


class DtlsState(Enum):
    """How far an endpoint is."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    FAILED = "failed"
    CLOSED = "closed"


def is_dtls(datagram: bytes) -> bool:
    """Whether a datagram is DTLS, not STUN, RTP or RTCP on the same port (RFC 7983, 7)."""
    return bool(datagram) and 20 <= datagram[0] <= 63


class DtlsEndpoint:
    """One end of a DTLS association. A client says the first word as soon as it is made."""

    def __init__(
        self,
        *,
        is_server: bool,
        peer_fingerprints: Iterable[Fingerprint],
        now: float,
        certificate: Certificate | None = None,
        profiles: tuple[SrtpProfile, ...] = PROFILES,
    ) -> None:
        """The server is the passive one of the SDP's `a=setup`, the client the active one.

        `peer_fingerprints` are what the peer's SDP announces: its certificate must have one of
        them. `now` is in seconds of any steady clock. Without `certificate`, this process's own.
        """
        self.state = DtlsState.CONNECTING
        self.failure: DtlsError | None = None
        """Why, in the state FAILED."""
        self.keys: SrtpKeys | None = None
        """What SRTP is to use, once connected."""
        self._is_server = is_server
        self._peer = _Peer(peer_fingerprints)
        self._alerts: Alerts | None = None
        self._connection = SSL.Connection(_context(certificate or own_certificate(), profiles))
        self._connection.set_app_data(self._peer)
        self._connection.set_ciphertext_mtu(MAX_DATAGRAM_BYTES)
        self._out: list[bytes] = []
        self._flight: list[bytes] = []
        self._repeat_after = FIRST_REPEAT_S
        self._repeat_at: float | None = None
        self._give_up_at = now + HANDSHAKE_TIMEOUT_S
        if is_server:
            self._connection.set_accept_state()
        else:
            self._connection.set_connect_state()
            self._advance(now)

    def receive(self, datagram: bytes, now: float) -> None:
        """Take a datagram from the peer. Garbage is ignored, as DTLS wants it (RFC 6347, 4.1.2.7).

        Nothing is raised: see `state` afterwards, and send `datagrams_to_send()`.
        """
        if self._over or not is_dtls(datagram) or len(datagram) > _MAX_RECEIVED_BYTES:
            return
        if self._alerts is None:
            self._connection.bio_write(datagram)
            self._advance(now)
        elif datagram[0] in _HANDSHAKE_RECORDS:
            # The peer repeats itself: it has not had our last words, which no timer repeats
            # (RFC 6347, 4.2.4).
            if self._is_server:
                self._out += self._flight
        elif alert := self._alerts.read(datagram):
            self._alerted(*alert)

    def datagrams_to_send(self) -> list[bytes]:
        """What is to be sent to the peer, one datagram each; each is returned once."""
        out, self._out = self._out, []
        return out

    @property
    def next_timer(self) -> float | None:
        """When `handle_timer` is to be called; None if there is nothing to wait for."""
        if self.state is not DtlsState.CONNECTING:
            return None
        if self._repeat_at is None:
            return self._give_up_at
        return min(self._repeat_at, self._give_up_at)

    def handle_timer(self, now: float) -> None:
        """Repeat what may have been lost, or give up. Does nothing if it is not time yet."""
        if self.state is not DtlsState.CONNECTING:
            return
        if now >= self._give_up_at:
            self._fail(f"the peer has not answered for {HANDSHAKE_TIMEOUT_S:.0f} seconds")
        elif self._repeat_at is not None and now >= self._repeat_at:
            self._repeat_after = min(2 * self._repeat_after, _LONGEST_REPEAT_S)
            self._repeat_at = now + self._repeat_after
            self._repeat()

    def close(self) -> None:
        """Say goodbye (close_notify) if there is a connection, and end."""
        if self._over:
            return
        if self._alerts:
            self._out.append(self._alerts.close_notify())
        self.state = DtlsState.CLOSED

    def _alerted(self, level: int, description: int) -> None:
        """Act on what the peer says of the connection."""
        if description == CLOSE_NOTIFY:
            self.close()
        elif level == FATAL:
            self._fail(f"the peer has ended the connection by alert {description} of TLS")

    @property
    def _over(self) -> bool:
        return self.state in (DtlsState.FAILED, DtlsState.CLOSED)

    def _advance(self, now: float) -> None:
        """Let OpenSSL act on what has come, or say its first word."""
        try:
            self._connection.do_handshake()
            self._connected()
            while not self._over:
                self._connection.recv(_MAX_RECEIVED_BYTES)  # nobody has anything to say here
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            self._shut_down()
            self.state = DtlsState.CLOSED
        except SSL.Error as error:
            self._fail(self._peer.objection or _reason(error))
        said = self._said()
        self._out += said
        if said:
            self._flight = said
            self._repeat_after = FIRST_REPEAT_S
            self._repeat_at = now + FIRST_REPEAT_S
        if self.state is DtlsState.CONNECTED:
            self._let_go()

    def _connected(self) -> None:
        name = self._connection.get_selected_srtp_profile()
        if not self._peer.is_verified:
            self._refuse(_WRONG_CERTIFICATE)
        elif not name:
            self._refuse("the peer and we have no SRTP protection profile in common")
        else:
            profile = SrtpProfile(name.decode())
            material = self._connection.export_keying_material(
                _KEYING_LABEL, keying_material_bytes(profile)
            )
            self.keys = split_keying_material(profile, material, is_server=self._is_server)
            self.state = DtlsState.CONNECTED

    def _let_go(self) -> None:
        """Keep of OpenSSL only what is needed from now on."""
        connection = self._connection
        master, client = connection.master_key(), connection.client_random()
        server, cipher = connection.server_random(), connection.get_cipher_name()
        assert master is not None
        assert client is not None
        assert server is not None
        assert cipher is not None
        self._alerts = Alerts(Secrets(cipher, master, client, server), is_server=self._is_server)
        del self._connection

    def _refuse(self, reason: str) -> None:
        """Turn down a peer that OpenSSL is content with."""
        self._shut_down()
        self._fail(reason)

    def _repeat(self) -> None:
        # OpenSSL repeats with new record numbers, but not before a second has passed on its own
        # clock. Until then the same records go out again: to a peer that has had none of them they
        # are new, and our flights are one datagram each.
        try:
            self._connection.DTLSv1_handle_timeout()
        except SSL.Error as error:
            self._fail(_reason(error))
        self._flight = self._said() or self._flight
        self._out += self._flight

    def _said(self) -> list[bytes]:
        """What OpenSSL has to say, in datagrams."""
        try:
            return split_records(self._connection.bio_read(_READ_BYTES))
        except SSL.WantReadError:
            return []

    def _shut_down(self) -> None:
        try:
            self._connection.shutdown()
        except SSL.Error:
            pass  # the other end is gone; there is nobody to say goodbye to
        self._out += self._said()

    def _fail(self, reason: str) -> None:
        self.state = DtlsState.FAILED
        self.failure = DtlsError(f"DTLS failed: {reason}.")


_WRONG_CERTIFICATE = "the peer's certificate is not the one that its session description announces"


class _Peer:
    """Whom OpenSSL is talking to, and whether it is who it should be."""

    def __init__(self, fingerprints: Iterable[Fingerprint]) -> None:
        self.is_verified = False
        self.objection = ""
        self._announced = tuple(fingerprints)

    def verify(self, certificate: crypto.X509) -> bool:
        """Check the certificate that the handshake is signed with."""
        self.is_verified = any(
            _digest(certificate, p.algorithm) == p.digest for p in self._announced
        )
        if not self.is_verified:
            self.objection = _WRONG_CERTIFICATE
        return self.is_verified


def _digest(certificate: crypto.X509, algorithm: str) -> bytes:
    # OpenSSL says sha256 for sha-256, and writes the digest as b"12:DF:…".
    written = certificate.digest(algorithm.replace("-", "")).decode()
    return bytes.fromhex(written.replace(":", ""))


def _verify(
    connection: SSL.Connection, certificate: crypto.X509, _error: int, depth: int, _ok: int
) -> bool:
    """Who signed it does not matter, only what was announced (RFC 5763, 5)."""
    if depth:
        return True
    peer: _Peer = connection.get_app_data()
    return peer.verify(certificate)


@functools.lru_cache(maxsize=8)
def _context(certificate: Certificate, profiles: tuple[SrtpProfile, ...]) -> SSL.Context:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_min_proto_version(_DTLS_1_2)
    context.set_max_proto_version(_DTLS_1_2)
    context.set_options(SSL.OP_NO_QUERY_MTU | SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_cipher_list(_CIPHERS)
    context.use_certificate(certificate.x509)
    context.use_privatekey(certificate.key)
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, _verify)
    context.set_tlsext_use_srtp(b":".join(profile.value.encode() for profile in profiles))
    return context


def split_records(data: bytes) -> list[bytes]:
    """Put whole DTLS records, end to end in `data`, into datagrams of at most 1,200 bytes."""
    datagrams = []
    start = end = 0
    while end < len(data):
        size = _RECORD_HEADER + int.from_bytes(data[end + 11 : end + 13])
        if end > start and end + size - start > MAX_DATAGRAM_BYTES:
            datagrams.append(data[start:end])
            start = end
        end += size
    if end > start:
        datagrams.append(data[start:end])
    return datagrams


_EXPLAINED = {
    # FFmpeg's own where GnuTLS makes it: of P-224, which OpenSSL 4 has no more.
    "wrong curve": "the peer's certificate is of an elliptic curve that is not in use any more; "
    "FFmpeg takes another by -cert_file and -key_file"
}


def _reason(error: SSL.Error) -> str:
    """OpenSSL's reason: the last part of the last entry of its queue."""
    try:
        reason = str(error.args[0][-1][-1]) or "OpenSSL gives no reason"
    except (IndexError, TypeError):
        return "the connection broke"
    return _EXPLAINED.get(reason, reason)
