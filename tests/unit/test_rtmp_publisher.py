"""From RTMP's messages to batches."""

from __future__ import annotations

import pytest
from rtmp_helpers import (
    AVC,
    DELTA,
    HEVC,
    IDR,
    OPUS,
    SOUND,
    FakeHub,
    audio_header,
    picture,
    video_header,
)

from streamsocket.errors import StreamSocketError
from streamsocket.media.aac import build_audio_specific_config
from streamsocket.media.codec import H264, Aac, Kind
from streamsocket.rtmp import flv
from streamsocket.rtmp.publisher import Publisher
from streamsocket.rtp.payload import depacketizer

_EPOCH = 1_700_000_000.0


class Session:
    """A publisher whose messages arrive when their timestamps say, a tenth of a second late."""

    def __init__(self, hub: FakeHub) -> None:
        self.publisher = Publisher("lobby", hub.publish)

    def send(self, kind: Kind, milliseconds: int, body: bytes, late_s: float = 0.1) -> None:
        now = milliseconds / 1000 + late_s
        self.publisher.receive(kind, milliseconds, body, now=now, arrival=_EPOCH + now)

    def headers(self) -> None:
        self.send("video", 0, video_header())
        self.send("audio", 0, audio_header())

    def sound(self, milliseconds: int) -> None:
        self.send("audio", milliseconds, flv.audio_frame("aac", b"\x21\x10"))


@pytest.fixture
def hub() -> FakeHub:
    return FakeHub()


@pytest.fixture
def session(hub: FakeHub) -> Session:
    return Session(hub)


def test_both_tracks_are_published_once_they_are_known(session: Session, hub: FakeHub) -> None:
    session.publisher.announce(flv.Announced(True, True, 30_000 / 1001))
    session.headers()
    assert not hub.published
    session.send("video", 0, picture(IDR, keyframe=True))
    assert not hub.published
    session.sound(0)
    (published,) = hub.published
    assert [track.codec for track in published.tracks] == [AVC, SOUND]
    assert str(published.tracks[0].frame_rate) == "30000/1001"
    assert published.tracks[1].frame_rate is None
    assert [len(batches) for batches in published.batches] == [1, 1]
    session.send("video", 40, picture(DELTA))
    assert [batch.timestamp for batch in published.batches[0]] == [0, 3600]
    assert [batch.keyframe for batch in published.batches[0]] == [True, False]


def test_keyframes_carry_their_parameter_sets(session: Session, hub: FakeHub) -> None:
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True))
    session.sound(0)
    (batch,) = hub.published[0].batches[0]
    depacketize = depacketizer(H264(b"", b""))
    units = []
    for packet in batch.packets():
        marker = bool(packet[1] & 0x80)
        units += depacketize.push(packet[12:], batch.timestamp, marker, gap=False)
    assert units[0].units == [AVC.sps, AVC.pps, IDR]


@pytest.mark.parametrize("announced", [flv.Announced(True, False), flv.Announced()])
def test_a_track_alone(session: Session, hub: FakeHub, announced: flv.Announced) -> None:
    session.publisher.announce(announced)
    session.send("video", 0, video_header())
    for milliseconds in range(0, 1000, 40):
        session.send("video", milliseconds, picture(IDR, keyframe=True))
        if not hub.published:
            assert announced.audio is None  # then it is waited for
    session.publisher.poll(1.2)
    assert [track.codec for track in hub.published[0].tracks] == [AVC]
    assert len(hub.published[0].batches[0]) == 25


def test_a_second_track_is_waited_for_no_longer_than_a_second(
    session: Session, hub: FakeHub
) -> None:
    session.publisher.announce(flv.Announced(True, True))
    session.send("audio", 0, audio_header())
    session.sound(0)
    session.publisher.poll(1.0)
    assert not hub.published
    session.publisher.poll(1.11)
    assert [track.codec for track in hub.published[0].tracks] == [SOUND]
    # And then its time is over.
    session.send("video", 1200, video_header())
    session.send("video", 1200, picture(IDR, keyframe=True))
    assert len(hub.published) == 1
    assert len(hub.published[0].batches[0]) == 1


def test_b_frames(session: Session, hub: FakeHub) -> None:
    """Presented by composition time, captured by decoding time, never after they arrived."""
    session.headers()
    session.sound(80)
    for index, composition in enumerate([80, 160, 40, 40]):
        assert not hub.published
        body = picture(IDR if not index else DELTA, keyframe=not index, composition_ms=composition)
        session.send("video", 40 * index, body)
    (published,) = hub.published
    video, audio = published.batches
    assert [batch.timestamp for batch in video] == [90 * each for each in (80, 200, 120, 160)]
    captured = [batch.capture_time - _EPOCH for batch in video]
    # Arrival is 100 ms after decoding; the longest composition is 160 ms.
    assert captured == pytest.approx([0.02, 0.14, 0.06, 0.1], abs=1e-3)
    # Sound of the same time has the same time.
    assert audio[0].capture_time - _EPOCH == pytest.approx(0.02, abs=1e-3)


def test_sound_has_exact_timestamps(session: Session, hub: FakeHub) -> None:
    session.publisher.announce(flv.Announced(False, True))
    session.send("audio", 0, audio_header())
    for index in range(200):
        session.sound(round(index * 1024 / 44.1))
    assert [batch.timestamp for batch in hub.published[0].batches[0]] == [
        1024 * index for index in range(200)
    ]


def test_h265_and_opus(session: Session, hub: FakeHub) -> None:
    session.send("video", 0, video_header(HEVC))
    session.send("audio", 0, audio_header(OPUS))
    idr = b"\x00\x00\x00\x06\x26\x01\xaf\x08\x40\x10"
    body = flv.video_frame("h265", idr, keyframe=True, composition_ms=0)
    session.send("video", 0, body)
    for milliseconds in (0, 20, 40):
        session.send("audio", milliseconds, flv.audio_frame("opus", b"\xfc\x01\x02"))
    (published,) = hub.published
    assert [track.codec for track in published.tracks] == [HEVC, OPUS]
    assert published.batches[0][0].keyframe
    assert [batch.timestamp for batch in published.batches[1]] == [0, 960, 1920]


def test_jumping_timestamps_go_on(session: Session, hub: FakeHub) -> None:
    session.headers()
    for milliseconds in range(0, 2000, 40):
        session.send("video", milliseconds, picture(IDR, keyframe=True))
        session.sound(milliseconds)
    for milliseconds in range(0, 1000, 40):  # both begin again at 0
        session.send("video", milliseconds, picture(IDR, keyframe=True), late_s=2.1)
        session.send("audio", milliseconds, flv.audio_frame("aac", b"\x21\x10"), late_s=2.1)
    (published,) = hub.published
    video, audio = published.batches
    assert [batch.timestamp for batch in video] == [3600 * index for index in range(75)]
    times = [batch.timestamp / 44_100 for batch in audio]
    assert times == pytest.approx([0.04 * index for index in range(75)], abs=0.1)
    assert session.publisher.timestamps.repairs == 1


def test_a_new_configuration_is_followed(session: Session, hub: FakeHub) -> None:
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True))
    session.sound(0)
    session.headers()  # encoders repeat them
    assert len(hub.published) == 1
    sound = Aac(build_audio_specific_config(48_000, 1))
    session.send("audio", 20, audio_header(sound))
    session.send("audio", 20, flv.audio_frame("aac", b"\x21\x10"))
    first, second = hub.published
    assert first.closed
    assert [track.codec for track in second.tracks] == [AVC, sound]
    assert [len(batches) for batches in second.batches] == [0, 1]


@pytest.mark.parametrize(
    ("kind", "body", "sentence"),
    [
        (
            "video",
            b"\x90av01",
            "The picture is AV1, which is not taken here: choose H.264 or H.265.",
        ),
        ("audio", b"\x2f\xff", "The sound is MP3, which is not taken here: choose AAC or Opus."),
    ],
)
def test_other_codecs_are_refused(session: Session, kind: Kind, body: bytes, sentence: str) -> None:
    with pytest.raises(StreamSocketError, match=sentence):
        session.send(kind, 0, body)


def test_what_makes_no_sense_is_left_out_and_counted(session: Session, hub: FakeHub) -> None:
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True))
    session.sound(0)
    broken = [
        video_header()[:9],
        flv.video_frame("h264", b"\x00\x00\x01", keyframe=False, composition_ms=0),
    ]
    for body in broken:
        session.send("video", 40, body)
    session.send("video", 40, flv.video_frame("h264", b"", keyframe=False, composition_ms=0))
    assert session.publisher.malformed == 3
    session.send("video", 80, picture(DELTA))
    assert len(hub.published[0].batches[0]) == 2


def test_media_before_its_configuration_is_left_out(session: Session, hub: FakeHub) -> None:
    session.send("video", 0, picture(IDR, keyframe=True))
    session.sound(0)
    session.publisher.poll(100.0)
    assert not hub.published


def test_a_composition_time_that_cannot_be_is_left_out(session: Session, hub: FakeHub) -> None:
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True, composition_ms=1 << 22))
    session.sound(0)
    assert hub.published[0].batches[0][0].timestamp == 0


def test_a_taken_name_is_told(session: Session, hub: FakeHub) -> None:
    hub.taken = StreamSocketError("Somebody publishes 'lobby' already.")
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True))
    with pytest.raises(StreamSocketError, match="already"):
        session.sound(0)


def test_leaving(session: Session, hub: FakeHub) -> None:
    session.headers()
    session.send("video", 0, picture(IDR, keyframe=True))
    session.sound(0)
    session.publisher.flush()
    assert hub.published[0].flushes == 1
    session.publisher.close()
    assert hub.published[0].closed
    session.send("video", 40, picture(DELTA))
    assert not session.publisher.started
