"""Streams with publishers and viewers: what each viewer receives."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from hub_helpers import SOUND, VIDEO, HubUnderTest, Viewer, batch, drain, hub_under_test, parse

from streamsocket.hub.hub import StreamTakenError
from streamsocket.hub.limits import Limits
from streamsocket.hub.reader import Reader
from streamsocket.hub.tcp import TcpSender, TcpTarget
from streamsocket.hub.udp import UdpTarget
from streamsocket.media.codec import H264, Track
from streamsocket.rtp.rtcp import Bye, SenderReport, parse_rtcp


@pytest.fixture(params=[None, False], ids=["gso", "plain"])
def hub(request: pytest.FixtureRequest) -> Iterator[HubUnderTest]:
    with hub_under_test(segmentation=request.param) as under_test:
        yield under_test


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer()
    yield viewer
    viewer.close()


def play(hub: HubUnderTest, viewer: Viewer, *, track: int = 0) -> Reader:
    reader = Reader(hub.stream, on_end=lambda: None)
    reader.add(track, hub.udp, viewer.target)
    reader.prepare()
    reader.start()
    return reader


def test_everybody_gets_the_same_packets_on_the_streams_own_timeline(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    other = Viewer()
    for each in (viewer, other):
        play(hub, each)
    hub.send(0, batch(timestamp=5, packets=3, keyframe=True))
    hub.send(0, batch(timestamp=3005, packets=2))
    packets = viewer.packets()
    assert packets == other.packets()
    assert [p.marker for p in packets] == [False, False, True, False, True]
    first = packets[0].sequence
    assert [p.sequence for p in packets] == [first + n for n in range(5)]
    assert packets[3].timestamp - packets[0].timestamp == 3000
    assert {p.ssrc for p in packets} == {hub.stream.tracks[0].ssrc}
    assert {p.payload_type for p in packets} == {96}
    other.close()


def test_what_the_system_does_not_send_is_counted(hub: HubUnderTest, viewer: Viewer) -> None:
    nowhere = UdpTarget(("127.0.0.1", 0), ("127.0.0.1", 0))
    reader = Reader(hub.stream, on_end=lambda: None)
    reader.add(0, hub.udp, nowhere)
    reader.prepare()
    reader.start()
    play(hub, viewer)
    hub.send(0, batch(timestamp=5, packets=3, keyframe=True))
    hub.send(0, batch(timestamp=3005, packets=1))
    assert len(viewer.packets()) == 4
    assert hub.stream.unsent_packets == 4


def test_jumps_of_publishers_are_counted_beyond_them(hub: HubUnderTest) -> None:
    hub.publication.note_jumps(2)
    hub.publication.close()
    hub.publish().note_jumps(1)
    assert hub.stream.timestamp_jumps == 3


def test_a_viewer_who_joins_gets_the_picture_at_once_and_is_live_soon(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    begin = time.time()
    for number in range(30):
        hub.send(
            0,
            batch(timestamp=number * 3000, keyframe=number == 0, capture_time=begin + number / 30),
        )
    for track in hub.stream.tracks[:1]:  # the group looks a second old
        for number, each in enumerate(track.cache.group()):
            each.arrived -= 1.0 - number / 30
    live_timestamp = hub.stream.tracks[0].latest_timestamp
    play(hub, viewer)
    at_once = viewer.packets()
    assert len(at_once) >= 1
    hub.run(0.9)
    packets = at_once + viewer.packets()
    assert len(packets) == 30
    numbers = [p.sequence for p in packets]
    assert numbers == list(range(numbers[0], numbers[0] + 30))
    stamps = [p.timestamp for p in packets]
    assert stamps == sorted(stamps)
    # A second of pictures, squeezed to lie just around the moment of joining.
    assert stamps[0] >= live_timestamp - 9000
    hub.send(0, batch(timestamp=90_000))
    (live,) = viewer.packets()
    assert live.sequence == numbers[-1] + 1
    assert live.timestamp == live_timestamp + 3000


def test_a_viewer_before_the_first_keyframe_waits_for_it_and_it_is_asked_for(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    hub.send(0, batch(timestamp=0))
    play(hub, viewer)
    assert hub.keyframe_requests == 1
    hub.send(0, batch(timestamp=3000))
    assert viewer.packets() == []
    hub.send(0, batch(timestamp=6000, keyframe=True))
    hub.send(0, batch(timestamp=9000))
    assert len(viewer.packets()) == 2


def test_sound_begins_live(hub: HubUnderTest, viewer: Viewer) -> None:
    for number in range(10):
        hub.send(1, batch(timestamp=number * 960))
    play(hub, viewer, track=1)
    assert viewer.packets() == []
    hub.send(1, batch(timestamp=9600))
    assert len(viewer.packets()) == 1


def test_two_frames_of_sound_in_one_flush_arrive_as_two_packets(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    play(hub, viewer, track=1)
    hub.send(1, batch(timestamp=0, size=90), batch(timestamp=960, size=120))
    packets = viewer.packets()
    assert [p.timestamp - packets[0].timestamp for p in packets] == [0, 960]


def test_a_publisher_who_returns_continues_the_timeline(hub: HubUnderTest, viewer: Viewer) -> None:
    play(hub, viewer)
    now = time.time()
    hub.send(0, batch(timestamp=0, keyframe=True, capture_time=now))
    hub.publication.close()
    hub.publication = hub.publish()
    hub.send(0, batch(timestamp=77_777, keyframe=True, capture_time=now + 2))
    before, after = viewer.packets()
    assert after.sequence == before.sequence + 1
    assert after.timestamp == before.timestamp + 180_000


def test_a_publisher_with_other_parameter_sets_takes_over_and_they_are_announced(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    play(hub, viewer)
    hub.publication.close()
    other = Track(H264(sps=b"\x67\x42\xc0\x20", pps=b"\x68\xce\x3c\x80"))
    hub.publication = hub.hub.publish("lobby", [other, SOUND])
    hub.send(0, batch(timestamp=0, keyframe=True))
    assert len(viewer.packets()) == 1
    assert hub.stream.tracks[0].track == other


def test_a_publisher_of_another_codec_begins_another_stream(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    ended = []
    reader = Reader(hub.stream, on_end=lambda: ended.append(True))
    reader.add(0, hub.udp, viewer.target)
    reader.prepare()
    reader.start()
    hub.publication.close()
    hub.publication = hub.hub.publish("lobby", [SOUND])
    assert ended == [True]
    assert len(hub.stream.tracks) == 1


def test_a_publisher_whose_clock_is_behind_still_goes_forward(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    play(hub, viewer)
    now = time.time()
    hub.send(0, batch(timestamp=0, keyframe=True, capture_time=now))
    hub.publication.close()
    hub.publication = hub.publish()
    hub.send(0, batch(timestamp=0, keyframe=True, capture_time=now - 3600))
    before, after = viewer.packets()
    assert 0 < after.timestamp - before.timestamp < 90_000


def test_a_name_is_published_by_one_at_a_time(hub: HubUnderTest) -> None:
    with pytest.raises(StreamTakenError, match="lobby"):
        hub.hub.publish("lobby", [VIDEO, SOUND], guest=True)
    with pytest.raises(StreamTakenError, match="lobby"):
        # Whoever publishes now gave no way to tell it that another takes its place.
        hub.hub.publish("lobby", [VIDEO, SOUND], guest=True, replace=True)


def test_a_guest_may_be_replaced_where_that_is_wanted(hub: HubUnderTest, viewer: Viewer) -> None:
    told: list[str] = []
    hub.publication.close()
    first = hub.hub.publish(
        "lobby", [VIDEO, SOUND], guest=True, on_replaced=lambda: told.append("first")
    )
    play(hub, viewer)
    hub.publication = hub.hub.publish("lobby", [VIDEO, SOUND], guest=True, replace=True)
    assert told == ["first"]
    hub.send(0, batch(timestamp=0, keyframe=True))
    first.write(0, batch(timestamp=3000))
    first.flush()
    first.close()
    assert len(viewer.packets()) == 1, "what the one before still sends goes nowhere"
    assert hub.stream.publication is hub.publication


def test_guests_keep_off_the_names_that_the_server_provides(hub: HubUnderTest) -> None:
    hub.hub.provide("camera")
    with pytest.raises(StreamTakenError, match="camera"):
        hub.hub.publish("camera", [VIDEO], guest=True)
    assert hub.hub.publish("camera", [VIDEO])


def test_who_is_interested_is_told_of_streams_that_come_and_go(hub: HubUnderTest) -> None:
    told: list[tuple[str, bool]] = []
    hub.hub.subscribe(lambda stream: told.append((stream.name, stream.publication is not None)))
    publication = hub.hub.publish("other", [VIDEO])
    publication.close()
    hub.hub.remove("other")
    assert told == [("other", True), ("other", False), ("other", False)]


def test_a_stream_without_publisher_and_viewers_is_forgotten(hub: HubUnderTest) -> None:
    hub.hub.publish("other", [VIDEO]).close()
    hub.hub.provide("kept")
    hub.hub.publish("kept", [VIDEO]).close()
    hub.run(0.6)
    assert hub.hub.find("other") is None
    assert hub.hub.find("kept")
    assert hub.hub.find("lobby"), "it has a publisher"
    hub.hub.unprovide("kept")
    assert not hub.hub.provides("kept")
    assert hub.hub.find("kept") is None
    hub.hub.unprovide("kept")  # nobody minds


def test_viewers_wait_for_a_publisher_that_left(hub: HubUnderTest, viewer: Viewer) -> None:
    play(hub, viewer)
    hub.publication.close()
    hub.run(0.6)
    assert hub.hub.find("lobby") is hub.stream


def test_who_asks_for_a_stream_on_demand_waits_until_it_is_there(hub: HubUnderTest) -> None:
    wanted: list[str] = []

    def connect() -> None:
        wanted.append("camera")
        hub.loop.call_later(0.02, hub.hub.publish, "camera", [VIDEO])

    hub.hub.provide("camera", connect)
    found = hub.loop.run_until_complete(hub.hub.look_for("camera", 5.0))
    assert found is hub.hub.find("camera")
    assert wanted == ["camera"]
    assert hub.loop.run_until_complete(hub.hub.look_for("nobody", 5.0)) is None


def test_nobody_waits_for_ever(hub: HubUnderTest) -> None:
    hub.hub.provide("dead", lambda: None)
    assert hub.loop.run_until_complete(hub.hub.look_for("dead", 0.01)) is None


def test_a_stream_that_ends_says_goodbye(hub: HubUnderTest, viewer: Viewer) -> None:
    ended = []
    ssrc = hub.stream.tracks[0].ssrc
    reader = Reader(hub.stream, on_end=lambda: ended.append(True))
    reader.add(0, hub.udp, viewer.target)
    reader.prepare()
    reader.start()
    hub.hub.remove("lobby")
    assert ended == [True]
    packets = [packet for data in drain(viewer.rtcp) for packet in parse_rtcp(data)]
    assert Bye((ssrc,)) in packets


def test_a_viewer_hears_sender_reports_from_the_start(hub: HubUnderTest, viewer: Viewer) -> None:
    hub.send(0, batch(timestamp=0, keyframe=True))
    play(hub, viewer)
    before = time.time()
    (data,) = drain(viewer.rtcp)
    report = parse_rtcp(data)[0]
    assert isinstance(report, SenderReport)
    assert report.ssrc == hub.stream.tracks[0].ssrc
    assert report.packet_count == 1
    assert before - 1 < report.ntp_time <= before


def test_paused_viewers_get_nothing_and_come_back_at_a_keyframe(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    reader = play(hub, viewer)
    hub.send(0, batch(timestamp=0, keyframe=True))
    reader.pause()
    hub.send(0, batch(timestamp=3000))
    assert len(viewer.packets()) == 1
    reader.prepare()
    reader.start()
    hub.run(0.5)
    assert len(viewer.packets()) == 2


def test_a_lost_packet_is_sent_again_from_the_history(hub: HubUnderTest, viewer: Viewer) -> None:
    reader = play(hub, viewer)
    hub.send(0, batch(timestamp=0, packets=3, keyframe=True))
    packets = viewer.packets()
    assert reader.resend(packets[0].ssrc, [packets[1].sequence, packets[1].sequence + 900]) == 1
    assert viewer.packets() == [packets[1]]


class TcpViewer:
    """A viewer over TCP that reads only when told to."""

    def __init__(self, hub: HubUnderTest) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        self.socket.connect(listener.getsockname())
        self.socket.setblocking(False)
        self._server_side, _ = listener.accept()
        listener.close()
        self.failures: list[bool] = []
        self.sender = TcpSender(
            hub.loop, self._server_side, on_failure=lambda: self.failures.append(True)
        )
        self._data = bytearray()

    def read(self) -> list[tuple[int, bytes]]:
        try:
            while chunk := self.socket.recv(65536):
                self._data += chunk
        except BlockingIOError:
            pass
        frames = []
        while len(self._data) >= 4:
            assert self._data[0] == 0x24, "lost the frames' borders"
            size = int.from_bytes(self._data[2:4], "big")
            if len(self._data) < 4 + size:
                break
            frames.append((self._data[1], bytes(self._data[4 : 4 + size])))
            del self._data[: 4 + size]
        return frames

    def close(self) -> None:
        self.sender.close()
        self._server_side.close()
        self.socket.close()


@pytest.fixture
def tcp_viewer(hub: HubUnderTest) -> Iterator[TcpViewer]:
    viewer = TcpViewer(hub)
    yield viewer
    viewer.close()


def play_tcp(hub: HubUnderTest, viewer: TcpViewer) -> Reader:
    reader = Reader(hub.stream, on_end=lambda: None)
    reader.add(0, viewer.sender, TcpTarget(0, 1))
    reader.add(1, viewer.sender, TcpTarget(2, 3))
    reader.prepare()
    reader.start()
    return reader


def test_sound_goes_before_picture_in_one_flush(hub: HubUnderTest, tcp_viewer: TcpViewer) -> None:
    hub.send(0, batch(timestamp=0, keyframe=True))
    play_tcp(hub, tcp_viewer)
    hub.run(0.5)  # the picture has caught up
    tcp_viewer.read()
    hub.publication.write(0, batch(timestamp=3000, packets=2))
    hub.publication.write(1, batch(timestamp=960))
    hub.publication.flush()
    assert [channel for channel, _ in tcp_viewer.read()] == [2, 0, 0]


def test_a_viewer_that_stops_reading_disturbs_nobody_and_resumes_at_a_keyframe() -> None:
    with hub_under_test(Limits(reader_max_age_s=0.2)) as hub:
        stalled, reading = TcpViewer(hub), TcpViewer(hub)
        for each in (stalled, reading):
            play_tcp(hub, each)
        received = []
        for number in range(90):
            hub.send(
                0, batch(timestamp=number * 3000, packets=20, size=1200, keyframe=number % 15 == 0)
            )
            hub.send(1, batch(timestamp=number * 960))
            hub.run(0.01)
            received += reading.read()
        assert len([1 for channel, _ in received if channel == 0]) == 90 * 20
        skipped = hub.stream.skipped_packets
        assert skipped > 0
        frames = []
        for number in range(90, 120):
            hub.send(
                0, batch(timestamp=number * 3000, packets=20, size=1200, keyframe=number % 15 == 0)
            )
            hub.run(0.01)
            frames += stalled.read()
            received += reading.read()
        assert len([1 for channel, _ in received if channel == 0]) == 120 * 20
        pictures = [parse(data) for channel, data in frames if channel == 0]
        # What was skipped leaves no gap that anybody would ask for again…
        numbers = [p.sequence for p in pictures]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        # …and in the end the viewer is where everybody is.
        assert pictures[-1].timestamp == parse(received[-1][1]).timestamp
        assert len(numbers) < 120 * 20
        stalled.close()
        reading.close()


def test_a_broken_connection_is_reported_once(hub: HubUnderTest, tcp_viewer: TcpViewer) -> None:
    play_tcp(hub, tcp_viewer)
    tcp_viewer.socket.setsockopt(
        socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
    )
    tcp_viewer.socket.close()
    for number in range(5):
        hub.send(0, batch(timestamp=number * 3000, keyframe=number == 0))
    hub.run(0.01)
    assert tcp_viewer.failures == [True]


def test_what_the_server_adds_is_counted_for_each_batch_that_somebody_watches(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    hub.send(0, batch(timestamp=0, keyframe=True))
    assert hub.stream.added_latency.count == 0
    play(hub, viewer)
    hub.send(1, batch(timestamp=0), batch(timestamp=960))
    hub.send(0, batch(timestamp=3000))
    histogram = hub.stream.added_latency
    assert histogram.count == 3
    assert histogram.cumulative()[-1][1] == 3
    assert 0 < histogram.sum_s < 0.3
