"""The end of a DTLS association without OpenSSL, said to OpenSSL and heard from it."""

from __future__ import annotations

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st
from OpenSSL import SSL

from streamsocket.webrtc.certificate import Certificate
from streamsocket.webrtc.dtls import DtlsEndpoint, DtlsState
from streamsocket.webrtc.dtls_alerts import Alerts, Secrets

PEER = Certificate.generate()
SUITES = (
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
)
every_suite = pytest.mark.parametrize("suite", SUITES)


def peer_of(endpoint_is_server: bool, suite: str) -> SSL.Connection:
    context = SSL.Context(SSL.DTLS_METHOD)
    context.set_cipher_list(suite.encode())
    context.use_certificate(PEER.x509)
    context.use_privatekey(PEER.key)
    context.set_tlsext_use_srtp(b"SRTP_AEAD_AES_128_GCM")
    context.set_options(SSL.OP_NO_QUERY_MTU)
    # A client's certificate is what the endpoint asks for, and only what it asks for is shown.
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    connection = SSL.Connection(context)
    connection.set_ciphertext_mtu(1200)
    if endpoint_is_server:
        connection.set_connect_state()
    else:
        connection.set_accept_state()
    return connection


def exchange(peer: SSL.Connection, endpoint: DtlsEndpoint) -> None:
    """Pass on what both have to say, until they are connected."""
    for _ in range(6):
        for datagram in endpoint.datagrams_to_send():
            peer.bio_write(datagram)
            _handshake(peer)
        _handshake(peer)
        try:
            endpoint.receive(peer.bio_read(65_536), 0.0)
        except SSL.WantReadError:
            pass


def _handshake(peer: SSL.Connection) -> None:
    try:
        peer.do_handshake()
    except SSL.WantReadError:
        pass


@pytest.fixture(params=[True, False])
def is_server(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


def connected(is_server: bool, suite: str) -> tuple[SSL.Connection, DtlsEndpoint]:
    endpoint = DtlsEndpoint(is_server=is_server, peer_fingerprints=[PEER.fingerprint], now=0.0)
    peer = peer_of(is_server, suite)
    exchange(peer, endpoint)
    assert endpoint.state is DtlsState.CONNECTED
    assert peer.get_cipher_name() == suite
    return peer, endpoint


@every_suite
def test_openssl_understands_our_goodbye(is_server: bool, suite: str) -> None:
    peer, endpoint = connected(is_server, suite)
    endpoint.close()
    (goodbye,) = endpoint.datagrams_to_send()
    peer.bio_write(goodbye)
    with pytest.raises(SSL.ZeroReturnError):
        peer.recv(100)


@every_suite
def test_openssl_s_goodbye_is_understood(is_server: bool, suite: str) -> None:
    peer, endpoint = connected(is_server, suite)
    peer.shutdown()
    goodbye = peer.bio_read(65_536)
    forged = bytearray(goodbye)
    for place in range(len(goodbye)):
        forged[place] ^= 1
        endpoint.receive(bytes(forged), 0.0)
        forged[place] ^= 1
        endpoint.receive(goodbye[:place], 0.0)
    assert endpoint.state is DtlsState.CONNECTED
    endpoint.receive(goodbye, 0.0)
    assert endpoint.state is DtlsState.CLOSED


def test_nothing_of_openssl_is_kept() -> None:
    _, endpoint = connected(True, SUITES[0])
    gc.collect()
    held = gc.get_referents(endpoint, *gc.get_referents(endpoint))
    assert not any(isinstance(each, SSL.Connection) for each in held)


def alerts(is_server: bool) -> Alerts:
    return Alerts(Secrets(SUITES[0], b"m" * 48, b"c" * 32, b"s" * 32), is_server=is_server)


def test_no_nonce_is_used_twice() -> None:
    ours, theirs = alerts(True), alerts(False)
    first, second = ours.close_notify(), ours.close_notify()
    assert first[3:11] != second[3:11]
    assert theirs.read(first) == theirs.read(second) == (1, 0)
    assert ours.read(first) is None  # it is our own, sent back


def test_an_alert_may_come_behind_other_records() -> None:
    ours, theirs = alerts(True), alerts(False)
    other = b"\x17\xfe\xfd" + bytes(8) + b"\0\4spam"
    assert theirs.read(other + ours.close_notify()) == (1, 0)


@given(st.binary(max_size=100))
def test_garbage_says_nothing(garbage: bytes) -> None:
    assert alerts(True).read(b"\x15\xfe\xfd\0\1" + garbage) is None
