"""What RTSP players can play: by the query, or by what players like them are known for."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.matching.ability import Form
from streamsocket.matching.match import Pick, match
from streamsocket.matching.target import Target
from streamsocket.media.codec import H264, Aac, Opus, Vp8
from streamsocket.rtsp.ability import ability_of

PICTURE, SOUND = Form(Vp8()), Form(Opus())
H264_PICTURE = Form(H264(b"\x67\x42\xc0\x1f", b"\x68\xce"), reorders=True)
AAC_SOUND = Form(Aac(bytes.fromhex("1190")))


@pytest.mark.parametrize(
    "player",
    ["Lavf59.27.100", "GStreamer/1.22.0", "LibVLC/3.0.20 (LIVE555 …)", "StreamSocket/0.1"],
)
def test_players_that_know_vp8_get_it(player: str) -> None:
    assert match([PICTURE, SOUND], ability_of("", player)) == [Pick(0), Pick(1)]


@pytest.mark.parametrize("player", ["", "Hikvision NVR", "Lav f"])
def test_others_get_h264(player: str) -> None:
    assert match([PICTURE, SOUND], ability_of("", player)) == [Pick(0, Target("h264")), Pick(1)]


def test_pictures_with_b_frames_and_aac_pass() -> None:
    assert match([H264_PICTURE, AAC_SOUND], ability_of("", "")) == [Pick(0), Pick(1)]


def test_the_query_names_what_is_wanted() -> None:
    ability = ability_of("profile=avpf&video=h264&audio=opus", "Lavf59.27.100")
    assert match([PICTURE, AAC_SOUND], ability) == [
        Pick(0, Target("h264")),
        Pick(1, Target("opus", channels=2)),
    ]


def test_of_several_the_one_that_is_there_passes() -> None:
    assert match([PICTURE, SOUND], ability_of("video=h264,VP8", "")) == [Pick(0), Pick(1)]


def test_only_vp8_is_made_where_only_that_is_wanted() -> None:
    picks = match([H264_PICTURE, AAC_SOUND], ability_of("video=vp8", ""))
    assert picks == [Pick(0, Target("vp8")), Pick(1)]


@pytest.mark.parametrize(
    ("player", "passes"),
    [("Lavf61.7.100", True), ("Lavf61.1.100", False), ("Lavf62", False), ("StreamSocket", True)],
)
def test_av1_is_for_those_who_are_known_to_take_it(player: str, passes: bool) -> None:
    from streamsocket.media.codec import Av1

    picks = match([Form(Av1())], ability_of("", player))
    assert (picks == [Pick(0)]) is passes


@pytest.mark.parametrize("query", ["video=theora", "audio=aac,mp3", "video=aac"])
def test_unknown_codecs_are_refused_by_name(query: str) -> None:
    with pytest.raises(ParseError, match=r"is no (video|audio) codec that there is here: name"):
        ability_of(query, "")


def test_a_query_without_end_is_refused() -> None:
    with pytest.raises(ParseError, match="more than 20 parts"):
        ability_of("a=b&" * 30, "")


@pytest.mark.parametrize("query", ["", "a=b", "video=", "&&&", "video", "%ff=%ff"])
def test_other_queries_mean_nothing(query: str) -> None:
    assert match([H264_PICTURE, AAC_SOUND], ability_of(query, "")) == [Pick(0), Pick(1)]
