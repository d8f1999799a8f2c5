"""The WebRTC server on real sockets: who connects, what arrives, and what is left afterwards."""

from __future__ import annotations

import gc
import os
import time
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hub_helpers import HubUnderTest, batch, hub_under_test
from webrtc_peer import PythonPeer

from streamsocket.auth.access import Access, AccessDeniedError
from streamsocket.auth.authorization import Credentials
from streamsocket.auth.passwords import hash_password
from streamsocket.auth.users import Permissions, User
from streamsocket.errors import ParseError
from streamsocket.rtp.packet import parse_rtp
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    SenderReport,
    build_bye,
    build_nack,
    build_pli,
)
from streamsocket.webrtc import sdp
from streamsocket.webrtc import server as server_module
from streamsocket.webrtc.certificate import Certificate
from streamsocket.webrtc.dtls import DtlsState
from streamsocket.webrtc.feedback import Fir, Remb, build_fir, build_remb
from streamsocket.webrtc.header_extensions import ExtensionMap, ExtensionUri
from streamsocket.webrtc.ice import CONSENT_S
from streamsocket.webrtc.ice_table import TooManyPeersError
from streamsocket.webrtc.negotiation import NothingFitsError
from streamsocket.webrtc.rtx import unwrap
from streamsocket.webrtc.server import (
    Answer,
    Asker,
    NoSuchSessionError,
    NoSuchStreamError,
    OtherSessionError,
    WebRtcOptions,
    WebRtcServer,
)
from streamsocket.webrtc.srtp import SrtpProfile

HERE = Asker("127.0.0.1", "127.0.0.1")
FRAGMENT = "a=ice-ufrag:{}\r\na=ice-pwd:{}\r\nm=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:0\r\n"


class ServerUnderTest:
    """A WebRTC server with the stream `lobby`, and the peers that the test makes."""

    def __init__(self, hub: HubUnderTest, access: Access) -> None:
        self.hub = hub
        self.loop = hub.loop
        self.server = WebRtcServer(hub.hub, hub.loop, WebRtcOptions("127.0.0.1", 0), access)
        self.server.open()
        self.peers: list[PythonPeer] = []
        self.timestamp = 0
        self.sent = 0

    def ask(self, question: Any) -> Any:
        return self.loop.run_until_complete(question)

    def watch(self, offer: str, name: str = "lobby", asker: Asker = HERE) -> Answer:
        answer: Answer = self.ask(self.server.watch(name, offer, asker))
        return answer

    def stranger(self, **options: Any) -> PythonPeer:
        """A peer that the server hasn't heard of yet."""
        peer = PythonPeer(**options)
        self.peers.append(peer)
        return peer

    def peer(self, **options: Any) -> PythonPeer:
        """A peer that has been answered, and has sent its first check."""
        peer = self.stranger(**options)
        peer.take(self.watch(peer.offer))
        return peer

    def viewer(self, **options: Any) -> PythonPeer:
        """A peer that is connected."""
        peer = self.peer(**options)
        self.until(lambda: peer.connected)
        return peer

    def until(self, met: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Let everybody do what there is to do until a condition is met."""
        deadline = time.monotonic() + timeout_s
        while not met():
            assert time.monotonic() < deadline, "in vain"
            self.hub.run(0.005)
            for peer in self.peers:
                peer.poll()

    def send(self, packets: int = 3, *, track: int = 0, keyframe: bool = False) -> None:
        """One picture, or one frame of sound."""
        self.timestamp += 3000
        self.sent += packets
        self.hub.send(
            track, batch(timestamp=self.timestamp, packets=packets, size=300, keyframe=keyframe)
        )

    def close(self) -> None:
        self.server.close()
        for peer in self.peers:
            peer.close()


@pytest.fixture
def under_test(request: pytest.FixtureRequest) -> Iterator[ServerUnderTest]:
    access = Access(getattr(request, "param", {}))
    with hub_under_test() as hub:
        made = ServerUnderTest(hub, access)
        yield made
        made.close()
    access.close()


def sequences(peer: PythonPeer, ssrc: int) -> list[int]:
    return [packet.sequence for packet in peer.rtp if packet.ssrc == ssrc]


def test_a_viewer_gets_every_packet_of_picture_and_sound(under_test: ServerUnderTest) -> None:
    video, sound = under_test.hub.stream.tracks
    peer = under_test.viewer()
    ssrcs = [next(iter(media.sources)) for media in peer.answer.medias]
    assert ssrcs == [video.ssrc, sound.ssrc]
    under_test.send(packets=70, keyframe=True)
    for _ in range(10):
        under_test.send()
        under_test.send(1, track=1)
    under_test.until(lambda: len(peer.rtp) == 110)
    for track, count in ((video, 100), (sound, 10)):
        found = sequences(peer, track.ssrc)
        assert found == list(range(found[0], found[0] + count))
    types = {packet.ssrc: packet.payload_type for packet in peer.rtp}
    formats = [media.formats[0] for media in peer.answer.medias]
    assert [types[ssrc] for ssrc in ssrcs] == [each.payload_type for each in formats]
    assert [each.encoding for each in formats] == ["H264", "opus"]
    assert {len(packet.payload) for packet in peer.rtp} == {288}
    assert under_test.hub.stream.viewers == 1


@pytest.mark.parametrize("profile", list(SrtpProfile))
def test_every_profile_is_spoken(under_test: ServerUnderTest, profile: SrtpProfile) -> None:
    peer = under_test.viewer(profiles=(profile,))
    under_test.send(packets=40, keyframe=True)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 43)


def test_who_joins_is_shown_the_group_of_pictures_so_far(under_test: ServerUnderTest) -> None:
    under_test.send(packets=30, keyframe=True)
    under_test.send()
    peer = under_test.viewer()
    under_test.until(lambda: len(peer.rtp) == 33)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 36)
    found = sequences(peer, under_test.hub.stream.tracks[0].ssrc)
    assert found == list(range(found[0], found[0] + 36))


def test_viewers_with_other_payload_types_get_theirs(under_test: ServerUnderTest) -> None:
    peers = [under_test.viewer(offer=f"{browser}_recvonly") for browser in ("chromium", "aiortc")]
    under_test.send(keyframe=True)
    under_test.until(lambda: all(len(peer.rtp) == 3 for peer in peers))
    under_test.send()
    under_test.until(lambda: all(len(peer.rtp) == 6 for peer in peers))
    for peer in peers:
        (media,) = [media for media in peer.answer.medias if media.kind == "video"]
        assert {packet.payload_type for packet in peer.rtp} == {media.formats[0].payload_type}
    assert peers[0].rtp[0].payload_type != peers[1].rtp[0].payload_type
    assert [p.payload for p in peers[0].rtp] == [p.payload for p in peers[1].rtp]


def test_a_report_tells_when_things_were_captured(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    under_test.send(keyframe=True)
    under_test.send(1, track=1)
    under_test.until(lambda: len({p.ssrc for p in peer.rtcp if isinstance(p, SenderReport)}) == 2)


def test_what_is_asked_for_comes_again_on_a_source_of_its_own(under_test: ServerUnderTest) -> None:
    video = under_test.hub.stream.tracks[0]
    peer = under_test.viewer()
    under_test.send(packets=5, keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 5)
    missed = peer.raw[1:3]
    media = peer.answer.medias[0]
    rtx_ssrc = media.repairs(video.ssrc)
    peer.send_rtcp(build_nack(Nack(1, video.ssrc, tuple(sequences(peer, video.ssrc)[1:3]))))
    under_test.until(lambda: len(peer.rtp) == 7)
    assert {packet.ssrc for packet in peer.rtp[5:]} == {rtx_ssrc}
    repaired = [unwrap(raw, media.formats[0].payload_type, video.ssrc) for raw in peer.raw[5:]]
    assert [parse_rtp(packet or b"") for packet in repaired] == [parse_rtp(raw) for raw in missed]
    assert under_test.hub.stream.resent_packets == 2


def test_without_rtx_the_same_packet_comes_again(under_test: ServerUnderTest) -> None:
    video = under_test.hub.stream.tracks[0]
    peer = under_test.stranger()
    offer = "\r\n".join(line for line in peer.offer.split("\r\n") if "apt=" not in line)
    peer.take(under_test.watch(offer))
    under_test.until(lambda: peer.connected)
    assert peer.answer.medias[0].repairs(video.ssrc) is None
    under_test.send(packets=5, keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 5)
    first = peer.raw[1:3]
    peer.forget_what_came()  # it would take a repetition for an attack
    peer.send_rtcp(build_nack(Nack(1, video.ssrc, tuple(sequences(peer, video.ssrc)[1:3]))))
    under_test.until(lambda: len(peer.rtp) == 7)
    assert peer.raw[5:] == first


def test_sound_is_not_repaired(under_test: ServerUnderTest) -> None:
    """It may have been sent with padding: under the same index, nothing else may follow."""
    sound = under_test.hub.stream.tracks[1]
    peer = under_test.viewer()
    under_test.send(1, track=1)
    under_test.until(lambda: len(peer.rtp) == 1)
    peer.send_rtcp(build_nack(Nack(1, sound.ssrc, tuple(sequences(peer, sound.ssrc)))))
    under_test.send(1, track=1)
    under_test.until(lambda: len(peer.rtp) == 2)
    assert under_test.hub.stream.resent_packets == 0


def test_sequence_numbers_begin_where_they_do_not_wrap_at_once(
    under_test: ServerUnderTest,
) -> None:
    video = under_test.hub.stream.tracks[0]
    video.next_sequence = 0x1FFF0
    under_test.send(packets=10, keyframe=True)
    peer = under_test.viewer()
    under_test.until(lambda: len(peer.rtp) == 10)
    for _ in range(30):
        under_test.send()
    under_test.until(lambda: len(peer.rtp) == 100)
    found = sequences(peer, video.ssrc)
    assert found == list(range(found[0], found[0] + 100))
    peer.send_rtcp(build_nack(Nack(1, video.ssrc, (found[5],))))
    under_test.until(lambda: len(peer.rtp) == 101)


def test_sequence_numbers_may_wrap_later(under_test: ServerUnderTest) -> None:
    video = under_test.hub.stream.tracks[0]
    video.next_sequence = 0x1FC00
    peer = under_test.viewer()
    under_test.send(packets=50, keyframe=True)
    for count in range(1, 23):
        under_test.send(packets=50)
        under_test.until(lambda count=count: len(peer.rtp) == 50 * (count + 1))  # type: ignore[misc]
    found = sequences(peer, video.ssrc)
    assert found == [number & 0xFFFF for number in range(0xFC00, 0xFC00 + 1150)]


def test_a_viewer_may_ask_for_a_keyframe(under_test: ServerUnderTest) -> None:
    under_test.send(keyframe=True)
    peer = under_test.viewer()
    before = under_test.hub.keyframe_requests
    peer.send_rtcp(build_pli(Pli(1, under_test.hub.stream.tracks[0].ssrc)))
    under_test.until(lambda: under_test.hub.keyframe_requests > before)


def test_another_certificate_than_announced_is_refused(under_test: ServerUnderTest) -> None:
    peer = under_test.peer(certificate=Certificate.generate())
    under_test.until(lambda: under_test.server.sessions == 0)
    assert under_test.hub.stream.viewers == 0
    assert not peer.rtp
    assert under_test.server.refused["dtls"] == 1


def test_who_does_not_know_the_password_is_no_peer(under_test: ServerUnderTest) -> None:
    stranger = under_test.stranger()
    stranger.take(under_test.watch(stranger.offer), password="x" * 24)
    under_test.until(lambda: stranger.checks_answered == 1)  # with a refusal
    assert stranger.dtls is not None
    stranger.poll()
    under_test.until(lambda: under_test.server.refused["unknown_peer"] > 0)
    assert not stranger.connected
    assert under_test.server.refused["stun_unauthenticated"] == 1


def test_garbage_is_ignored(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    for size in (0, 1, 2, 12, 60, 1400, 4000):
        for first in (0, 1, 21, 63, 80, 128, 144, 255):
            peer.send(bytes((first,))[:size] + os.urandom(max(0, size - 1)))
    stranger = under_test.stranger()
    stranger.server = peer.server
    stranger.send(b"\x16\xfe\xff" + bytes(40))
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    assert under_test.server.sessions == 1
    assert under_test.server.refused["unknown_peer"] == 1
    assert under_test.server.refused["srtp"] > 10


def test_a_session_that_is_deleted_ends(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    with pytest.raises(NoSuchSessionError):
        under_test.ask(under_test.server.end("other", peer.told.session))
    under_test.ask(under_test.server.end("lobby", peer.told.session))
    under_test.until(lambda: peer.dtls is not None and peer.dtls.state is DtlsState.CLOSED)
    assert (under_test.server.sessions, under_test.hub.stream.viewers) == (0, 0)
    with pytest.raises(NoSuchSessionError):
        under_test.ask(under_test.server.end("lobby", peer.told.session))
    under_test.send(keyframe=True)
    under_test.hub.run(0.02)
    peer.poll()
    assert not peer.rtp


def test_nothing_of_a_session_is_left(under_test: ServerUnderTest) -> None:
    files = len(os.listdir("/proc/self/fd"))
    held = []
    for _ in range(5):
        peer = under_test.viewer()
        under_test.send(keyframe=True)
        (kept,) = under_test.server._peers.values()
        held.append(weakref.ref(kept))
        del kept
        under_test.ask(under_test.server.end("lobby", peer.told.session))
        under_test.peers.remove(peer)
        peer.close()
    under_test.hub.run(0.02)
    gc.collect()
    assert [reference() for reference in held] == [None] * 5
    assert len(os.listdir("/proc/self/fd")) == files
    assert len(under_test.server._table) == 0


def test_a_viewer_who_says_goodbye_is_gone(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    peer.send_rtcp(build_bye(Bye((1,))))
    under_test.until(lambda: under_test.server.sessions == 0)
    first = under_test.viewer()
    assert first.dtls
    first.dtls.close()
    first.poll()
    under_test.until(lambda: under_test.server.sessions == 0)


def test_the_end_of_the_stream_ends_its_viewers(under_test: ServerUnderTest) -> None:
    playing = under_test.viewer()
    under_test.peer()  # it has not connected yet
    under_test.send(keyframe=True)
    under_test.hub.hub.remove("lobby")
    under_test.until(lambda: any(isinstance(packet, Bye) for packet in playing.rtcp))
    assert under_test.server.sessions == 0


def test_without_consent_nothing_is_sent(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    under_test.viewer()
    ahead = time.monotonic() + CONSENT_S + 1
    monkeypatch.setattr("streamsocket.webrtc.server.time.monotonic", lambda: ahead)
    under_test.server._timer.cancel()  # type: ignore[union-attr]
    under_test.server._tick()
    assert (under_test.server.sessions, under_test.hub.stream.viewers) == (0, 0)


def test_media_follows_the_viewer_to_another_address(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    other = under_test.stranger()
    before, peer.socket = peer.socket, other.socket
    other.socket = before
    answered = peer.checks_answered
    peer.check()
    under_test.until(lambda: peer.checks_answered > answered)
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 6)


def test_ice_restarts_and_candidates_are_taken(under_test: ServerUnderTest) -> None:
    peer = under_test.viewer()
    update = under_test.server.update
    same = FRAGMENT.format(peer.credentials.ufrag, peer.credentials.password)
    told = under_test.ask(update("lobby", peer.told.session, same, peer.told.tag, "127.0.0.1"))
    assert told.text == ""
    with pytest.raises(OtherSessionError):
        under_test.ask(update("lobby", peer.told.session, same, "another", "127.0.0.1"))
    with pytest.raises(ParseError):
        under_test.ask(update("lobby", peer.told.session, "nonsense", peer.told.tag, "127.0.0.1"))
    new = FRAGMENT.format("newufrag", "p" * 24)
    told = under_test.ask(update("lobby", peer.told.session, new, "*", "127.0.0.1"))
    assert told.tag != peer.told.tag
    assert f"a=ice-ufrag:{told.tag}" in told.text
    assert "a=candidate:" in told.text
    with pytest.raises(OtherSessionError):
        under_test.ask(update("lobby", peer.told.session, same, peer.told.tag, "127.0.0.1"))


def test_what_cannot_be_answered_is_refused_with_a_sentence(under_test: ServerUnderTest) -> None:
    offer = under_test.stranger()
    with pytest.raises(NoSuchStreamError, match="no stream 'none'"):
        under_test.watch(offer.offer, "none")
    with pytest.raises(NoSuchStreamError, match="cannot be a stream's name"):
        under_test.watch(offer.offer, "../etc")
    with pytest.raises(ParseError):
        under_test.watch("v=0\r\n")
    vp8_only = "\r\n".join(
        line for line in offer.offer.split("\r\n") if "H264" not in line and "opus" not in line
    )
    with pytest.raises(NothingFitsError, match=r"The track is H\.264, but"):
        under_test.watch(vp8_only)
    assert under_test.server.sessions == 0


def test_only_so_many_may_be_connecting(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTING", 3)
    monkeypatch.setattr(server_module, "MAX_CONNECTING_PER_ADDRESS", 2)
    under_test.viewer()
    under_test.peer()
    offer = under_test.peers[0].offer
    told = under_test.watch(offer)
    with pytest.raises(TooManyPeersError):
        under_test.watch(offer)
    other = [Asker(f"192.0.2.{n}", "192.0.2.1") for n in (1, 2)]
    under_test.watch(offer, asker=other[0])
    with pytest.raises(TooManyPeersError):
        under_test.watch(offer, asker=other[1])
    under_test.ask(under_test.server.end("lobby", told.session))
    under_test.watch(offer, asker=other[1])


@pytest.mark.parametrize(
    "under_test",
    [{"anna": User("anna", hash_password("secret"), permissions=Permissions(watch=("*",)))}],
    indirect=True,
)
def test_who_has_to_log_in_is_told_so(under_test: ServerUnderTest) -> None:
    offer = under_test.stranger()
    with pytest.raises(AccessDeniedError) as denied:
        under_test.watch(offer.offer)
    assert denied.value.ask
    asker = Asker("127.0.0.1", "127.0.0.1", Credentials("anna", "secret"))
    assert under_test.watch(offer.offer, asker=asker).text


def test_a_slow_socket_loses_nothing(under_test: ServerUnderTest) -> None:
    """What the kernel doesn't take waits, and goes out before what follows."""
    peer = under_test.viewer()
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    datagrams = under_test.server._sender._datagrams
    send, many = datagrams.send, datagrams.many
    datagrams.send = lambda run, path, output: False  # type: ignore[method-assign]
    datagrams.many = None
    under_test.send(packets=80)
    under_test.send()
    datagrams.send, datagrams.many = send, many  # type: ignore[method-assign]
    under_test.until(lambda: len(peer.rtp) == 86)
    found = sequences(peer, under_test.hub.stream.tracks[0].ssrc)
    assert found == list(range(found[0], found[0] + 86))
    under_test.send()
    under_test.until(lambda: len(peer.rtp) == 89)


def extended_offer(peer: PythonPeer) -> str:
    """Its offer with the time of capture asked for, as a page can have it."""
    line = f"a=extmap:13 {ExtensionUri.ABS_CAPTURE_TIME}\r\na=rtcp-mux"
    return peer.offer.replace("a=rtcp-mux", line)


def test_viewers_are_told_when_packets_were_sent_and_captured(
    under_test: ServerUnderTest,
) -> None:
    video, sound = under_test.hub.stream.tracks
    peer = under_test.stranger()
    peer.take(under_test.watch(extended_offer(peer)))
    under_test.until(lambda: peer.connected)
    under_test.send(packets=3, keyframe=True)  # sent on its own, as all that comes before
    under_test.until(lambda: len(peer.rtp) == 3)
    captured = time.time()
    under_test.send(packets=3, keyframe=True)
    under_test.send(packets=3)
    under_test.send(1, track=1)
    under_test.send(1, track=1)
    under_test.until(lambda: len(peer.rtp) == 11)
    picture, audio = (ExtensionMap(ids_of(media)) for media in peer.answer.medias)
    pictures = [picture.parse(raw) for raw in peer.raw if raw[8:12] == video.ssrc.to_bytes(4)]
    now = time.monotonic() % 64
    assert all(abs(each.abs_send_time - now) < 5 for each in pictures if each.abs_send_time)
    assert [bool(each.abs_send_time) for each in pictures] == [True] * 9
    dated = [each.abs_capture_time for each in pictures]
    assert [bool(each) for each in dated] == [False] * 3 + [True] * 3 + [False] * 3
    assert all(abs(each.time - captured) < 0.5 for each in dated if each)
    sounds = [audio.parse(raw) for raw in peer.raw if raw[8:12] == sound.ssrc.to_bytes(4)]
    assert [bool(each.abs_capture_time) for each in sounds] == [True, False]
    assert [each.abs_send_time for each in sounds] == [None, None]
    peer.send_rtcp(build_nack(Nack(1, video.ssrc, (peer.rtp[4].sequence,))))
    under_test.until(lambda: len(peer.rtp) == 12)
    assert picture.parse(peer.raw[-1]).abs_send_time


def ids_of(media: sdp.Media) -> dict[str, int]:
    return {each.uri: each.number for each in media.extensions}


def test_captures_are_dated_once_a_second(
    under_test: ServerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    peer = under_test.stranger()
    peer.take(under_test.watch(extended_offer(peer)))
    under_test.until(lambda: peer.connected)
    under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 3)
    monkeypatch.setattr("streamsocket.webrtc.sender.CAPTURE_TIME_S", 0.1)
    deadline = time.monotonic() + 5
    extensions = ExtensionMap(ids_of(peer.answer.medias[0]))
    while sum(bool(extensions.parse(raw).abs_capture_time) for raw in peer.raw) < 3:
        assert time.monotonic() < deadline
        under_test.send(1)
        under_test.hub.run(0.01)
        peer.poll()
    assert sum(bool(extensions.parse(raw).abs_capture_time) for raw in peer.raw) < len(peer.raw) / 4


def test_who_is_not_repaired_elsewhere_gets_no_extensions(under_test: ServerUnderTest) -> None:
    """What is sent again as it was has to be the same to the byte."""
    peer = under_test.stranger()
    offer = "\r\n".join(line for line in extended_offer(peer).split("\r\n") if "apt=" not in line)
    peer.take(under_test.watch(offer))
    under_test.until(lambda: peer.connected)
    assert ids_of(peer.answer.medias[0]) == {}
    for _ in range(2):
        under_test.send(keyframe=True)
    under_test.until(lambda: len(peer.rtp) == 6)
    assert {raw[0] for raw in peer.raw} == {0x80}


def test_many_viewers_of_all_kinds_get_the_same(under_test: ServerUnderTest) -> None:
    kinds: list[dict[str, Any]] = [
        {}, {"offer": "aiortc_recvonly"}, {"profiles": (SrtpProfile.AES128_CM_SHA1_80,)},
        {"profiles": (SrtpProfile.AEAD_AES_256_GCM,)},
    ]  # fmt: skip
    peers = [under_test.viewer(**kinds[number % 4]) for number in range(40)]
    under_test.send(keyframe=True)
    under_test.until(lambda: all(len(peer.rtp) == 3 for peer in peers))
    under_test.send(packets=70)
    under_test.send(2, track=1)
    under_test.until(lambda: all(len(peer.rtp) == 75 for peer in peers))
    for peer in peers:
        for track, count in zip(under_test.hub.stream.tracks, (73, 2), strict=True):
            found = sequences(peer, track.ssrc)
            assert found == list(range(found[0], found[0] + count))
        assert [p.payload for p in peer.rtp] == [p.payload for p in peers[0].rtp]


def test_one_who_cannot_be_reached_is_no_harm_to_others(under_test: ServerUnderTest) -> None:
    peers = [under_test.viewer() for _ in range(5)]
    under_test.send(keyframe=True)
    under_test.until(lambda: all(len(peer.rtp) == 3 for peer in peers))
    lost = next(iter(under_test.server._peers.values()))
    lost.ice._selected = ("127.0.0.1", 0)  # the kernel refuses that port
    under_test.send()
    under_test.until(lambda: all(len(peer.rtp) == 6 for peer in peers[1:]))
    assert len(peers[0].rtp) == 3
    assert under_test.hub.stream.unsent_packets == 3


def test_what_gets_through_to_viewers_is_told(under_test: ServerUnderTest) -> None:
    assert under_test.hub.stream.estimated_bps is None
    peers = [under_test.viewer() for _ in range(2)]
    for peer, bitrate in zip(peers, (3_000_000, 800_000), strict=True):
        peer.send_rtcp(build_remb(Remb(1, bitrate, ())))
    under_test.until(lambda: under_test.hub.stream.estimated_bps == 800_000)
    under_test.ask(under_test.server.end("lobby", peers[1].told.session))
    assert under_test.hub.stream.estimated_bps == 3_000_000


def test_keyframes_are_asked_for_once_a_second_at_most(under_test: ServerUnderTest) -> None:
    under_test.send(keyframe=True)
    peer = under_test.viewer()
    ssrc = under_test.hub.stream.tracks[0].ssrc
    before = under_test.hub.keyframe_requests
    for number in range(20):
        peer.send_rtcp(build_pli(Pli(1, ssrc)))
        peer.send_rtcp(build_fir(Fir(1, ((ssrc, number),))))
    peer.send_rtcp(build_remb(Remb(1, 1000, ())))
    under_test.until(lambda: under_test.hub.stream.estimated_bps == 1000)
    assert under_test.hub.keyframe_requests == before + 1
