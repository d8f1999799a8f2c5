"""DTLS: our server and our client, what is lost, what is forged."""

from __future__ import annotations

import contextlib
import datetime
import resource
import time
from collections.abc import Iterator

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL

from streamsocket.webrtc.certificate import Certificate, Fingerprint, own_certificate
from streamsocket.webrtc.dtls import (
    HANDSHAKE_TIMEOUT_S,
    MAX_DATAGRAM_BYTES,
    PROFILES,
    DtlsEndpoint,
    DtlsState,
    is_dtls,
    split_records,
)
from streamsocket.webrtc.srtp_profile import SrtpKey, SrtpProfile, split_keying_material

PEER = Certificate.generate()
OTHER = Certificate.generate()


def large_certificate() -> Certificate:
    """A certificate so long that no datagram holds it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "large")])
    names = [x509.DNSName(f"host-{number:03}.example.com") for number in range(150)]
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate, key, Fingerprint("sha-256", certificate.fingerprint(hashes.SHA256()))
    )


LARGE = large_certificate()


def make_server(
    *fingerprints: Fingerprint, profiles: tuple[SrtpProfile, ...] = PROFILES
) -> DtlsEndpoint:
    return DtlsEndpoint(
        is_server=True,
        peer_fingerprints=fingerprints or (PEER.fingerprint,),
        now=0.0,
        profiles=profiles,
    )


def make_client(
    *fingerprints: Fingerprint,
    profiles: tuple[SrtpProfile, ...] = PROFILES,
    certificate: Certificate = PEER,
) -> DtlsEndpoint:
    return DtlsEndpoint(
        is_server=False,
        peer_fingerprints=fingerprints or (own_certificate().fingerprint,),
        now=0.0,
        certificate=certificate,
        profiles=profiles,
    )


class Network:
    """Two endpoints and the datagrams between them, some of which are lost."""

    def __init__(self, server: DtlsEndpoint, client: DtlsEndpoint) -> None:
        self.ends = (server, client)
        self.now = 0.0
        self.sizes: list[int] = []
        self.lost: frozenset[int] = frozenset()

    def settle(self) -> None:
        """Deliver until nobody has anything to say."""
        server, client = self.ends
        for _ in range(100):
            pending = [
                (to, datagram)
                for one, to in ((client, server), (server, client))
                for datagram in one.datagrams_to_send()
            ]
            if not pending:
                return
            for to, datagram in pending:
                self.sizes.append(len(datagram))
                if len(self.sizes) - 1 not in self.lost:
                    to.receive(datagram, self.now)
        raise AssertionError("they never stop talking")

    def run(self) -> None:
        """Until neither waits for anything."""
        self.settle()
        while timers := [end.next_timer for end in self.ends if end.next_timer is not None]:
            self.now = min(timers)
            for end in self.ends:
                end.handle_timer(self.now)
            self.settle()


def connect(
    server: DtlsEndpoint, client: DtlsEndpoint, lost: Iterator[int] | None = None
) -> Network:
    network = Network(server, client)
    network.lost = frozenset(lost or ())
    network.run()
    return network


@pytest.mark.parametrize("profile", SrtpProfile)
def test_both_ends_have_the_same_keys_for_opposite_directions(profile: SrtpProfile) -> None:
    server, client = make_server(profiles=(profile,)), make_client()
    connect(server, client)
    assert (server.state, client.state) == (DtlsState.CONNECTED, DtlsState.CONNECTED)
    assert server.keys
    assert client.keys
    assert server.keys.local == client.keys.remote
    assert server.keys.remote == client.keys.local
    assert server.keys.local != server.keys.remote
    assert server.keys.local.profile is profile
    assert server.next_timer is client.next_timer is None


def test_the_server_prefers_a_profile() -> None:
    server, client = make_server(), make_client(profiles=PROFILES[::-1])
    connect(server, client)
    assert client.keys
    assert client.keys.local.profile is SrtpProfile.AEAD_AES_128_GCM


def test_nothing_in_common_is_a_failure() -> None:
    server = make_server(profiles=(SrtpProfile.AEAD_AES_128_GCM,))
    client = make_client(profiles=(SrtpProfile.AES128_CM_SHA1_80,))
    connect(server, client)
    for end in (server, client):
        assert end.keys is None
        assert end.state in (DtlsState.FAILED, DtlsState.CLOSED)
    assert "no SRTP protection profile in common" in str(server.failure)


def test_the_keying_material_is_cut_as_rfc_5764_says() -> None:
    material = bytes(range(56))
    keys = split_keying_material(SrtpProfile.AEAD_AES_128_GCM, material, is_server=True)
    assert keys.local.key == material[16:32]
    assert keys.remote.key == material[:16]
    assert keys.local.salt == material[44:]
    assert keys.remote.salt == material[32:44]


def test_keys_are_not_shown() -> None:
    key = SrtpKey(SrtpProfile.AEAD_AES_128_GCM, b"K" * 16, b"S" * 12)
    assert "KK" not in repr(key)
    assert "SS" not in repr(key)
    with pytest.raises(ValueError, match="sizes"):
        SrtpKey(SrtpProfile.AEAD_AES_256_GCM, b"K" * 16, b"S" * 12)


# Datagrams


def test_records_are_put_into_datagrams() -> None:
    def record(size: int) -> bytes:
        return b"\x16\xfe\xfd" + bytes(8) + (size - 13).to_bytes(2) + bytes(size - 13)

    sizes = (500, 700, 1, 1199, 1200, 1300, 20)
    records = [record(max(size, 13)) for size in sizes]
    datagrams = split_records(b"".join(records))
    assert [len(each) for each in datagrams] == [1200, 13, 1199, 1200, 1300, 20]
    assert b"".join(datagrams) == b"".join(records)
    assert split_records(b"") == []


def test_long_flights_leave_in_datagrams_that_fit() -> None:
    server = make_server(LARGE.fingerprint)
    network = connect(server, make_client(certificate=LARGE))
    assert server.state is DtlsState.CONNECTED
    assert len(network.sizes) > 6
    assert max(network.sizes) <= MAX_DATAGRAM_BYTES


def halves(hello: bytes) -> tuple[bytes, bytes]:
    """A ClientHello in two records, as browsers send theirs (RFC 6347, 4.2.3).

    The second has a record number that the client won't use itself.
    """
    message = hello[13:]
    body = message[12:]
    middle = len(body) // 2
    return tuple(  # type: ignore[return-value]
        hello[:3]
        + number.to_bytes(8)
        + (12 + len(part)).to_bytes(2)
        + message[:6]
        + start.to_bytes(3)
        + len(part).to_bytes(3)
        + part
        for number, start, part in ((0, 0, body[:middle]), (60, middle, body[middle:]))
    )


@pytest.mark.parametrize("order", [1, -1])
def test_a_client_hello_may_come_in_two_datagrams(order: int) -> None:
    server, client = make_server(), make_client()
    (hello,) = client.datagrams_to_send()
    first, second = halves(hello)[::order]
    server.receive(first, 0.0)
    assert server.datagrams_to_send() == []
    server.receive(second, 0.0)
    connect(server, client)
    assert server.state is client.state is DtlsState.CONNECTED


@pytest.mark.parametrize(
    ("first", "expected"), [(19, False), (20, True), (22, True), (63, True), (64, False)]
)
def test_dtls_is_told_by_its_first_byte(first: int, expected: bool) -> None:
    assert is_dtls(bytes([first])) is expected
    assert not is_dtls(b"")


# Loss


@pytest.mark.parametrize("lost", range(4))
def test_a_lost_datagram_is_repeated_in_a_tenth_of_a_second(lost: int) -> None:
    server, client = make_server(), make_client()
    network = connect(server, client, iter([lost]))
    assert server.state is client.state is DtlsState.CONNECTED
    assert network.now <= 0.11


@settings(max_examples=100, deadline=None)
@given(st.sets(st.integers(0, 16), max_size=7))
def test_any_datagrams_may_be_lost(lost: set[int]) -> None:
    server, client = make_server(), make_client()
    connect(server, client, iter(lost))
    assert server.state is client.state is DtlsState.CONNECTED
    assert server.keys
    assert client.keys
    assert server.keys.local == client.keys.remote


def test_our_own_flights_are_a_datagram_each() -> None:
    """That is what makes repeating them as they were enough."""
    assert len(connect(make_server(), make_client()).sizes) == 4


def test_a_part_of_a_longer_flight_may_be_lost() -> None:
    """OpenSSL's clock, which is the real one, gives records the numbers that this takes."""
    now = time.monotonic()
    server = DtlsEndpoint(is_server=True, peer_fingerprints=[LARGE.fingerprint], now=now)
    client = DtlsEndpoint(
        is_server=False,
        peer_fingerprints=[own_certificate().fingerprint],
        now=now,
        certificate=LARGE,
    )
    network = Network(server, client)
    network.lost = frozenset([2])
    while time.monotonic() < now + 5 and server.state is DtlsState.CONNECTING:
        network.now = time.monotonic()
        for end in network.ends:
            end.handle_timer(network.now)
        network.settle()
        time.sleep(0.01)
    assert server.state is client.state is DtlsState.CONNECTED


def test_who_never_answers_is_given_up() -> None:
    client = make_client()
    sent = client.datagrams_to_send()
    while (now := client.next_timer) is not None:
        client.handle_timer(now - 0.001)
        assert client.datagrams_to_send() == []
        client.handle_timer(now)
        sent += client.datagrams_to_send()
    assert client.state is DtlsState.FAILED
    assert "not answered for 30 seconds" in str(client.failure)
    assert now is None
    assert 8 < len(sent) < 20
    client.handle_timer(99.0)
    client.receive(sent[0], 99.0)
    assert client.datagrams_to_send() == []


def raw_client() -> SSL.Connection:
    """A client that has OpenSSL's own timer, and says `spam` rather than nothing."""
    context = SSL.Context(SSL.DTLS_METHOD)
    context.use_certificate(PEER.x509)
    context.use_privatekey(PEER.key)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_tlsext_use_srtp(b"SRTP_AES128_CM_SHA1_80")
    connection = SSL.Connection(context)
    connection.set_connect_state()
    return connection


def exchange(client: SSL.Connection, server: DtlsEndpoint, *, deaf: bool = False) -> None:
    """Take turns until the client has nothing to say."""
    for _ in range(10):
        with contextlib.suppress(SSL.WantReadError):
            client.do_handshake()
        try:
            server.receive(client.bio_read(65536), 0.0)
        except SSL.WantReadError:
            return
        for datagram in server.datagrams_to_send():
            if not (deaf and server.state is DtlsState.CONNECTED):
                client.bio_write(datagram)


def test_the_last_words_are_repeated_for_a_client_that_numbers_its_records_anew() -> None:
    server, client = make_server(), raw_client()
    exchange(client, server, deaf=True)
    assert server.state is DtlsState.CONNECTED
    time.sleep(client.DTLSv1_get_timeout() or 0)
    assert client.DTLSv1_handle_timeout()
    exchange(client, server)
    client.send(b"spam")  # raises while the handshake lasts


# Who is who


@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384(), hashes.SHA512()])
def test_any_accepted_hash_vouches(algorithm: hashes.HashAlgorithm) -> None:
    fingerprint = Fingerprint(
        algorithm.name.replace("sha", "sha-"), PEER.x509.fingerprint(algorithm)
    )
    server, client = make_server(OTHER.fingerprint, fingerprint), make_client()
    connect(server, client)
    assert server.state is DtlsState.CONNECTED


def test_a_server_refuses_another_certificate() -> None:
    server, client = make_server(OTHER.fingerprint), make_client()
    connect(server, client)
    assert server.state is client.state is DtlsState.FAILED
    assert "not the one that its session description announces" in str(server.failure)
    assert server.keys is client.keys is None
    assert "alert" in str(client.failure)


def test_a_client_refuses_another_certificate() -> None:
    server, client = make_server(), make_client(OTHER.fingerprint)
    connect(server, client)
    assert client.state is server.state is DtlsState.FAILED
    assert "not the one that its session description announces" in str(client.failure)
    assert server.keys is client.keys is None


def test_nobody_is_let_in_without_a_fingerprint_or_a_certificate() -> None:
    client = make_client()
    server = DtlsEndpoint(is_server=True, peer_fingerprints=(), now=0.0)
    connect(server, client)
    assert server.state is DtlsState.FAILED

    server, anonymous = make_server(), SSL.Context(SSL.DTLS_METHOD)
    anonymous.set_verify(SSL.VERIFY_NONE)
    connection = SSL.Connection(anonymous)
    connection.set_connect_state()
    with contextlib.suppress(SSL.Error):
        exchange(connection, server)
    assert server.state is DtlsState.FAILED
    assert "certificate" in str(server.failure)


# The end


@pytest.mark.parametrize("who", [0, 1])
def test_a_goodbye_closes_both_ends(who: int) -> None:
    ends = (make_server(), make_client())
    network = connect(*ends)
    ends[who].close()
    network.settle()
    assert [end.state for end in ends] == [DtlsState.CLOSED, DtlsState.CLOSED]
    ends[who].close()
    assert ends[who].datagrams_to_send() == []


def test_closing_before_there_is_a_connection_says_nothing() -> None:
    server = make_server()
    server.close()
    assert server.state is DtlsState.CLOSED
    assert server.datagrams_to_send() == []
    assert server.next_timer is None


def test_data_is_of_no_interest() -> None:
    server, client = make_server(), raw_client()
    exchange(client, server)
    for _ in range(100):
        client.send(b"spam" * 250)
        server.receive(client.bio_read(65536), 0.0)
    assert server.state is DtlsState.CONNECTED
    assert server.datagrams_to_send() == []


# Hostility


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 3), st.lists(st.binary(max_size=300), max_size=5), st.data())
def test_garbage_and_stumps_change_nothing(
    when: int, garbage: list[bytes], data: st.DataObject
) -> None:
    """Whatever isn't a whole record is passed over, at any time of the handshake."""
    server, client = make_server(), make_client()
    for turn in range(4):
        for one, to in ((client, server), (server, client)):
            for datagram in one.datagrams_to_send():
                if turn == when:
                    to.receive(datagram[: data.draw(st.integers(0, 12))], 0.0)
                    to.receive(datagram[:-1][:60], 0.0)
                    for each in garbage:
                        to.receive(b"\x16\xfe\xfd\x00\x09" + each, 0.0)  # epoch 9
                        to.receive(bytes([0x80]) + each, 0.0)
                to.receive(datagram, 0.0)
    assert server.state is client.state is DtlsState.CONNECTED


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 1), st.integers(0, 700), st.integers(1, 255))
def test_a_changed_byte_never_connects_to_other_keys(turn: int, place: int, change: int) -> None:
    server, client = make_server(), make_client()
    for number in range(3):
        for one, to in ((client, server), (server, client)):
            for datagram in one.datagrams_to_send():
                damaged = bytearray(datagram)
                if number == turn:
                    damaged[place % len(damaged)] ^= change
                to.receive(bytes(damaged), 0.0)
    if server.keys and client.keys:
        assert server.keys.local == client.keys.remote
    for end in (server, client):
        assert (end.failure is None) == (end.state is not DtlsState.FAILED)


def test_fragments_of_messages_that_never_end_are_not_kept_without_a_bound() -> None:
    server = make_server()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(20_000):
        # Message `number`, 16 KB long, of which 1,000 bytes come.
        fragment = b"\x01\x00\x40\x00" + (number % 1000).to_bytes(2) + bytes(3) + b"\x00\x03\xe8"
        record = fragment + bytes(1000)
        server.receive(b"\x16\xfe\xfd" + number.to_bytes(8) + len(record).to_bytes(2) + record, 0.0)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after - before < 4000  # KB


def test_handshakes_left_half_open_cost_little_each() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    servers = []
    for _ in range(1000):
        server = make_server()
        for datagram in make_client().datagrams_to_send():
            for _ in range(3):
                server.receive(datagram, 0.0)
        servers.append(server)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert (after - before) / 1000 < 250  # KB
    for server in servers:
        server.handle_timer(HANDSHAKE_TIMEOUT_S)
        assert server.state is DtlsState.FAILED
