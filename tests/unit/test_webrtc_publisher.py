"""Publishing by WebRTC on real sockets: what comes into the hub, and what the publisher is told."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from hub_helpers import hub_under_test
from test_webrtc_server import HERE, ServerUnderTest

from streamsocket.auth.access import Access, AccessDeniedError
from streamsocket.hub.hub import StreamTakenError
from streamsocket.hub.stream import Stream
from streamsocket.rtp.packet import HEADER
from streamsocket.rtp.rtcp import (
    Bye,
    Nack,
    Pli,
    ReceiverReport,
    SenderReport,
    Unknown,
    build_bye,
    build_sender_report,
)
from streamsocket.webrtc.feedback import parse_feedback
from streamsocket.webrtc.header_extensions import ExtensionMap, ExtensionUri, HeaderExtensions
from streamsocket.webrtc.negotiation import NothingFitsError
from streamsocket.webrtc.rtx import wrap
from streamsocket.webrtc.sdp import Media
from streamsocket.webrtc.server import Asker
from streamsocket.webrtc.srtp import bursts
from streamsocket.webrtc.transport_feedback import TransportFeedback

SOUND = b"\xfc" + bytes(60)  # one Opus frame of 20 ms
PICTURE = b"\x65" + bytes(400)  # a NAL unit of an IDR picture


class PublishingPeer:
    """A peer that publishes sound and picture under `desk`."""

    def __init__(
        self, under_test: ServerUnderTest, offer: str = "chromium_sendonly", **options: Any
    ) -> None:
        self.under_test = under_test
        self.peer = under_test.stranger(offer=offer, **options)
        publish = under_test.server.publish("desk", self.peer.offer, HERE)
        self.peer.take(under_test.ask(publish))
        under_test.until(lambda: self.peer.connected and bool(under_test.hub.hub.find("desk")))
        self.sequence = {"audio": 100, "video": 65_530}
        sender = self.peer.sender
        self.streams = {
            kind: sender.add_stream(self.ssrc(kind), first) for kind, first in self.sequence.items()
        }
        self.repairs = sender.add_stream(77, 5)
        self.repair_sequence = 5
        self.transport_sequence = 0

    def ssrc(self, kind: str) -> int:
        return {"audio": 11, "video": 22}[kind]

    def media(self, kind: str) -> Media:
        return next(media for media in self.peer.answer.medias if media.kind == kind)

    def packet(self, kind: str, payload: bytes) -> bytes:
        """The next packet, with the transport-wide number where that was agreed on."""
        media = self.media(kind)
        ids = {each.uri: each.number for each in media.extensions}
        extension = ExtensionMap(ids).build(
            HeaderExtensions(transport_sequence=self.transport_sequence)
            if ExtensionUri.TRANSPORT_SEQUENCE in ids
            else HeaderExtensions()
        )
        self.transport_sequence += 1
        sequence = self.sequence[kind]
        self.sequence[kind] += 1
        flags = 0x90 if extension else 0x80
        second = 0x80 | media.formats[0].payload_type
        timestamp = sequence * (960 if kind == "audio" else 3000)
        header = HEADER.pack(flags, second, sequence & 0xFFFF, timestamp, self.ssrc(kind))
        return header + extension + payload

    def send(self, kind: str, payload: bytes) -> None:
        packet = self.packet(kind, payload)
        (burst,) = bursts(packet, (len(packet),), self.sequence[kind] - 1)
        for run in self.streams[kind].protect(burst):
            self.peer.send(bytes(run.data))

    def repair(self, packet: bytes) -> None:
        """Send on the source for retransmissions what was not sent before."""
        plain = packet[:12] + packet[-len(PICTURE) :]
        plain = bytes((0x80,)) + plain[1:]
        rtx = self.media("video").formats[1]
        repair = wrap(plain, rtx.payload_type, 77, self.repair_sequence)
        (burst,) = bursts(repair, (len(repair),), self.repair_sequence)
        self.repair_sequence += 1
        for run in self.repairs.protect(burst):
            self.peer.send(bytes(run.data))

    def told(self, kind: type[Any]) -> list[Any]:
        return [packet for packet in self.peer.rtcp if isinstance(packet, kind)]

    @property
    def stream(self) -> Stream:
        stream = self.under_test.hub.hub.find("desk")
        assert stream
        return stream


@pytest.fixture
def under_test() -> Iterator[ServerUnderTest]:
    access = Access({})
    with hub_under_test() as hub:
        made = ServerUnderTest(hub, access)
        yield made
        made.close()
    access.close()


def test_of_a_peer_without_h264_vp8_is_taken(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test, "firefox_sendonly")
    assert publisher.stream.tracks[0].track.codec.name == "vp8"
    assert publisher.media("video").formats[0].encoding == "VP8"


@pytest.mark.parametrize("offer", ["chromium_sendonly", "obs_whip"])
def test_picture_and_sound_reach_the_stream(under_test: ServerUnderTest, offer: str) -> None:
    publisher = PublishingPeer(under_test, offer)
    video, sound = publisher.stream.tracks
    assert [track.track.codec.name for track in (video, sound)] == ["h264", "opus"]
    assert publisher.stream.origin == "WebRTC"
    for _ in range(12):
        publisher.send("video", PICTURE)
        publisher.send("audio", SOUND)
    under_test.until(lambda: (video.packets, sound.packets) == (12, 12))


def test_a_publisher_that_waits_for_dtls_is_called(under_test: ServerUnderTest) -> None:
    """FFmpeg is passive."""
    publisher = PublishingPeer(under_test, "ffmpeg_whip")
    assert publisher.peer.answer.transport.setup == "active"
    publisher.send("audio", SOUND)
    under_test.until(lambda: publisher.stream.tracks[1].packets == 1)


def test_what_is_missing_is_asked_for_and_taken_from_a_repair(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    publisher.send("video", PICTURE)
    lost = publisher.packet("video", PICTURE)
    publisher.send("video", PICTURE)
    under_test.until(lambda: bool(publisher.told(Nack)))
    assert publisher.told(Nack)[0].sequences == (65_531,)
    publisher.repair(lost)
    under_test.until(lambda: publisher.stream.tracks[0].packets == 3)


def test_what_never_comes_is_given_up(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    publisher.send("audio", SOUND)
    publisher.packet("audio", SOUND)
    publisher.send("audio", SOUND)
    under_test.until(lambda: publisher.stream.tracks[1].packets == 2)


def test_the_publisher_is_told_how_its_packets_come(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    for _ in range(3):
        publisher.send("video", PICTURE)
    under_test.until(lambda: bool(publisher.told(ReceiverReport)))
    found = [parse_feedback(each) for each in publisher.told(Unknown)]
    arrivals = [len(each.arrivals) for each in found if isinstance(each, TransportFeedback)]
    assert sum(arrivals) == 3
    publisher.stream.request_keyframe()
    under_test.until(lambda: bool(publisher.told(Pli)))
    assert publisher.told(Pli)[0].media_ssrc == 22


def test_a_peer_that_wants_compound_reports_gets_nothing_else(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test, "obs_whip")
    assert not publisher.media("video").rtcp_rsize
    publisher.send("video", PICTURE)
    under_test.until(lambda: publisher.stream.tracks[0].packets == 1)
    publisher.stream.request_keyframe()
    under_test.until(lambda: bool(publisher.told(Pli)))
    position = publisher.peer.rtcp.index(publisher.told(Pli)[0])
    assert isinstance(publisher.peer.rtcp[position - 2], ReceiverReport)


def test_reports_date_what_was_captured(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    captured = time.time() - 1.5
    report = SenderReport(11, captured, 100 * 960, 0, 0)
    publisher.send("audio", SOUND)
    under_test.until(lambda: publisher.stream.tracks[1].packets == 1)
    publisher.peer.send_rtcp(build_sender_report(report, "peer"))
    under_test.hub.run(0.05)
    publisher.send("audio", SOUND)
    under_test.until(lambda: publisher.stream.tracks[1].packets == 2)
    latest = publisher.stream.tracks[1].latest
    assert latest
    assert latest.capture_time == pytest.approx(captured + 0.02, abs=0.25)


def test_reports_of_the_picture_do_not_date_the_sound(under_test: ServerUnderTest) -> None:
    """All of them come the same way, and are told apart by their source."""
    publisher = PublishingPeer(under_test)
    video, sound = publisher.stream.tracks
    begun = time.time()
    for kind, lag_s in (("video", 2.0), ("audio", 0.5)):
        publisher.send(kind, PICTURE if kind == "video" else SOUND)
        step = 3000 if kind == "video" else 960
        timestamp = step * (publisher.sequence[kind] - 1)
        report = SenderReport(publisher.ssrc(kind), begun - lag_s, timestamp, 0, 0)
        publisher.peer.send_rtcp(build_sender_report(report, "peer"))
    publisher.send("video", PICTURE)
    publisher.send("audio", SOUND)
    under_test.until(lambda: (video.packets, sound.packets) == (2, 2))
    assert video.latest
    assert sound.latest
    assert video.latest.capture_time == pytest.approx(begun - 2 + 1 / 30, abs=0.005)
    assert sound.latest.capture_time == pytest.approx(begun - 0.5 + 0.02, abs=0.005)


def test_a_name_that_is_taken_is_refused(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    with pytest.raises(StreamTakenError):
        PublishingPeer(under_test)
    assert under_test.server.sessions == 1
    publisher.send("audio", SOUND)
    under_test.until(lambda: publisher.stream.tracks[1].packets == 1)


def test_of_two_who_connect_at_once_the_second_is_refused(under_test: ServerUnderTest) -> None:
    peers = [under_test.stranger(offer="chromium_sendonly") for _ in range(2)]
    for peer in peers:
        publish = under_test.server.publish("desk", peer.offer, HERE)
        peer.told = under_test.ask(publish)
    for peer in peers:
        peer.take(peer.told)
    under_test.until(lambda: under_test.server.sessions == 1)
    stream = under_test.hub.hub.find("desk")
    assert stream
    assert stream.publication


def test_who_leaves_makes_room(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    stream = publisher.stream
    under_test.ask(under_test.server.end("desk", publisher.peer.told.session))
    assert stream.publication is None
    publisher = PublishingPeer(under_test)
    for kind in ("audio", "video"):
        publisher.send(kind, SOUND)
        publisher.peer.send_rtcp(build_bye(Bye((publisher.ssrc(kind),))))
    under_test.until(lambda: under_test.server.sessions == 0)


def test_who_falls_silent_is_gone(under_test: ServerUnderTest) -> None:
    publisher = PublishingPeer(under_test)
    (peer,) = under_test.server._peers.values()
    assert peer.session
    peer.session.tick(time.monotonic() + 9)
    assert publisher.stream.publication
    peer.session.tick(time.monotonic() + 11)
    assert under_test.server.sessions == 0


def test_what_cannot_be_passed_on_is_refused(under_test: ServerUnderTest) -> None:
    watcher = under_test.stranger()
    with pytest.raises(NothingFitsError, match="sends neither"):
        under_test.ask(under_test.server.publish("desk", watcher.offer, HERE))
    with pytest.raises(AccessDeniedError):
        under_test.ask(
            under_test.server.publish("desk", watcher.offer, Asker("192.0.2.9", "192.0.2.1"))
        )
