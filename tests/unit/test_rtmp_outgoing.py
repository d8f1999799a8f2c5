"""Access units as RTMP's messages."""

from __future__ import annotations

from fractions import Fraction

import pytest
from rtmp_helpers import AVC, DELTA, HEVC, IDR, OPUS, SOUND, audio_header, video_header

from streamsocket.errors import StreamSocketError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, Mjpeg, Track, Vp8
from streamsocket.rtmp import flv
from streamsocket.rtmp.outgoing import OutgoingTracks, metadata


def test_the_configuration_goes_before_the_first_picture_and_when_it_changes() -> None:
    tracks = OutgoingTracks([Track(AVC)])
    assert tracks.messages(0, AccessUnit([DELTA], 0, keyframe=False), 0) == []
    first, second = tracks.messages(0, AccessUnit([IDR], 7200 + 3600), 3600)
    assert first.body == video_header()
    assert first.configuration
    assert (second.timestamp, second.keyframe) == (540, True)
    tag = flv.parse_video(second.body)
    assert tag
    assert (tag.composition_ms, tag.data) == (80, b"\x00\x00\x00\x04" + IDR)

    (third,) = tracks.messages(0, AccessUnit([AVC.sps, AVC.pps, IDR], 14_400), 14_400)
    assert not third.configuration
    pps = AVC.pps + b"\x80"
    changed, _ = tracks.messages(0, AccessUnit([pps, IDR], 18_000), 18_000)
    assert changed.body == video_header(H264(AVC.sps, pps))


def test_parameter_sets_may_come_in_band_only() -> None:
    tracks = OutgoingTracks([Track(H264(b"", b""))])
    assert tracks.messages(0, AccessUnit([IDR], 0), 0) == []
    configuration, _ = tracks.messages(0, AccessUnit([AVC.sps, AVC.pps, IDR], 0), 0)
    assert configuration.body == video_header()


def test_both_tracks_count_from_the_same_moment() -> None:
    tracks = OutgoingTracks([Track(HEVC), Track(OPUS)])
    unit = AccessUnit([b"\x26\x01\xaf"], 90_000)
    configuration, frame = tracks.messages(0, unit, 90_000)
    assert configuration.body == video_header(HEVC)
    assert frame.body[:5] == b"\x93hvc1"
    configuration, sound = tracks.messages(1, AccessUnit([b"\xfc\x01"], 47_040), 47_040)
    assert configuration.body == audio_header(OPUS)
    assert (frame.timestamp, sound.timestamp) == (500, 480)  # 20 ms before the picture
    (sound,) = tracks.messages(1, AccessUnit([b"\xfc\x01"], 0), 0)
    assert sound.timestamp == 0


def test_rounding_does_not_add_up() -> None:
    tracks = OutgoingTracks([Track(SOUND)])
    stamps = [
        tracks.messages(0, AccessUnit([b"\x21"], 1024 * index), 1024 * index)[-1].timestamp
        for index in range(1000)
    ]
    assert stamps == [500 + round(Fraction(1024 * index * 1000, 44_100)) for index in range(1000)]


def test_metadata() -> None:
    fields = metadata([Track(HEVC, Fraction(30_000, 1001)), Track(SOUND)])
    assert fields == {
        "videocodecid": float(0x68766331),
        "width": 320.0,
        "height": 180.0,
        "framerate": pytest.approx(29.97, abs=0.001),
        "audiocodecid": 10.0,
        "audiosamplerate": 44_100.0,
        "stereo": True,
    }
    assert metadata([Track(H264(b"", b""))]) == {"videocodecid": 7.0}


@pytest.mark.parametrize("codec", [Vp8(), Mjpeg(), G711("pcmu")])
def test_other_codecs_have_no_place(codec: Vp8 | Mjpeg | G711) -> None:
    with pytest.raises(StreamSocketError, match=f"no place for {codec.name}"):
        OutgoingTracks([Track(codec)])
