"""Renditions in a stream: tracks that somebody makes of those that are published."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pytest
from hub_helpers import HubUnderTest, Viewer, batch, hub_under_test

from streamsocket.hub.reader import Reader
from streamsocket.hub.track import StreamTrack
from streamsocket.media.codec import Track, Vp8


class RecordingMaker:
    """Notes what the hub asks of it."""

    def __init__(self, source: StreamTrack) -> None:
        self.source = source
        self.asked: list[str] = []

    def wanted(self) -> None:
        self.asked.append("wanted")

    def request_keyframe(self) -> None:
        self.asked.append("keyframe")


@pytest.fixture
def hub() -> Iterator[HubUnderTest]:
    with hub_under_test(segmentation=False) as under_test:
        yield under_test


@pytest.fixture
def viewer() -> Iterator[Viewer]:
    viewer = Viewer()
    yield viewer
    viewer.close()


def play(hub: HubUnderTest, viewer: Viewer, track: int) -> Reader:
    reader = Reader(hub.stream, on_end=lambda: None)
    reader.add(track, hub.udp, viewer.target)
    reader.prepare()
    reader.start()
    return reader


def rendition_of(hub: HubUnderTest) -> tuple[StreamTrack, RecordingMaker]:
    maker = RecordingMaker(hub.stream.tracks[0])
    return hub.stream.add_rendition(Track(Vp8()), maker), maker


def test_a_rendition_is_one_more_track_with_an_index_of_its_own(hub: HubUnderTest) -> None:
    rendition, _ = rendition_of(hub)
    assert rendition.index == len(hub.stream.tracks)
    assert hub.stream.track(rendition.index) is rendition
    assert rendition not in hub.stream.tracks
    assert rendition.ssrc not in {track.ssrc for track in hub.stream.tracks}
    with pytest.raises(IndexError):
        hub.stream.track(rendition.index + 1)


def test_its_viewers_get_it_and_the_others_do_not(hub: HubUnderTest, viewer: Viewer) -> None:
    rendition, _ = rendition_of(hub)
    other = Viewer()
    play(hub, viewer, rendition.index)
    play(hub, other, 0)
    hub.stream.take_rendition(rendition, [batch(timestamp=0, packets=2, keyframe=True)], 1.0)
    packets = viewer.packets()
    assert [packet.marker for packet in packets] == [False, True]
    assert {packet.payload_type for packet in packets} == {96 + rendition.index}
    assert other.packets() == []
    other.close()


def test_the_same_moment_has_the_same_place_in_both_timelines(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    hub.send(0, batch(timestamp=7000, keyframe=True))
    source = hub.stream.tracks[0]
    assert source.latest
    since_beginning = source.latest.timestamp - source.place(0.0)
    rendition, _ = rendition_of(hub)
    hub.stream.take_rendition(
        rendition, [batch(timestamp=since_beginning, keyframe=True, capture_time=5.0)], 1.0
    )
    assert rendition.latest
    assert rendition.latest.timestamp == rendition.place(since_beginning / 90_000)


def test_who_plays_before_anything_was_made_is_told_where_it_will_begin(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    rendition, _ = rendition_of(hub)
    published = hub.stream.tracks[1]
    hub.send(0, batch(timestamp=0, keyframe=True, capture_time=100.0))
    hub.send(0, batch(timestamp=630_000, capture_time=107.0))
    hub.send(1, batch(timestamp=336_000, capture_time=107.0))
    reader = Reader(hub.stream, on_end=lambda: None)
    for track in (rendition, published):
        reader.add(track.index, hub.udp, viewer.target)
    expected = [rendition.place(7.0), published.latest_timestamp]
    assert [each.timestamp for each in reader.prepare()] == expected
    made = batch(timestamp=90_000, keyframe=True, capture_time=101.0)
    hub.stream.take_rendition(rendition, [made], 1.0)
    assert rendition.latest_timestamp == rendition.place(1.0)
    rendition.pause()  # and begun again: it isn't told of what is long over
    assert [each.timestamp for each in reader.prepare()] == expected


def test_the_maker_is_told_who_watches_and_who_needs_a_keyframe(
    hub: HubUnderTest, viewer: Viewer
) -> None:
    rendition, maker = rendition_of(hub)
    asked_publisher: list[None] = []
    hub.publication.request_keyframe = lambda: asked_publisher.append(None)
    reader = play(hub, viewer, rendition.index)
    assert maker.asked == ["wanted", "keyframe"]
    reader.request_keyframe()
    assert maker.asked == ["wanted", "keyframe"], "once a second is enough"
    assert asked_publisher == []
    hub.stream.request_keyframe()
    assert asked_publisher == [None]


def test_taps_see_renditions_beside_what_is_published(hub: HubUnderTest) -> None:
    rendition, _ = rendition_of(hub)
    seen: list[StreamTrack] = []

    def tap(tracks: Sequence[StreamTrack]) -> None:
        seen.extend(tracks)

    hub.stream.taps.append(tap)
    hub.stream.take_rendition(rendition, [batch(timestamp=0, keyframe=True)], 1.0)
    hub.send(0, batch(timestamp=0, keyframe=True))
    assert seen == [rendition, hub.stream.tracks[0]]


def test_pictures_out_of_order_are_noticed(hub: HubUnderTest) -> None:
    for timestamp, keyframe in ((0, True), (9000, False), (3000, False)):
        assert not hub.stream.tracks[0].reorders
        hub.send(0, batch(timestamp=timestamp, keyframe=keyframe))
    assert hub.stream.tracks[0].reorders
