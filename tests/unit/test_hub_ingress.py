"""What publishers send becomes batches of the stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from hub_helpers import VIDEO, HubUnderTest, Viewer, hub_under_test

from streamsocket.errors import ParseError
from streamsocket.hub.ingress import Ingress
from streamsocket.hub.reader import Reader
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264
from streamsocket.rtp.packet import HEADER
from streamsocket.rtp.payload import depacketizer, packetizer

PICTURE = [b"\x65\x88" + bytes(n % 251 for n in range(5000))]


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


def packets_of(picture: list[bytes], timestamp: int, first: int) -> list[bytes]:
    """One access unit as a publisher sends it."""
    codec = VIDEO.codec
    assert isinstance(codec, H264)
    payloads = packetizer(codec).packetize(AccessUnit(picture, timestamp))
    last = len(payloads) - 1
    return [
        HEADER.pack(0x80, 96 | (0x80 if n == last else 0), first + n & 0xFFFF, timestamp, 7) + p
        for n, p in enumerate(payloads)
    ]


def test_a_wakeups_packets_are_one_batch_and_the_picture_arrives_whole(
    hub: HubUnderTest,
) -> None:
    viewer = Viewer()
    reader = Reader(hub.stream, on_end=lambda: None)
    reader.add(0, hub.udp, viewer.target)
    reader.prepare()
    reader.start()
    ingress = Ingress(hub.publication, 0, VIDEO.codec)
    now = time.time()
    for number in range(3):
        for packet in packets_of(PICTURE, 2**32 - 3000 + number * 3000 & 0xFFFFFFFF, number * 6):
            ingress.packet(packet, now + number / 30)
        ingress.flush()
        hub.publication.flush()
    assert len(hub.stream.tracks[0].cache.group()) == 1
    receiver = depacketizer(VIDEO.codec)
    pictures = []
    received = []
    while True:
        try:
            data = viewer.rtp.recv(2048)
        except BlockingIOError:
            break
        received.append(data)
        _, second, _, timestamp, _ = HEADER.unpack_from(data)
        pictures += receiver.push(data[12:], timestamp, second >= 0x80, gap=False)
    assert [picture.units[-1:] for picture in pictures] == [PICTURE] * 3
    stamps = [picture.timestamp for picture in pictures]
    assert [after - before for before, after in pairwise(stamps)] == [3000] * 2
    viewer.close()


def test_nothing_waits_for_the_rest_of_a_picture(hub: HubUnderTest) -> None:
    ingress = Ingress(hub.publication, 0, VIDEO.codec)
    for packet in packets_of(PICTURE, 0, 0)[:3]:
        ingress.packet(packet, time.time())
    ingress.flush()
    hub.publication.flush()
    track = hub.stream.tracks[0]
    assert track.packets > 0
    assert track.latest is not None
    assert track.latest.keyframe
    assert not track.latest.complete


def test_capture_times_are_the_publishers_where_it_can_be_believed(hub: HubUnderTest) -> None:
    ingress = Ingress(hub.publication, 0, VIDEO.codec)
    now = time.time()
    (first, *rest) = packets_of(PICTURE, 90_000, 0)
    ingress.packet(first, now)
    ingress.sender_report(now - 0.25, 90_000, now)
    for packet in rest:
        ingress.packet(packet, now)
    ingress.flush()
    latest = hub.stream.tracks[0].latest
    assert latest is not None
    assert latest.capture_time == pytest.approx(now - 0.25, abs=0.001)


def test_a_broken_packet_is_refused_and_the_next_is_taken(hub: HubUnderTest) -> None:
    ingress = Ingress(hub.publication, 0, VIDEO.codec)
    with pytest.raises(ParseError):
        ingress.packet(b"\x00garbage", time.time())
    for packet in packets_of(PICTURE, 0, 0):
        ingress.packet(packet, time.time())
    ingress.flush()
    assert hub.stream.tracks[0].packets > 0
