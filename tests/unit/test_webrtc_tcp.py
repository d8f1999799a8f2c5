"""WebRTC over TCP on real sockets: who gets in, what flows, and from one way to another."""

from __future__ import annotations

import errno
import gc
import os
import socket
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from hub_helpers import hub_under_test
from test_webrtc_publisher import PICTURE, PublishingPeer
from test_webrtc_publisher import SOUND as SOUND_FRAME
from test_webrtc_server import FRAGMENT, ServerUnderTest, sequences
from webrtc_tcp_helpers import (
    connect,
    goes_by_tcp,
    is_closed,
    outputs,
    stop_ticking,
    target,
    tcp_sender,
)

from streamsocket.auth.access import Access
from streamsocket.errors import StreamSocketError
from streamsocket.rtp.rtcp import Bye, Nack, ReceiverReport, SenderReport, build_bye, build_nack
from streamsocket.webrtc import addresses, stun, tcp
from streamsocket.webrtc.addresses import bind_both
from streamsocket.webrtc.framing import frame
from streamsocket.webrtc.ice import CONSENT_S, Credentials
from streamsocket.webrtc.server import Answer
from streamsocket.webrtc.srtp import SrtpProfile
from streamsocket.webrtc.stun import MessageClass, StunMessage


@pytest.fixture
def under_test() -> Iterator[ServerUnderTest]:
    access = Access({})
    with hub_under_test() as hub:
        made = ServerUnderTest(hub, access)
        yield made
        made.close()
    access.close()


def test_candidates_over_tcp_come_after_those_over_udp(under_test: ServerUnderTest) -> None:
    peer = under_test.peer()
    udp, over_tcp = peer.answer.transport.candidates
    assert (udp.transport, udp.port) == ("udp", under_test.server.port)
    assert (over_tcp.transport, over_tcp.tcp_type) == ("tcp", "passive")
    assert (over_tcp.host, over_tcp.port) == (udp.host, udp.port)
    assert over_tcp.priority < udp.priority


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_a_viewer_gets_every_packet_of_picture_and_sound(
    under_test: ServerUnderTest, profile: SrtpProfile
) -> None:
    video, sound = under_test.hub.stream.tracks
    peers = [under_test.viewer(tcp=True, profiles=(profile,)), under_test.viewer()]
    under_test.send(packets=70, keyframe=True)
    for _ in range(10):
        under_test.send()
        under_test.send(1, track=1)
    under_test.until(lambda: all(len(peer.rtp) == 110 for peer in peers))
    for peer in peers:
        for track, count in ((video, 100), (sound, 10)):
            found = sequences(peer, track.ssrc)
            assert found == list(range(found[0], found[0] + count))
    assert goes_by_tcp(under_test)
    under_test.until(lambda: any(isinstance(each, SenderReport) for each in peers[0].rtcp))


def test_who_joins_is_shown_the_group_of_pictures_so_far(under_test: ServerUnderTest) -> None:
    under_test.send(packets=30, keyframe=True)
    under_test.send()
    peer = under_test.viewer(tcp=True)
    under_test.until(lambda: len(peer.rtp) == 33)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 36)


def test_a_publisher_sends_and_is_told_as_over_udp(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test, tcp=True)
    for _ in range(20):
        publisher.send("audio", SOUND_FRAME)
        publisher.send("video", PICTURE)
    under_test.until(lambda: [t.packets for t in publisher.stream.tracks] == [20, 20])
    under_test.until(lambda: bool(publisher.told(ReceiverReport)))


def test_a_session_that_ends_ends_its_connection(under_test: ServerUnderTest) -> None:
    stop_ticking(under_test)
    peer = under_test.viewer(tcp=True)
    under_test.ask(under_test.server.end("lobby", peer.told.session))
    under_test.until(lambda: peer.ended)
    other = under_test.viewer(tcp=True)
    other.send_rtcp(build_bye(Bye((1,))))
    under_test.until(lambda: other.ended)
    assert under_test.server.sessions == len(under_test.server._tcp) == 0


def test_nothing_of_a_session_is_left(under_test: ServerUnderTest) -> None:
    files = len(os.listdir("/proc/self/fd"))
    held = []
    for _ in range(5):
        peer = under_test.viewer(tcp=True)
        under_test.send(keyframe=True)
        (kept,) = under_test.server._tcp._connections
        held.append(weakref.ref(kept))
        del kept
        under_test.ask(under_test.server.end("lobby", peer.told.session))
        under_test.peers.remove(peer)
        peer.close()
    under_test.hub.run(0.02)
    gc.collect()
    assert [reference() for reference in held] == [None] * 5
    assert len(os.listdir("/proc/self/fd")) == files
    assert not under_test.server._tcp._per_address


def test_the_server_ends_with_its_connections(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer(tcp=True)
    stranger = connect(under_test)
    under_test.until(lambda: len(under_test.server._tcp) == 2)
    under_test.server.close()
    try:
        under_test.until(lambda: peer.ended and is_closed(stranger))
    finally:
        stranger.close()
        under_test.server.open()  # the fixture closes it


# From one way to another.


def test_media_follows_a_viewer_to_tcp_and_back(under_test: ServerUnderTest) -> None:
    video = under_test.hub.stream.tracks[0]
    peer = under_test.viewer()
    steps: list[Callable[[], None]] = [peer.connect, peer.disconnect, peer.connect]
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    for count, step in enumerate(steps, 2):
        answered = peer.checks_answered
        step()
        peer.check()
        under_test.until(lambda answered=answered: peer.checks_answered > answered)  # type: ignore[misc]
        under_test.send(2)
        under_test.send(1, track=1)
        under_test.until(lambda count=count: len(peer.rtp) == 3 * count)  # type: ignore[misc]
    assert sequences(peer, video.ssrc) == [peer.rtp[0].sequence + n for n in range(9)]
    assert len(under_test.server._tcp) == 1


def test_ice_restarts_over_tcp(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    peer.credentials = Credentials.generate()
    fragment = FRAGMENT.format(peer.credentials.ufrag, peer.credentials.password)
    told: Answer = under_test.ask(
        under_test.server.update("lobby", peer.told.session, fragment, "*", "127.0.0.1")
    )
    assert "tcptype passive" in told.text
    peer.restart(told)
    peer.connect()
    peer.check()
    answered = peer.checks_answered
    under_test.until(lambda: peer.checks_answered > answered)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 6)
    assert goes_by_tcp(under_test)


def test_a_viewer_whose_connection_breaks_returns_and_asks_for_what_it_missed(
    under_test: ServerUnderTest,
) -> None:
    stop_ticking(under_test)
    video = under_test.hub.stream.tracks[0]
    peer = under_test.viewer(tcp=True)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    peer.disconnect()
    under_test.until(lambda: len(under_test.server._tcp) == 0)
    (output,) = outputs(under_test)
    assert not goes_by_tcp(under_test)
    assert target(output).ice.path is None
    under_test.send()  # to nowhere
    assert under_test.server.sessions == 1
    answered = peer.checks_answered
    peer.connect()
    peer.check()
    under_test.until(lambda: peer.checks_answered > answered)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 6)
    found = sequences(peer, video.ssrc)
    assert found[3] - found[2] == 4
    missed = tuple(range(found[2] + 1, found[3]))
    peer.send_rtcp(build_nack(Nack(1, video.ssrc, missed)))
    under_test.until(lambda: len(peer.rtp) == 9)


def test_without_consent_media_leaves_tcp(under_test: ServerUnderTest) -> None:
    """Both ways were checked; only the one over UDP still is."""
    peer = under_test.viewer(tcp=True)
    over_tcp, peer.socket = peer.socket, socket.socket()
    peer.disconnect()
    peer.check(nominates=False)
    answered = peer.checks_answered
    under_test.until(lambda: peer.checks_answered > answered)
    (output,) = outputs(under_test)
    sender = tcp_sender(output)
    ice = target(output).ice
    ice._paths[ice.path].checked -= CONSENT_S
    under_test.until(lambda: is_closed(over_tcp))
    assert not sender._outputs
    over_tcp.close()
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)


def test_another_peer_may_take_a_connection_over(under_test: ServerUnderTest) -> None:
    """Nobody but who has it could; then nothing of the first's is sent there any more."""
    stop_ticking(under_test)
    first = under_test.viewer(tcp=True)
    second = under_test.stranger()
    told = under_test.watch(second.offer)
    second.socket.close()
    second.socket, second._framing = first.socket.dup(), first._framing
    under_test.peers.remove(first)
    under_test.peers.remove(second)
    second.adopt(told)
    second.check()
    under_test.until(lambda: not goes_by_tcp(under_test))
    first.close()
    second.close()


# Strangers.


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="HTTP"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500), id="TLS"),
        pytest.param(b"DESCRIBE rtsp://x/y RTSP/1.0\r\nCSeq: 1\r\n\r\n", id="RTSP"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
        pytest.param(frame(b"\x80\x60" + bytes(60)), id="RTP"),
        pytest.param(frame(b"\x16\xfe\xff" + bytes(60)), id="DTLS"),
        pytest.param(frame(b"\0\1\0\0" + bytes(16)), id="STUN without a cookie"),
        pytest.param(
            frame(stun.build(StunMessage(MessageClass.REQUEST, bytes(12)))), id="a bare check"
        ),
        pytest.param(
            frame(stun.build(StunMessage(MessageClass.INDICATION, bytes(12)))),
            id="an indication",
        ),
        pytest.param(b"\x05\xdd", id="a first packet that would be too long"),
    ],
)
def test_what_does_not_begin_with_a_check_is_closed(
    under_test: ServerUnderTest, data: bytes
) -> None:
    with connect(under_test) as stranger:
        stranger.sendall(data)
        under_test.until(lambda: is_closed(stranger))
    assert under_test.server.refused["no_check"] == 1
    assert len(under_test.server._tcp) == 0


def test_a_check_has_to_be_made_with_the_password(under_test: ServerUnderTest) -> None:
    peer = under_test.stranger(tcp=True)
    peer.take(under_test.watch(peer.offer), password="x" * 24)
    under_test.until(lambda: peer.ended)
    assert under_test.server.refused["no_check"] == 1
    assert under_test.server.refused["stun_unauthenticated"] == 1


def test_random_bytes_disturb_nobody(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer(tcp=True)
    with ExitStack() as stack:
        strangers = [stack.enter_context(connect(under_test)) for _ in range(20)]
        for number, stranger in enumerate(strangers):
            stranger.sendall(bytes((number,)) + os.urandom(3000))
        under_test.send(keyframe=True)
        under_test.until(lambda: len(peer.rtp) == 3)
        under_test.server._tick()
        under_test.until(lambda: sum(map(is_closed, strangers)) >= 14)  # the others wait for more
    under_test.until(lambda: len(under_test.server._tcp) == 1)


def test_garbage_within_a_connection_is_a_peers_own_loss(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer(tcp=True)
    other = under_test.viewer(tcp=True)
    for first in (0, 1, 21, 63, 64, 80, 128, 144, 255):
        peer.send(bytes((first,)) + os.urandom(1 + 31 * first))
        under_test.hub.run(0.005)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == len(other.rtp) == 3)
    peer.socket.sendall(b"\xff\xff")
    under_test.until(lambda: peer.ended)
    assert under_test.server.refused["malformed"] == 1
    under_test.send()
    under_test.until(lambda: len(other.rtp) == 6)


@pytest.mark.parametrize("data", [b"", b"\0", b"\0\x64\0\1\0"])
def test_who_never_comes_to_the_point_is_closed(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    with connect(under_test) as stranger:
        stranger.sendall(data)
        under_test.until(lambda: len(under_test.server._tcp) == 1)
        under_test.hub.run(0.02)
        under_test.server._tcp.sweep(time.monotonic(), in_use=lambda path: True)
        assert not is_closed(stranger)
        late = time.monotonic() + tcp.FIRST_CHECK_S
        under_test.server._tcp.sweep(late, in_use=lambda path: True)
        under_test.until(lambda: is_closed(stranger))
    assert under_test.server.refused["silent_connection"] == 1


def test_the_server_sees_to_it_by_itself(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "FIRST_CHECK_S", 0.1)
    with connect(under_test) as stranger:
        under_test.until(lambda: is_closed(stranger))


def test_only_so_many_may_be_connected(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS", 3)
    monkeypatch.setattr(tcp, "MAX_CONNECTIONS_PER_ADDRESS", 2)
    peer = under_test.viewer(tcp=True)
    with connect(under_test) as second, connect(under_test) as third:
        under_test.until(lambda: is_closed(third))
        assert not is_closed(second)
    under_test.until(lambda: len(under_test.server._tcp) == 1)
    with ExitStack() as stack:
        for number in (2, 3):
            other = stack.enter_context(socket.socket())
            other.bind((f"127.0.0.{number}", 0))
            other.connect(("127.0.0.1", under_test.server.port))
        under_test.until(lambda: len(under_test.server._tcp) == 3)
        with socket.socket() as one_more:
            one_more.bind(("127.0.0.4", 0))
            one_more.connect(("127.0.0.1", under_test.server.port))
            under_test.until(lambda: is_closed(one_more))
    assert under_test.server.refused["too_many_connections"] == 2
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)


def test_without_files_left_the_listener_pauses(under_test: ServerUnderTest) -> None:
    listener = under_test.server._tcp
    real, refusals = listener._socket, [errno.EMFILE, errno.ECONNABORTED]

    class Exhausted:
        def accept(self) -> Any:
            if refusals:
                raise OSError(refusals.pop(0), "no")
            return real.accept()

        def fileno(self) -> int:
            return real.fileno()

        def close(self) -> None:
            real.close()

    listener._socket = Exhausted()  # type: ignore[assignment]
    with connect(under_test):
        under_test.until(lambda: under_test.server.refused["out_of_files"] == 1)
        assert len(listener) == 0
        under_test.until(lambda: len(listener) == 1)


# The port.


def test_any_free_port_is_free_for_both(monkeypatch: pytest.MonkeyPatch) -> None:
    real, tried = addresses.listening_socket, []

    def taken_at_first(host: str, port: int, **options: Any) -> socket.socket:
        tried.append(port)
        if len(tried) == 1:
            raise StreamSocketError("taken")
        return real(host, port, **options)

    monkeypatch.setattr(addresses, "listening_socket", taken_at_first)
    udp, listening = bind_both("127.0.0.1", 0)
    with udp, listening:
        assert udp.getsockname()[1] == listening.getsockname()[1] == tried[-1]
    assert len(tried) > 1


def test_a_port_that_is_taken_for_tcp_is_said_to_be() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as taken,
        pytest.raises(StreamSocketError, match=r"is taken: .* with --webrtc-port"),
    ):
        bind_both("127.0.0.1", taken.getsockname()[1])
