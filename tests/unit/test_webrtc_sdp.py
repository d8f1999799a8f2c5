"""Offers of real peers are read and answered; what can't work is refused with its reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from webrtc_helpers import OFFERS, offer_text

from streamsocket.errors import ParseError
from streamsocket.webrtc import sdp, sdp_answer, sdp_fragment
from streamsocket.webrtc.candidate import host_candidates
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.codec_choice import Encoding, choose, choose_any
from streamsocket.webrtc.header_extensions import ExtensionUri
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.sdp import Description, Format
from streamsocket.webrtc.sdp_answer import Accepted, Sending, Transport

FINGERPRINT = Fingerprint("sha-256", bytes(range(32)))
TRANSPORT = Transport(
    Credentials("ours", "p" * 24),
    FINGERPRINT,
    host_candidates([("192.0.2.1", 8189)], [("192.0.2.1", 8189)]),
)
H264 = Encoding("h264", parameters={"packetization-mode": "1", "profile-level-id": "42c01f"})


@pytest.mark.parametrize("name", OFFERS)
def test_every_offer_is_read(name: str) -> None:
    offer = sdp.parse_offer(offer_text(name))
    transport = offer.transport
    assert transport.credentials is not None
    assert transport.fingerprints
    assert transport.setup in ("actpass", "passive")
    assert [media.mid for media in offer.medias] == ["0", "1"]
    for media in offer.medias:
        assert offer.bundled(media)
        if media.is_rtp:
            assert media.rtcp_mux
            assert media.formats
            assert len(media.formats) == len(media.format_names.split())


def test_what_chromium_offers_to_watch_with() -> None:
    video, audio = sdp.parse_offer(offer_text("chromium_recvonly")).medias
    assert (video.kind, video.direction, audio.direction) == ("video", "recvonly", "recvonly")
    assert video.ice_options == {"trickle"}
    vp8 = video.formats[0]
    assert (vp8.payload_type, vp8.encoding, vp8.clock_rate) == (96, "VP8", 90_000)
    assert vp8.feedback == ("goog-remb", "transport-cc", "ccm fir", "nack", "nack pli")
    assert audio.formats[0] == Format(
        111, "opus", 48_000, 2, "minptime=10;useinbandfec=1", ("transport-cc",)
    )
    assert audio.formats[0].parameters == {"minptime": "10", "useinbandfec": "1"}
    ids = {each.uri: each.number for each in video.extensions}
    assert ids[ExtensionUri.ABS_SEND_TIME] == 2
    assert ids[ExtensionUri.TRANSPORT_SEQUENCE] == 4


def test_what_chromium_publishes() -> None:
    audio, video = sdp.parse_offer(offer_text("chromium_sendonly")).medias
    assert audio.msid is not None
    assert video.msid is not None
    assert audio.msid[0] == video.msid[0]
    ssrc, rtx = video.source_groups[0][1]
    assert video.repairs(ssrc) == rtx
    assert video.repairs(rtx) is None
    assert list(video.sources) == [ssrc, rtx]
    assert video.sources[ssrc] == audio.sources[next(iter(audio.sources))] != ""


@pytest.mark.parametrize("name", ["chromium_simulcast", "firefox_simulcast"])
def test_simulcast_is_read(name: str) -> None:
    video, data = sdp.parse_offer(offer_text(name)).medias
    assert video.rids == [("h", "send"), ("l", "send")]
    assert video.simulcast == "send h;l"
    assert (data.kind, data.format_names) == ("application", "webrtc-datachannel")
    assert not data.is_rtp


def test_firefox_describes_the_transport_in_the_session() -> None:
    offer = sdp.parse_offer(offer_text("firefox_recvonly"))
    assert all(media.fingerprints and media.credentials for media in offer.medias)
    video = offer.medias[0]
    assert video.direction == "recvonly"
    assert video.end_of_candidates
    assert {each.transport for each in video.candidates} == {"udp", "tcp"}
    assert video.extensions[3].direction == "recvonly"


def test_obs_says_everything_of_ice_in_the_session() -> None:
    offer = sdp.parse_offer(offer_text("obs_whip"))
    assert offer.transport.credentials == Credentials("JLvv", "AVQo+aTrh2UHIfcZiaNfD9")
    assert offer.transport.ice_options == {"ice2", "trickle"}
    assert offer.transport.setup == "actpass"


def test_several_fingerprints() -> None:
    offer = sdp.parse_offer(offer_text("aiortc_recvonly"))
    algorithms = [each.algorithm for each in offer.transport.fingerprints]
    assert algorithms == ["sha-256", "sha-384", "sha-512"]
    text = offer_text("obs_whip").replace("a=setup", "a=fingerprint:sha-1 00:11\r\na=setup")
    assert len(sdp.parse_offer(text).transport.fingerprints) == 1


# What is answered


def _accept_all(offer: Description) -> dict[int, Accepted]:
    """Send H.264 or VP8 and Opus to those who watch, take everything from those who publish."""
    accepted = {}
    ours = [H264, Encoding("vp8"), Encoding("opus", 48_000, 2)]
    for index, media in enumerate(offer.medias):
        choice = choose_any(ours, media.formats)
        if choice and media.direction == "sendonly":
            accepted[index] = Accepted(choice, "recvonly")
        elif choice:
            sending = Sending(100 + index, "stream", f"track{index}", "cname", 200 + index)
            accepted[index] = Accepted(
                choice, "sendonly", sending, extensions=sdp_answer.SENT_EXTENSIONS
            )
    return accepted


def _answer(name: str) -> tuple[Description, Description, str]:
    offer = sdp.parse_offer(offer_text(name))
    text = sdp_answer.build(offer, _accept_all(offer), TRANSPORT, session_id=7)
    return offer, sdp.parse(text), text


@pytest.mark.parametrize("name", OFFERS)
def test_an_answer_has_the_offers_sections_and_nothing_that_was_not_offered(name: str) -> None:
    offer, answer, text = _answer(name)
    assert answer.ice_lite
    sdp.check(answer)
    assert [(m.kind, m.mid, m.protocol) for m in answer.medias] == [
        (m.kind, m.mid, m.protocol) for m in offer.medias
    ]
    for offered, answered in zip(offer.medias, answer.medias, strict=True):
        if answered.rejected:
            assert answered.kind == "application"
            assert answered.format_names == offered.format_names
            assert answered.mid not in answer.bundle
            continue
        by_number = {each.payload_type: each for each in offered.formats}
        for each in answered.formats:
            there = by_number[each.payload_type]
            assert (each.encoding, each.fmtp) == (there.encoding, there.fmtp)
            assert set(each.feedback) <= set(there.feedback)
        numbers = {(each.number, each.uri) for each in offered.extensions}
        assert {(each.number, each.uri) for each in answered.extensions} <= numbers
        assert answered.setup == ("active" if name == "ffmpeg_whip" else "passive")
        assert answered.fingerprints == [FINGERPRINT]
        assert answered.credentials == TRANSPORT.credentials
        assert answered.rtcp_rsize == offered.rtcp_rsize
        assert not answered.simulcast
        assert not answered.rids
        assert answered.direction == ("recvonly" if offered.direction == "sendonly" else "sendonly")
    assert [bool(media.candidates) for media in answer.medias] == [True, False]
    assert answer.transport.candidates == TRANSPORT.candidates
    assert text.endswith("\r\n")
    assert all(re.fullmatch("[a-z]=.+", line) for line in text.splitlines())


def test_sound_and_picture_for_a_viewer_are_one_stream() -> None:
    _, answer, text = _answer("chromium_recvonly")
    video, audio = answer.medias
    assert video.msid == ("stream", "track0")
    assert audio.msid == ("stream", "track1")
    assert "a=msid-semantic: WMS stream\r\n" in text
    assert video.repairs(100) == 200
    assert video.sources == {100: "cname", 200: "cname"}
    assert audio.sources == {101: "cname"}, "nothing repairs sound"
    assert [each.encoding for each in video.formats] == ["VP8", "rtx"]
    assert video.formats[0].feedback == ("goog-remb", "ccm fir", "nack", "nack pli")
    assert {each.uri for each in video.extensions} == {ExtensionUri.ABS_SEND_TIME, ExtensionUri.MID}


def test_the_extensions_ids_of_a_session() -> None:
    offer = sdp.parse_offer(offer_text("chromium_sendonly"))
    accepted = _accept_all(offer)[1]
    assert accepted.ids(offer.medias[1]) == {
        ExtensionUri.ABS_SEND_TIME: 2,
        ExtensionUri.TRANSPORT_SEQUENCE: 3,
        ExtensionUri.MID: 4,
        ExtensionUri.RID: 10,
        ExtensionUri.REPAIRED_RID: 11,
    }


def test_an_extensions_direction_is_seen_from_the_other_side() -> None:
    _, _, text = _answer("firefox_simulcast")
    assert f"a=extmap:9/recvonly {ExtensionUri.RID}\r\n" in text


def test_sections_are_rejected_one_by_one() -> None:
    offer = sdp.parse_offer(offer_text("chromium_recvonly"))
    accepted = {1: _accept_all(offer)[1]}
    answer = sdp.parse(sdp_answer.build(offer, accepted, TRANSPORT, session_id=7))
    video, audio = answer.medias
    assert video.rejected
    assert video.mid == "0"
    assert not audio.rejected
    assert answer.bundle == ["1"]
    assert audio.candidates
    nothing = sdp.parse(sdp_answer.build(offer, {}, TRANSPORT, session_id=7))
    assert all(media.rejected for media in nothing.medias)
    assert nothing.bundle == []


def test_an_answer_that_the_offer_does_not_allow_is_not_written() -> None:
    offer = sdp.parse_offer(offer_text("chromium_sendonly"))
    choice = _accept_all(offer)[0].choice
    with pytest.raises(ValueError, match="section 0"):
        sdp_answer.build(offer, {0: Accepted(choice, "sendonly")}, TRANSPORT, session_id=7)
    offer.medias[0].port = 0
    with pytest.raises(ValueError, match="section 0"):
        sdp_answer.build(offer, {0: Accepted(choice, "recvonly")}, TRANSPORT, session_id=7)


# What is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ([("a=rtcp-mux\r\n", "")], "lacks a=rtcp-mux"),
        ([("a=group:BUNDLE 0 1\r\n", "")], "without a=group:BUNDLE"),
        ([("a=group:BUNDLE 0 1", "a=group:BUNDLE x y")], "names no a=mid"),
        ([("a=ice-ufrag:JLvv\r\n", "")], "no a=ice-ufrag"),
        ([("a=ice-pwd:AVQo+aTrh2UHIfcZiaNfD9", "a=ice-pwd:short")], "ICE password"),
        ([("a=fingerprint:sha-256", "a=fingerprint:md5")], "no a=fingerprint by"),
        ([("a=setup:actpass", "a=setup:holdconn")], "a=setup:holdconn"),
        ([("a=setup:actpass", "a=ice-lite")], "one has to be full"),
        ([("a=mid:1", "a=mid:0")], "the same a=mid"),
        ([("a=mid:1", "a=mid:o n e")], "no name for a section"),
        ([("m=audio 9", "m=audio 0"), ("m=video 9", "m=video 0")], "nothing is offered"),
        ([("m=audio 9", "m=audio nine")], "no media line"),
        ([("m=audio 9", "m=audio 99999")], "no media line"),
        ([("m=", "x=")], "no m= line"),
        ([("m=audio", "m=audio 0 RTP/AVP 0\r\n" * 32 + "m=audio")], "m= lines are more"),
        ([("s=-", "s=" + "-" * sdp.MAX_BYTES)], "too long"),
    ],
)
def test_what_cannot_work_is_refused(changes: list[tuple[str, str]], reason: str) -> None:
    text = offer_text("obs_whip")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    with pytest.raises(ParseError, match=reason):
        sdp.parse_offer(text)


@pytest.mark.parametrize(
    ("protocol", "is_rtp"),
    [
        ("UDP/TLS/RTP/SAVPF", True),
        ("TCP/DTLS/RTP/SAVP", True),
        ("RTP/AVP", True),  # to be taken as if it said more (RFC 9429, 5.1.2)
        ("udp", False),
        ("RTP/AVP/TCP", False),
        ("UDP/TLS/RTP/AVPFX", False),
    ],
)
def test_sound_and_picture_come_by_rtp(protocol: str, is_rtp: bool) -> None:
    offer = sdp.parse(offer_text("chromium_recvonly").replace("UDP/TLS/RTP/SAVPF", protocol))
    assert {media.is_rtp for media in offer.medias} == {is_rtp}
    assert all(bool(media.formats) == is_rtp for media in offer.medias)


def test_a_section_outside_the_bundle_may_be_anything() -> None:
    text = offer_text("obs_whip").replace("BUNDLE 0 1", "BUNDLE 1").replace("mid:0", "mid:x")
    offer = sdp.parse_offer(text)
    assert [offer.bundled(media) for media in offer.medias] == [False, True]
    assert offer.transport.kind == "video"


def test_a_single_section_needs_no_bundle() -> None:
    text = offer_text("obs_whip").replace("a=group:BUNDLE 0 1\r\n", "")
    text = text.replace("m=audio 9", "m=audio 0")
    offer = sdp.parse_offer(text)
    assert offer.transport.kind == "video"
    choice = choose(H264, offer.medias[1].formats)
    assert choice is not None
    answer = sdp_answer.build(offer, {1: Accepted(choice, "recvonly")}, TRANSPORT, session_id=7)
    assert "BUNDLE" not in answer
    assert sdp.parse(answer).medias[1].candidates


def test_bundle_only_sections_share_the_firsts_transport() -> None:
    lines = offer_text("ffmpeg_whip").split("\r\n")
    video = lines.index("m=video 9 UDP/TLS/RTP/SAVPF 106 105")
    shared = ("a=ice-", "a=fingerprint", "a=setup")
    kept = lines[:video] + [line for line in lines[video:] if not line.startswith(shared)]
    kept[video] = "m=video 0 UDP/TLS/RTP/SAVPF 106 105\r\na=bundle-only"
    offer = sdp.parse_offer("\r\n".join(kept))
    assert offer.bundled(offer.medias[1])
    assert offer.transport is offer.medias[0]


@given(st.sampled_from(OFFERS), st.data())
def test_lines_that_are_missing_or_come_twice_raise_nothing_but_parse_errors(
    name: str, data: st.DataObject
) -> None:
    lines = offer_text(name).split("\r\n")
    for _ in range(data.draw(st.integers(1, 5))):
        place = data.draw(st.integers(0, len(lines) - 1))
        lines[place : place + 1] = data.draw(st.sampled_from([[], [lines[place]] * 2, ["a=x"]]))
    try:
        offer = sdp.parse_offer("\n".join(lines))
        accepted = {i: a for i, a in _accept_all(offer).items() if offer.bundled(offer.medias[i])}
    except ParseError:
        return
    sdp.parse(sdp_answer.build(offer, accepted, TRANSPORT, session_id=7))


# Fragments

FRAGMENT = (
    "a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n"
    "m=audio 9 RTP/AVP 0\r\na=mid:0\r\n"
    "a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw "
    "network-id 1\r\na=candidate:broken\r\na=end-of-candidates\r\n"
)


def test_a_fragment_with_candidates() -> None:
    fragment = sdp_fragment.parse(FRAGMENT)
    assert fragment.credentials == Credentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")
    (media,) = fragment.medias
    assert (media.mid, media.end_of_candidates) == ("0", True)
    assert [each.port for each in media.candidates] == [61764]
    assert not fragment.end_of_candidates
    assert not fragment.restarts(fragment.credentials)
    assert fragment.restarts(Credentials("EsAw", "x" * 22))


def test_a_fragment_may_lack_what_it_does_not_tell() -> None:
    (media,) = sdp_fragment.parse("a=mid:0\na=candidate:1 1 udp 1 192.0.2.1 2 typ host").medias
    assert (media.mid, len(media.candidates)) == ("0", 1)
    ended = sdp_fragment.parse("a=end-of-candidates")
    assert ended.end_of_candidates
    assert ended.credentials is None
    assert not ended.restarts(None)
    inside = FRAGMENT.partition("m=")
    fragment = sdp_fragment.parse(inside[1] + inside[2] + inside[0])
    assert fragment.credentials == Credentials("EsAw", "P2uYro0UCOQ4zxjKXaWCBui1")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "neither ICE credentials nor candidates"),
        ("m=audio 9 RTP/AVP 0\r\na=mid:0", "neither"),
        ("m=audio", "no media line"),
        ("a=ice-ufrag:x\na=ice-pwd:y", "username fragment"),
        ("m=audio 9 RTP/AVP 0\n" * 33, "m= lines are more"),
        ("a" * (sdp.MAX_BYTES + 1), "too long"),
    ],
)
def test_fragments_that_tell_nothing_are_refused(text: str, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        sdp_fragment.parse(text)


def test_the_answer_to_a_restart() -> None:
    offer = sdp.parse_offer(offer_text("chromium_recvonly"))
    text = sdp_fragment.build(offer, TRANSPORT.credentials, TRANSPORT.candidates)
    fragment = sdp_fragment.parse(text)
    assert fragment.credentials == TRANSPORT.credentials
    (media,) = fragment.medias
    assert media.mid == "0"
    assert media.candidates == TRANSPORT.candidates
    assert media.end_of_candidates
