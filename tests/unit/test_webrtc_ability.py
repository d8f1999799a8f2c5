"""What browsers can play, by their own offers."""

from __future__ import annotations

import pytest
from tests.unit.test_media_h265 import PPS, SPS, VPS
from webrtc_helpers import offer_text

from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.match import NothingFitsError, Pick, match
from streamsocket.matching.target import Target
from streamsocket.media.codec import (
    G711,
    H264,
    H265,
    L16,
    Aac,
    Av1,
    Codec,
    Mjpeg,
    Opus,
    Vp8,
    Vp9,
)
from streamsocket.webrtc import sdp
from streamsocket.webrtc.ability import ability_of

TO_H264, TO_VP8, TO_OPUS = Target("h264"), Target("vp8"), Target("opus", channels=2)


def h264(profile_level_id: str) -> H264:
    return H264(b"\x67" + bytes.fromhex(profile_level_id) + b"\x00", b"\x68\xce")


BASELINE, MAIN, HIGH = h264("42c01f"), h264("4d401f"), h264("640028")
HIGH_10, HIGH_422, HIGH_444 = h264("6e0028"), h264("7a0028"), h264("f40028")
HEVC = H265(VPS, SPS, PPS)
AAC = Aac(bytes.fromhex("1190"))
SURROUND = Aac(bytes.fromhex("11b0"))


def ability(name: str, *, without: str | None = None) -> Ability:
    """What a real peer's offer says, perhaps without the section of one kind."""
    text = offer_text(name)
    if without:
        session, *sections = text.split("\r\nm=")
        sections = [section for section in sections if not section.startswith(without)]
        text = "\r\nm=".join([session, *sections])
        kept = 0 if without == "audio" else 1
        text = text.replace("a=group:BUNDLE 0 1", f"a=group:BUNDLE {kept}")
    return ability_of(sdp.parse_offer(text))


def outcome(name: str, codec: Codec, *, reorders: bool = False) -> Target | None:
    """What one track is turned into for a peer."""
    [pick] = match([Form(codec, reorders)], ability(name))
    return pick.target


@pytest.mark.parametrize("codec", [BASELINE, MAIN, HIGH, Vp8(), Vp9(), Vp9(profile=2), Av1()])
def test_chromium_plays_as_they_are(codec: Codec) -> None:
    assert outcome("chromium_recvonly", codec) is None


@pytest.mark.parametrize("codec", [HIGH_10, HIGH_422, HIGH_444])
def test_chromium_plays_the_rare_profiles_too(codec: Codec) -> None:
    assert outcome("chromium_recvonly", codec) is None  # it offers 4:4:4, which is the most


@pytest.mark.parametrize("codec", [HEVC, Mjpeg()])
def test_chromium_gets_h264_for_what_it_does_not_play(codec: Codec) -> None:
    assert outcome("chromium_recvonly", codec) == TO_H264


@pytest.mark.parametrize("codec", [Vp8(), Vp9(), Av1()])
def test_firefox_without_h264_plays_as_they_are(codec: Codec) -> None:
    assert outcome("firefox_recvonly", codec) is None


@pytest.mark.parametrize("codec", [BASELINE, HIGH, HEVC, Mjpeg()])
def test_firefox_without_h264_gets_vp8_for_the_rest(codec: Codec) -> None:
    assert outcome("firefox_recvonly", codec) == TO_VP8


@pytest.mark.parametrize("browser", ["chromium_recvonly", "firefox_recvonly"])
def test_sound_becomes_opus_where_it_has_to(browser: str) -> None:
    assert outcome(browser, Opus()) is None
    assert outcome(browser, G711("pcmu")) is None
    assert outcome(browser, G711("pcma")) is None
    for codec in (AAC, SURROUND, L16(48_000, 2), G711("pcmu", 16_000), G711("pcma", 8_000, 2)):
        assert outcome(browser, codec) == TO_OPUS


def test_b_frames_are_taken_out_whatever_the_profile() -> None:
    for codec in (MAIN, HIGH):
        assert outcome("chromium_recvonly", codec, reorders=True) == TO_H264


@pytest.mark.parametrize(
    ("codec", "profile"), [(HIGH_10, "high 10"), (HIGH_422, "high 4:2:2"), (HIGH_444, "high 4:4:4")]
)
def test_rare_profiles_are_named_where_they_were_not_promised(codec: H264, profile: str) -> None:
    objection = ability("aiortc_recvonly").objection(Form(codec))
    assert objection == f"The picture is H.264 of the profile {profile}."


def test_a_common_profile_passes_though_it_was_not_promised() -> None:
    assert ability("aiortc_recvonly").objection(Form(HIGH)) is None


@pytest.mark.parametrize(
    ("without", "left"), [("video", [Pick(1, TO_OPUS)]), ("audio", [Pick(0, TO_H264)])]
)
def test_a_kind_without_a_section_is_left_out(without: str, left: list[Pick]) -> None:
    forms = [Form(HIGH, reorders=True), Form(AAC)]
    assert match(forms, ability("chromium_recvonly", without=without)) == left


def test_without_a_section_for_anything_the_refusal_says_so() -> None:
    with pytest.raises(NothingFitsError, match="has audio, for which the viewer has no place"):
        match([Form(AAC)], ability("chromium_recvonly", without="audio"))


def test_who_only_sends_can_be_sent_nothing() -> None:
    assert ability("chromium_sendonly").instead == {}


def test_where_nothing_may_be_made_the_refusal_says_what_would_help() -> None:
    with pytest.raises(NothingFitsError) as refusal:
        match([Form(HIGH, reorders=True)], ability("chromium_recvonly"), converts=False)
    assert str(refusal.value) == (
        "The pictures come in another order than they are shown in (B-frames). "
        "Publish it as H.264, or switch transcoding on."
    )


def test_parameters_that_cannot_be_read_are_said_to_be_broken() -> None:
    objection = ability("chromium_recvonly").objection(Form(H265(VPS, b"\x42\x01\x01", PPS)))
    assert objection == "The video's parameters are broken."
