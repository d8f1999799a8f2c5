"""Publishers on the RTSP server: over TCP, over UDP, and what becomes of their viewers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise

import pytest
from client_helpers import SOUND, VIDEO
from hub_helpers import HubUnderTest, hub_under_test, parse
from rtsp_helpers import (
    KEYFRAME,
    SLICE,
    RawPublisher,
    client_of,
    eventually,
    publisher_of,
    reset,
    watch,
    with_server,
)

from streamsocket.hub import hub as hub_module
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Stream
from streamsocket.media.codec import G711, Track
from streamsocket.rtp.rtcp import (
    Bye,
    SenderReport,
    build_bye,
    build_sender_report,
)
from streamsocket.rtsp import sdp
from streamsocket.rtsp.message import Frames
from streamsocket.rtsp.server import RtspServer

TELEPHONE = Track(G711("pcmu"))


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test() as under_test:
        yield under_test


def published(hub: HubUnderTest, name: str = "cam") -> Stream:
    stream = hub.hub.find(name)
    assert stream is not None
    return stream


@pytest.mark.parametrize("transports", ["tcp tcp", "udp udp", "udp tcp", "tcp udp"])
def test_what_is_published_is_seen_and_heard(hub: HubUnderTest, transports: str) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher, client_of(server) as client:
            answer = await publisher.begin(transports=transports)
            assert answer.status == 200
            stream = published(hub)
            assert stream.origin == "RTSP"
            assert [track.track.codec.name for track in stream.tracks] == ["h264", "opus"]
            await watch(client)
            publisher.picture(90_000, keyframe=True)
            publisher.sound(48_000)
            pictures = await client.frames(0, 1)
            sounds = await client.frames(2, 1)
            assert any(packet.endswith(KEYFRAME) for packet in pictures)
            assert parse(sounds[0]).payload_type == 97
            assert (await publisher.ask("TEARDOWN", "cam")).status == 200
            assert published(hub).publication is None

    with_server(hub, test)


def test_the_announced_order_of_tracks_is_the_publishers_own(hub: HubUnderTest) -> None:
    """Sound first, and each still goes where it belongs; viewers have the picture first."""

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher, client_of(server) as client:
            assert (await publisher.begin(tracks=(SOUND, VIDEO))).status == 200
            stream = published(hub)
            assert [track.is_video for track in stream.tracks] == [True, False]
            await watch(client)
            publisher.send_packet(1, publisher.packet(1, KEYFRAME, 0))
            (packet,) = (await client.frames(0))[-1:]
            assert packet.endswith(KEYFRAME)

    with_server(hub, test)


def test_one_track_of_two_is_enough(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            assert (await publisher.begin(transports="tcp")).status == 200
            assert len(published(hub).tracks) == 1

    with_server(hub, test)


def test_packets_before_record_and_of_other_tracks_are_dropped(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            text = sdp.build([VIDEO], name="x", host="127.0.0.1")
            await publisher.ask("ANNOUNCE", "cam", body=text)
            await publisher.set_up("cam", 0, "tcp")
            publisher.picture(0, keyframe=True)
            assert hub.hub.find("cam") is None
            assert (await publisher.ask("RECORD", "cam")).status == 200
            publisher.send(Frames([(7, b"x" * 100), (1, b"no rtcp"), (0, b"no rtp")]).serialise())
            publisher.picture(3000, keyframe=True)
            assert (await publisher.ask("OPTIONS")).status == 200
            await eventually(lambda: published(hub).tracks[0].latest is not None)
            batches = published(hub).tracks[0].cache.group()
            assert [batch.keyframe for batch in batches] == [True]

    with_server(hub, test)


# What is refused.


@pytest.mark.parametrize(
    ("media", "says"),
    [
        ("m=video 0 RTP/AVP 96\r\na=rtpmap:96 THEORA/90000\r\n", "THEORA"),
        ("m=application 0 RTP/AVP 96\r\na=rtpmap:96 vnd.onvif.metadata/90000\r\n", "application"),
        ("m=audio 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n", "audio"),
        ("m=video 0 RTP/AVP 96\r\n", "96"),
        ("m=audio 0 RTP/AVP 0\r\na=control:x\r\n" * 9, "8 tracks"),
    ],
)
def test_what_cannot_be_passed_on_is_refused_with_a_sentence(
    hub: HubUnderTest, media: str, says: str
) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            text = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n" + media
            answer = await publisher.begin(description=text)
            assert answer.status == 415
            assert says in answer.reason
            # The connection is as good as before.
            assert (await publisher.begin()).status == 200

    with_server(hub, test)


@pytest.mark.parametrize("path", ["", "a%0Ab", "a b", "x" * 300])
def test_names_that_no_stream_may_have_are_refused(hub: HubUnderTest, path: str) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            assert (await publisher.begin(path=path)).status == 400

    with_server(hub, test)


def test_a_name_that_is_taken_is_refused(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as first, publisher_of(server) as second:
            # The server's own: never, whatever happens.
            answer = await second.begin(path="lobby")
            assert answer.status == 409
            assert "lobby" in answer.reason
            assert (await first.begin()).status == 200
            first.picture(0, keyframe=True)
            assert (await second.begin()).status == 409
            assert server.refused["not_possible"] == 2
            await first.ask("TEARDOWN", "cam")
            assert (await second.begin()).status == 200

    with_server(hub, test)


def test_who_is_first_to_record_has_the_name(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        text = sdp.build([VIDEO], name="x", host="127.0.0.1")
        async with publisher_of(server) as first, publisher_of(server) as second:
            for each in (first, second):
                assert (await each.ask("ANNOUNCE", "cam", body=text)).status == 200
                assert (await each.set_up("cam", 0, "tcp")).status == 200
            assert (await second.ask("RECORD", "cam")).status == 200
            assert (await first.ask("RECORD", "cam")).status == 409
            # It may come to be free.
            await second.ask("TEARDOWN", "cam")
            assert (await first.ask("RECORD", "cam")).status == 200

    with_server(hub, test)


def test_a_publisher_may_be_replaced_where_the_settings_say_so(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as first, publisher_of(server) as second:
            assert (await first.begin()).status == 200
            first.picture(0, keyframe=True)
            stream = published(hub)
            assert (await second.begin()).status == 200
            assert await first.closed()
            assert published(hub) is stream
            assert stream.publication is not None
            second.picture(0, keyframe=True)
            await eventually(lambda: stream.tracks[0].packets >= 3)
            # What the server makes itself is nobody's to take.
            async with publisher_of(server) as third:
                assert (await third.begin(path="lobby")).status == 409

    with_server(hub, test, replace_publishers=True)


def test_a_publisher_that_fell_silent_gives_way(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "_SILENT_PUBLISHER_S", 0.2)

    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as first, publisher_of(server) as second:
            assert (await first.begin()).status == 200
            first.picture(0, keyframe=True)
            await eventually(lambda: published(hub).tracks[0].latest is not None)
            assert (await second.begin()).status == 409
            await asyncio.sleep(0.25)
            assert (await second.begin()).status == 200
            assert await first.closed()
            # Who has only just begun is not silent, however long ago the stream's last packet is.
            async with publisher_of(server) as third:
                assert (await third.begin()).status == 409
                # But who never begins to send is.
                await asyncio.sleep(0.25)
                assert (await third.begin()).status == 200
            assert await second.closed()

    with_server(hub, test)


def test_a_publisher_that_sends_nothing_is_closed(
    hub: HubUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    offset = 0.0
    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + offset)

    async def test(server: RtspServer) -> None:
        nonlocal offset
        async with (
            publisher_of(server) as silent,
            publisher_of(server) as busy,
            publisher_of(server) as undecided,
        ):
            assert (await silent.begin(path="silent")).status == 200
            assert (await busy.begin(path="busy", transports="udp udp")).status == 200
            text = sdp.build([VIDEO], name="x", host="127.0.0.1")
            assert (await undecided.ask("ANNOUNCE", "undecided", body=text)).status == 200
            offset = 9.0
            busy.picture(0, keyframe=True)
            await eventually(lambda: published(hub, "busy").tracks[0].latest is not None)
            offset = 12.0
            assert await silent.closed()
            assert await undecided.closed()
            assert (await busy.ask("OPTIONS")).status == 200
            assert published(hub, "busy").publication
            assert hub.hub.find("undecided") is None

    with_server(hub, test, publisher_timeout_s=10.0)


def test_a_publisher_that_says_goodbye_is_gone(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with publisher_of(server) as publisher:
            assert (await publisher.begin(transports="udp tcp")).status == 200
            publisher.picture(0, keyframe=True)
            publisher.sound(0)
            await eventually(lambda: published(hub).tracks[1].latest is not None)
            await eventually(lambda: published(hub).tracks[0].latest is not None)
            publisher.send_rtcp(0, build_bye(Bye((publisher.ssrcs[0],))))
            publisher.send_rtcp(1, build_bye(Bye((publisher.ssrcs[1],))))
            assert await publisher.closed()
            stream = hub.hub.find("cam")
            assert stream is None or stream.publication is None

    with_server(hub, test)


def test_a_publisher_that_hangs_up_leaves_its_name(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        for hang_up in (RawPublisher.close, reset):
            async with publisher_of(server) as publisher:
                assert (await publisher.begin(transports="udp tcp")).status == 200
                hang_up(publisher)
                await eventually(lambda: published(hub).publication is None)

    with_server(hub, test)


# Viewers, while publishers come and go.


def test_viewers_stay_when_a_publisher_returns(hub: HubUnderTest) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            async with publisher_of(server) as first:
                await first.begin()
                first.picture(1_000_000, keyframe=True)
                await watch(client)
                first.picture(1_003_000)
                before = [parse(packet) for packet in await client.frames(0, 2)]
            await eventually(lambda: published(hub).publication is None)
            async with publisher_of(server) as second:
                second.ssrcs = {0: 0xABCD, 1: 0xABCE}
                await second.begin(transports="udp udp")
                # Other parameter sets: they come with the first picture.
                second.picture(5, keyframe=True)
                second.picture(3005)
                after: list[bytes] = []
                while not any(packet.endswith(SLICE) for packet in after):
                    after += await client.frames(0)
        packets = before + [parse(packet) for packet in after]
        assert len({packet.ssrc for packet in packets}) == 1
        sequences = [packet.sequence for packet in packets]
        first_sequence = sequences[0]
        assert [n - first_sequence & 0xFFFF for n in sequences] == list(range(len(packets)))
        timestamps = [packet.timestamp for packet in packets]
        steps = [b - a & 0xFFFF_FFFF for a, b in pairwise(timestamps)]
        assert all(step < 10 * 90_000 for step in steps), steps
        assert steps[-1] == pytest.approx(3000, abs=100)  # it may still catch up with live

    with_server(hub, test)


@pytest.mark.parametrize("tracks", [(TELEPHONE,), (VIDEO,), (VIDEO, TELEPHONE)])
def test_viewers_are_told_goodbye_when_the_codecs_change(
    hub: HubUnderTest, tracks: tuple[Track, ...]
) -> None:
    async def test(server: RtspServer) -> None:
        async with client_of(server) as client:
            async with publisher_of(server) as first:
                await first.begin()
                first.picture(0, keyframe=True)
                first.sound(0)
                await eventually(lambda: published(hub).tracks[1].latest is not None)
                await watch(client)
            await eventually(lambda: published(hub).publication is None)
            async with publisher_of(server) as second:
                transports = " ".join(["tcp"] * len(tracks))
                assert (await second.begin(tracks=tracks, transports=transports)).status == 200
                assert len(published(hub).tracks) == len(tracks)
                byes = set()
                with suppress(EOFError):
                    while True:
                        message = await client.next()
                        if isinstance(message, Frames):
                            byes |= {channel for channel, data in message.frames if b"\xcb" in data}
                assert {1, 3} <= byes

    with_server(hub, test)


def test_sound_and_picture_stay_together_when_the_next_publishers_clock_is_behind(
    hub: HubUnderTest,
) -> None:
    """The old sound was ahead of the old picture: that is no reason to delay the new sound."""

    async def test(server: RtspServer) -> None:
        now = time.time()

        def report(publisher: RawPublisher, track: int, captured: float, timestamp: int) -> None:
            report = SenderReport(publisher.ssrcs[track], captured, timestamp, 0, 0)
            publisher.send_rtcp(track, build_sender_report(report, "x"))

        async with publisher_of(server) as first:
            await first.begin()
            for track in (0, 1):
                report(first, track, now + 8, 0)
            first.picture(0, keyframe=True)
            first.sound(2 * 48_000)
            await eventually(lambda: published(hub).tracks[1].latest is not None)
            stream = published(hub)
            async with client_of(server) as client:
                await watch(client)
                first.close()
                await eventually(lambda: stream.publication is None)
                async with publisher_of(server) as second:
                    await second.begin()
                    for track in (0, 1):
                        report(second, track, now, 0)
                    packets = [each.packets for each in stream.tracks]
                    second.picture(0, keyframe=True)
                    second.sound(0)
                    await eventually(
                        lambda: all(
                            each.packets > n for each, n in zip(stream.tracks, packets, strict=True)
                        )
                    )
        first_ticks = [track.place(0.0) for track in stream.tracks]
        seconds = [
            (track.latest_timestamp - first) / track.clock_rate
            for track, first in zip(stream.tracks, first_ticks, strict=True)
        ]
        assert seconds[0] == pytest.approx(seconds[1], abs=0.001)

    with_server(hub, test)


def test_a_stream_nobody_watches_ends_with_its_publisher() -> None:
    with hub_under_test(Limits(publisher_wait_s=0.5)) as hub:

        async def test(server: RtspServer) -> None:
            async with client_of(server) as client:
                async with publisher_of(server) as publisher:
                    await publisher.begin(path="unwatched")
                await eventually(lambda: hub.hub.find("unwatched") is None, timeout_s=1)
                async with publisher_of(server) as publisher:
                    await publisher.begin()
                    publisher.picture(0, keyframe=True)
                    await watch(client)
                assert published(hub)
                assert await client.closed()
                assert hub.hub.find("cam") is None

        with_server(hub, test)
