"""What of an offer is taken up."""

from __future__ import annotations

import pytest
from tests.unit.test_media_av1 import sequence_header
from webrtc_helpers import offer_text

from streamsocket.media.codec import Av1, Codec, Track, Vp8, Vp9
from streamsocket.webrtc import sdp
from streamsocket.webrtc.negotiation import NothingFitsError, plan_publishing, plan_watching


def offer(name: str, *wanted: int) -> sdp.Description:
    """A peer's offer, with these formats of the picture alone."""
    read = sdp.parse_offer(offer_text(name))
    for media in read.medias:
        if media.kind == "video" and wanted:
            by_number = {each.payload_type: each for each in media.formats}
            media.formats = [by_number[number] for number in wanted]
    return read


@pytest.mark.parametrize(
    ("name", "wanted", "codec"),
    [
        ("chromium_sendonly", (98, 99), Vp9()),
        ("chromium_sendonly", (100, 101), Vp9(profile=2)),
        ("chromium_sendonly", (100, 101, 98, 99), Vp9(profile=2)),
        ("chromium_sendonly", (45, 46, 98, 99), Av1()),
        ("firefox_sendonly", (121, 99), Vp9()),
        ("firefox_sendonly", (), Vp8()),
    ],
)
def test_publishers_without_h264_send_what_they_prefer(
    name: str, wanted: tuple[int, ...], codec: Codec
) -> None:
    [picture, *_] = plan_publishing(offer(name, *wanted)).tracks
    assert picture.codec == codec
    if wanted:
        assert picture.choice.payload_type == wanted[0]


@pytest.mark.parametrize(
    ("codec", "payload_type"),
    [(Vp9(), 98), (Vp9((640, 480), 2), 100), (Av1(), 45), (Av1(sequence_header()), 45)],
)
def test_viewers_are_sent_what_they_decode(codec: Codec, payload_type: int) -> None:
    plan = plan_watching(offer("chromium_recvonly"), [(0, Track(codec), 1)])
    assert [watched.choice.payload_type for watched in plan.tracks] == [payload_type]


def test_a_profile_that_a_viewer_lacks_is_explained() -> None:
    with pytest.raises(NothingFitsError, match="The track is VP9"):
        plan_watching(offer("firefox_recvonly"), [(0, Track(Vp9(profile=2)), 1)])


def test_publishers_are_asked_for_opus_in_stereo_with_fec() -> None:
    plan = plan_publishing(offer("chromium_sendonly"))
    [opus] = [
        each.choice.format.parameters
        for each in plan.accepted.values()
        if each.choice.format.encoding == "opus"
    ]
    assert opus == {"minptime": "10", "useinbandfec": "1", "stereo": "1"}
