"""What strangers send to WebRTC's port and endpoints: refused, counted, and no viewer notices."""

from __future__ import annotations

import random
import re
import secrets
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from tests.interop.movies import MovieShelf
from tests.interop.serving import RunningServer, serving
from tests.interop.webrtc_witness import (
    FRAGMENT,
    SDP,
    WebRtcWitness,
    ask,
    connect,
    offer,
    told,
    wait_for,
)
from tests.unit.webrtc_helpers import offer_text
from tests.unit.webrtc_peer import PythonPeer

from streamsocket.rtp.packet import HEADER
from streamsocket.webrtc import stun
from streamsocket.webrtc.certificate import Certificate
from streamsocket.webrtc.sdp import MAX_BYTES
from streamsocket.webrtc.srtp import bursts
from streamsocket.webrtc.stun import MessageClass, StunMessage

NOT_MORE = 20_000_000
"""Bytes that an attack may make the server's memory grow by."""


@pytest.fixture(scope="module")
def server(movies: MovieShelf) -> Iterator[RunningServer]:
    with serving(
        f"movie={movies['opus']}", options=("--webrtc-port", "0", "--rtmp-port", "0")
    ) as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def undisturbed(server: RunningServer) -> Iterator[None]:
    """A viewer that must get every packet in time all along, and memory that must not grow."""
    memory = server.resident_bytes()
    with WebRtcWitness(server, "movie") as witness:
        time.sleep(0.5)
        yield
        time.sleep(0.5)
        assert server.resident_bytes() - memory < NOT_MORE
    witness.has_seen_all()


@pytest.fixture
def peers() -> Iterator[Callable[..., PythonPeer]]:
    """Makes peers, and closes them in the end."""
    with ExitStack() as stack:

        def make(*arguments: str, **options: Certificate) -> PythonPeer:
            peer = PythonPeer(*arguments, **options)  # type: ignore[arg-type]
            stack.callback(peer.close)
            return peer

        yield make


@pytest.fixture
def stranger() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        made.bind(("127.0.0.1", 0))
        made.settimeout(0.5)
        yield made


def refused(server: RunningServer, reason: str) -> Callable[[], float]:
    """How often this was refused since this call; the server's status is half a second old."""
    before = server.refused().get(reason, 0)

    def since() -> float:
        time.sleep(0.7)
        return server.refused().get(reason, 0) - before

    return since


def watching(server: RunningServer, peer: PythonPeer) -> PythonPeer:
    """The peer as a viewer that has been answered, and has sent its first check."""
    peer.take(told(offer(server, peer, "movie")))
    return peer


def still_watches(viewer: PythonPeer) -> None:
    """Assert that media goes on to come."""
    deadline = time.monotonic() + 3
    wanted = len(viewer.rtp) + 30
    while len(viewer.rtp) < wanted:
        assert time.monotonic() < deadline, "nothing comes any more"
        wait_for(viewer, 0.1)


def check(ufrag: str, password: str, **attributes: int) -> bytes:
    """A binding request that says it is for `ufrag`."""
    request = StunMessage(
        MessageClass.REQUEST,
        secrets.token_bytes(12),
        username=f"{ufrag}:abcd",
        priority=1,
        **(attributes or {"ice_controlling": 1}),
    )
    return stun.build(request, password)


def credentials(peer: PythonPeer) -> tuple[str, str]:
    """The server's, for this peer."""
    theirs = peer.answer.transport.credentials
    assert theirs
    return theirs.ufrag, theirs.password


# Over UDP.


def test_checks_with_a_wrong_password_are_refused_and_lead_nowhere(
    server: RunningServer, peers: Callable[..., PythonPeer], stranger: socket.socket
) -> None:
    viewer = watching(server, peers())
    connect(viewer)
    ufrag, _ = credentials(viewer)
    count = refused(server, "stun_unauthenticated")
    unknown = refused(server, "unknown_peer")
    for _ in range(2000):
        stranger.sendto(check(ufrag, secrets.token_hex(16)), viewer.server)
    answer = stun.parse(stranger.recv(2048))
    assert (answer.message_class, answer.error_code) == (MessageClass.ERROR, 401)
    assert count() > 200  # what the socket's buffer had no place for is not even looked at
    stranger.sendto(b"\x80\x60" + bytes(100), viewer.server)
    assert unknown() == 1
    still_watches(viewer)  # media goes to who had the password


def test_checks_of_unknown_users_and_other_stun_are_not_answered(
    server: RunningServer, peers: Callable[..., PythonPeer], stranger: socket.socket
) -> None:
    viewer = watching(server, peers())
    ufrag, password = credentials(viewer)
    unknown, malformed, unexpected = (
        refused(server, f"stun_{reason}") for reason in ("unknown_user", "malformed", "unexpected")
    )
    good = check(ufrag, password)
    for datagram in (
        check("nobody", password),
        check("", password),
        good[:-1],
        good[:20],
        good[:2] + b"\xff\xff" + good[4:],  # longer than it is
        good + bytes(1980),  # and shorter
        good[:8] + bytes(12) + b"\x00\x06\xff\xff" + good[24:],  # an attribute without end
        stun.build(StunMessage(MessageClass.SUCCESS, bytes(12)), password),
        stun.build(StunMessage(MessageClass.REQUEST, bytes(12), method=3), password),
    ):
        stranger.sendto(datagram, viewer.server)
    with pytest.raises(TimeoutError):
        stranger.recv(2048)
    assert (unknown(), malformed() + unexpected()) == (2, 7)
    connect(viewer)


def test_an_agent_that_wants_to_be_controlled_is_told_of_the_conflict(
    server: RunningServer, peers: Callable[..., PythonPeer], stranger: socket.socket
) -> None:
    viewer = watching(server, peers())
    ufrag, password = credentials(viewer)
    stranger.sendto(check(ufrag, password, ice_controlled=1), viewer.server)
    answer = stun.parse(stranger.recv(2048))
    assert answer.error_code == 487


def test_garbage_in_masses(
    server: RunningServer, peers: Callable[..., PythonPeer], stranger: socket.socket
) -> None:
    port = watching(server, peers()).server
    noise = random.Random(1)
    unknown = refused(server, "unknown_peer")
    firsts = (0, 1, 3, 20, 22, 63, 64, 128, 191, 255)  # STUN, DTLS, TURN's channels, RTP
    for number in range(20_000):
        size = noise.choice((1, 12, 100, 1200, 4000))
        stranger.sendto(bytes([firsts[number % 10]]) + noise.randbytes(size), port)
        if number % 100 == 0:
            time.sleep(0.002)
    stranger.sendto(b"", port)
    assert unknown() > 1000


def test_another_certificate_than_announced_is_refused(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    failed = refused(server, "dtls")
    impostor = watching(server, peers(certificate=Certificate.generate()))
    deadline = time.monotonic() + 5
    while not failed() and time.monotonic() < deadline:
        wait_for(impostor, 0.05)
    assert failed() == 1
    assert not impostor.rtp
    assert "its session description announces" in server.output()


def test_garbage_of_a_peers_own_handshake_does_not_keep_it_from_connecting(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    viewer = watching(server, peers())
    noise = random.Random(2)

    def garbage() -> None:
        for number in range(200):
            # Of the next epoch, whose key nobody has yet, and nothing at all.
            head = struct.pack("!BHHIHH", 20 + number % 4, 0xFEFD, 1, 0, number, 100)
            viewer.send(head + noise.randbytes(100))
            viewer.send(bytes([noise.randint(20, 63)]) + noise.randbytes(number))

    garbage()
    connect(viewer)
    garbage()
    still_watches(viewer)


def test_replayed_truncated_and_forged_media_is_counted_and_thrown_away(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    publisher = peers("chromium_sendonly")
    publisher.take(told(offer(server, publisher, "desk", "whip")))
    connect(publisher)
    media = next(media for media in publisher.answer.medias if media.kind == "audio")
    stream = publisher.sender.add_stream(11, 0)
    count = refused(server, "srtp")
    sent: list[bytes] = []
    for sequence in range(100):
        header = HEADER.pack(0x80, media.formats[0].payload_type, sequence, 960 * sequence, 11)
        packet = header + b"\xfc" + bytes(60)
        (burst,) = bursts(packet, (len(packet),), sequence)
        for run in stream.protect(burst):
            sent.append(bytes(run.data))
            publisher.send(sent[-1])
    for packet in sent:
        publisher.send(packet)
        publisher.send(packet[:-1])
        publisher.send(packet[:13])
        publisher.send(packet[:20] + bytes([packet[20] ^ 1]) + packet[21:])
    for size in range(1, 40):
        publisher.send(b"\x80\xc8" + bytes(size))  # RTCP, it says
    assert count() == 4 * len(sent) + 39
    taken = next(t for t in server.stream("desk")["tracks"] if t["kind"] == "audio")
    assert taken["packets"] == len(sent)
    session = publisher.told.session
    assert ask(server, "DELETE", f"/desk/whip/{session}").status == 200


# Over HTTP.

GOOD = offer_text("chromium_recvonly")
DATA_ONLY = re.sub("m=.*", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r", GOOD)
SECTION = "m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=rtpmap:96 VP8/90000\r\na=recvonly\r\n"


OFFERS: dict[str, tuple[str | bytes, int]] = {
    "empty": (b"", 400),
    "hardly begun": (b"v=0\r\n", 400),
    "not UTF-8": (b"\xff\xfe" + GOOD.encode("utf-16-le"), 400),
    "JSON": (b"{}", 400),
    "zeros": (bytes(1000), 400),
    "noise": (random.Random(3).randbytes(20_000), 400),
    "too long": (b"v=0\r\n" + b"a=x\r\n" * (MAX_BYTES // 5), 413),
    "cut off": (GOOD[: GOOD.index("a=fingerprint")], 400),
    "a thousand sections": (GOOD + SECTION * 1000, 400),
    "a port below zero": (GOOD.replace("m=video 9", "m=video -1"), 400),
    "to be smelt": (re.sub("m=(video|audio)", "m=smell", GOOD), 406),
    "only data": (DATA_ONLY, 406),
    "the wrong direction": (GOOD.replace("a=recvonly", "a=sendonly"), 406),
    "no direction": (GOOD.replace("a=recvonly", "a=inactive"), 406),
    "no ICE password": (re.sub("a=ice-pwd:.*\r\n", "", GOOD), 400),
    "a short ufrag": (re.sub("a=ice-ufrag:.*", "a=ice-ufrag:x", GOOD), 400),
    "no fingerprint": (re.sub("a=fingerprint:.*\r\n", "", GOOD), 400),
    "a short one": (re.sub("a=fingerprint:.*", "a=fingerprint:sha-256 00:11", GOOD), 400),
    "RTCP on another port": (GOOD.replace("a=rtcp-mux\r\n", ""), 400),
    "no RTP": (GOOD.replace("UDP/TLS/RTP/SAVPF", "udp"), 406),
}
REQUESTS: list[tuple[str, str, dict[str, str], int]] = [
    ("POST", "/movie/whep", {}, 415),
    ("POST", "/movie/whep", {"Content-Type": "text/plain"}, 415),
    ("POST", "/movie/whep", {"Content-Type": FRAGMENT}, 415),
    ("POST", "/nothing/whep", {"Content-Type": SDP}, 404),
    ("POST", "/..%2f..%2fetc/whip", {"Content-Type": SDP}, 404),
    ("POST", f"/{'x' * 5000}/whep", {"Content-Type": SDP}, 404),
    ("POST", "/movie/whip", {"Content-Type": SDP}, 409),
    ("GET", "/movie/whep", {}, 405),
    ("PUT", "/movie/whip", {"Content-Type": SDP}, 405),
    ("DELETE", "/movie/whep", {}, 405),
    ("DELETE", "/movie/whep/unknown", {}, 404),
    ("PATCH", "/movie/whep/unknown", {"Content-Type": SDP}, 415),
    ("PATCH", "/movie/whep/unknown", {"Content-Type": FRAGMENT}, 428),
    ("PATCH", "/movie/whep/unknown", {"Content-Type": FRAGMENT, "If-Match": '"x"'}, 404),
    ("GET", "/movie/whep/unknown", {}, 405),
]


def test_offers_that_are_none(server: RunningServer) -> None:
    counts = {status: refused(server, f"http_{status}") for status in (400, 406, 413)}
    replies = {
        what: ask(server, "POST", "/movie/whep", body, {"Content-Type": SDP})
        for what, (body, _) in OFFERS.items()
    }
    statuses = {what: status for what, (_, status) in OFFERS.items()}
    assert {what: reply.status for what, reply in replies.items()} == statuses
    for reply in replies.values():
        assert reply.body.endswith(".")  # a sentence
        assert len(reply.body) < 500
    found = Counter(statuses.values())
    assert {status: count() for status, count in counts.items()} == found


def test_requests_that_are_refused(server: RunningServer) -> None:
    replies = []
    for method, path, headers, _ in REQUESTS:
        body = offer_text("chromium_sendonly" if "whip" in path else "chromium_recvonly")
        replies.append(ask(server, method, path, body if headers else b"", headers))
    statuses = [request[3] for request in REQUESTS]
    assert [reply.status for reply in replies] == statuses, replies


def test_a_patch_has_to_mean_the_ice_session_there_is(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    peer = peers()
    path = offer(server, peer, "movie").headers["location"]
    candidate = "a=mid:0\r\na=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\n"
    wrong = {"Content-Type": FRAGMENT, "If-Match": '"wrong"'}
    assert ask(server, "PATCH", path, candidate, wrong).status == 412
    anything = {"Content-Type": FRAGMENT, "If-Match": "*"}
    for body, status in ((b"\xff", 400), ("a=ice-ufrag:abcd\r\na=ice-pwd:x\r\n", 400)):
        assert ask(server, "PATCH", path, body, anything).status == status
    other = path.replace("/movie/", "/other/")
    assert ask(server, "DELETE", other).status == 404
    assert ask(server, "DELETE", path).status == 200
    assert ask(server, "DELETE", path).status == 404


def test_a_page_whose_name_was_bent_to_here_is_turned_away(server: RunningServer) -> None:
    """DNS rebinding: to the browser, the page of evil.example and this server are one."""
    foreign = refused(server, "foreign_host")
    headers = {"Host": f"evil.example:{server.http_port}"}
    for path in ("/", "/api/streams", "/metrics"):
        reply = ask(server, "GET", path, headers=headers)
        assert reply.status == 421
        assert "movie" not in reply.body
    body = offer_text("chromium_sendonly")
    reply = ask(server, "POST", "/desk/whip", body, {**headers, "Content-Type": SDP})
    assert reply.status == 421
    assert foreign() == 4
    for name in ("localhost", "127.0.0.1", "[::1]", socket.gethostname()):
        own = {"Host": f"{name}:{server.http_port}"}
        assert ask(server, "GET", "/api/streams", headers=own).status == 200


# In masses.


def half_open(server: RunningServer, count: int, source: str) -> list[str]:
    """So many offers that nothing follows; returns the sessions of those that were answered."""
    sessions = []
    peer = PythonPeer()
    for _ in range(count):
        reply = offer(server, peer, "movie", source=source)
        assert reply.status in (201, 503), reply
        if reply.status == 503:
            assert reply.headers["retry-after"]
            continue
        sessions.append(reply.headers["location"])
    peer.close()
    return sessions


def test_a_thousand_offers_that_nothing_follows_leave_room_for_others(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    full = refused(server, "http_503")
    memory, descriptors = server.resident_bytes(), server.descriptors()
    sessions = half_open(server, 1000, "127.0.0.9")
    assert 0 < len(sessions) <= 200
    assert full() == 1000 - len(sessions)
    watching(server, peers())  # from another address
    assert server.resident_bytes() - memory < NOT_MORE
    assert server.descriptors() - descriptors < 10
    for path in sessions:
        assert ask(server, "DELETE", path).status == 200


@pytest.mark.slow
def test_who_connects_half_way_is_forgotten_after_half_a_minute(
    server: RunningServer, peers: Callable[..., PythonPeer]
) -> None:
    time.sleep(0.7)
    before = server.metrics()["streamsocket_sessions"]
    half_open(server, 100, "127.0.0.9")
    silent = [peers() for _ in range(100)]
    for peer in silent:
        peer.adopt(told(offer(server, peer, "movie", source="127.0.0.8")))
    deadline = time.monotonic() + 45
    time.sleep(0.7)
    assert server.metrics()["streamsocket_sessions"] == before + 200
    while server.metrics()["streamsocket_sessions"] > before:
        assert time.monotonic() < deadline
        for peer in silent:
            peer.check()  # ICE, but never DTLS
        time.sleep(1)
