"""Offers to servers: our own server takes them, and what it answers is read."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.matching.match import NothingFitsError
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
    Track,
    Vp8,
    Vp9,
)
from streamsocket.webrtc import sdp, sdp_answer
from streamsocket.webrtc.candidate import host_candidates
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.client_offer import (
    Offer,
    build_publishing,
    build_watching,
    read_answer,
)
from streamsocket.webrtc.codec_choice import h264_profile
from streamsocket.webrtc.header_extensions import ExtensionUri
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.negotiation import plan_publishing, plan_watching
from streamsocket.webrtc.sdp_answer import Transport

OURS = Transport(
    Credentials("ours", "o" * 24),
    Fingerprint("sha-256", bytes(range(32))),
    host_candidates([("192.0.2.1", 5000), ("192.0.2.2", 5001)]),
)
THEIRS = Transport(
    Credentials("theirs", "t" * 24),
    Fingerprint("sha-256", bytes(32)),
    host_candidates([("192.0.2.9", 8189)]),
)
BASELINE = H264(sps=b"\x67\x42\xc0\x1f", pps=b"\x68\xce\x3c\x80")
VIDEO = Track(BASELINE)
AUDIO = Track(Opus())


def watched(offer: Offer, *tracks: Track) -> str:
    """Our server's answer to who watches a stream of these tracks."""
    read = sdp.parse_offer(offer.text)
    plan = plan_watching(read, [(n, track, 70 + n) for n, track in enumerate(tracks)])
    return sdp_answer.build(read, plan.accepted, THEIRS, session_id=2)


def published(offer: Offer) -> str:
    """Our server's answer to who publishes."""
    read = sdp.parse_offer(offer.text)
    return sdp_answer.build(read, plan_publishing(read).accepted, THEIRS, session_id=2)


def publishing(*tracks: Track) -> Offer:
    numbered = [(n, track, 70 + n) for n, track in enumerate(tracks)]
    return build_publishing(numbered, OURS, 1)


def test_an_offer_tells_all_that_a_server_has_to_know() -> None:
    offer = sdp.parse_offer(build_watching(["video", "audio"], OURS, 77).text)
    assert offer.session_id == "77"
    assert offer.bundle == ["0", "1"]
    for media in offer.medias:
        assert media.credentials == OURS.credentials
        assert media.fingerprints == [OURS.fingerprint]
        assert (media.setup, media.direction) == ("actpass", "recvonly")
        assert media.rtcp_mux
        assert media.rtcp_rsize
        assert [each.uri for each in media.extensions] == [
            ExtensionUri.MID,
            ExtensionUri.ABS_CAPTURE_TIME,
        ]
    assert offer.transport.candidates == list(OURS.candidates)
    assert offer.transport.end_of_candidates


def test_everything_that_can_be_decoded_is_asked_for_once() -> None:
    video, audio = sdp.parse_offer(build_watching(["video", "audio"], OURS, 1).text).medias
    names = [each.encoding for each in video.formats if each.encoding != "rtx"]
    assert names == [*["H264"] * 4, *["H265"] * 2, "VP8", *["VP9"] * 2, *["AV1"] * 2]
    assert [each.encoding for each in audio.formats] == ["opus", "PCMU", "PCMA"]
    h264 = [each.parameters for each in video.formats if each.encoding == "H264"]
    assert {each["packetization-mode"] for each in h264} == {"1"}
    assert [h264_profile(each["profile-level-id"]) for each in h264] == [
        "constrained baseline",
        "main",
        "high",
        "high 4:4:4",
    ]
    numbers = [each.payload_type for each in [*video.formats, *audio.formats]]
    assert len({each.payload_type for each in video.formats}) == len(video.formats)
    assert all(number in (0, 8) or 96 <= number <= 127 for number in numbers)
    shared = {each.payload_type for each in video.formats} & {f.payload_type for f in audio.formats}
    assert not shared, "bundled sections tell packets apart by their payload types"
    repaired = [each.parameters["apt"] for each in video.formats if each.encoding == "rtx"]
    assert repaired == [str(f.payload_type) for f in video.formats if f.encoding != "rtx"]


@pytest.mark.parametrize(
    ("codec", "name"),
    [
        (BASELINE, "h264"),
        (H264(b"\x67\x64\x00\x28", b""), "h264"),
        (H264(b"\x67\xf4\x00\x28", b""), "h264"),
        (H265(b"", b"", b""), "h265"),
        (Vp8(), "vp8"),
        (Vp9(profile=2), "vp9"),
        (Av1(), "av1"),
    ],
)
def test_our_server_answers_who_watches(codec: Codec, name: str) -> None:
    offer = build_watching(["video", "audio"], OURS, 1)
    agreement = read_answer(offer, watched(offer, Track(codec), AUDIO))
    video, audio = agreement.tracks
    assert (video.kind, audio.kind, agreement.refused) == ("video", "audio", ())
    assert (video.format.codec.name, audio.format.codec.name) == (name, "opus")
    assert (video.ssrc, audio.ssrc) == (70, 71)
    assert video.rtx_ssrc not in (None, 70)
    assert video.format.rtx_payload_type is not None
    assert {"nack", "nack pli"} <= video.format.feedback
    assert (audio.format.rtx_payload_type, audio.format.feedback) == (None, frozenset())
    assert video.takes_reduced
    transport = agreement.answer.transport
    assert transport.credentials == THEIRS.credentials
    assert transport.fingerprints == [THEIRS.fingerprint]
    assert (transport.setup, agreement.answer.ice_lite) == ("passive", True)
    assert transport.candidates == list(THEIRS.candidates)


def test_a_stream_without_sound_refuses_its_section() -> None:
    offer = build_watching(["video", "audio"], OURS, 1)
    agreement = read_answer(offer, watched(offer, VIDEO))
    assert [track.kind for track in agreement.tracks] == ["video"]
    assert agreement.refused == ("audio",)


@pytest.mark.parametrize("law", ["pcmu", "pcma"])
def test_telephone_sound_is_watched(law: str) -> None:
    offer = build_watching(["audio"], OURS, 1)
    (audio,) = read_answer(offer, watched(offer, Track(G711(law)))).tracks  # type: ignore[arg-type]
    assert audio.format.codec == G711(law)  # type: ignore[arg-type]
    assert audio.format.payload_type == {"pcmu": 0, "pcma": 8}[law]


@pytest.mark.parametrize("codec", [BASELINE, H265(b"", b"", b""), Vp8(), Vp9(), Av1()])
def test_our_server_takes_what_is_published(codec: Codec) -> None:
    offer = publishing(Track(codec), AUDIO)
    video, audio = read_answer(offer, published(offer)).tracks
    assert (video.track, video.ssrc, video.format.codec.name) == (0, 70, codec.name)
    assert (audio.track, audio.ssrc, audio.format.codec) == (1, 71, Opus())
    assert video.format.rtx_payload_type is not None
    assert {"nack", "nack pli"} <= video.format.feedback
    assert (audio.format.feedback, audio.format.rtx_payload_type) == (frozenset(), None)
    assert video.extensions == {ExtensionUri.MID: 1}


def test_what_is_published_is_offered_as_it_is() -> None:
    offer = sdp.parse_offer(publishing(VIDEO, AUDIO).text)
    video, audio = offer.medias
    assert (video.direction, audio.direction) == ("sendonly", "sendonly")
    assert video.msid is not None
    assert audio.msid is not None
    assert video.msid[0] == audio.msid[0]
    assert video.repairs(70) not in (None, 70)
    assert set(video.sources.values()) == set(audio.sources.values()) == {"streamsocket"}
    assert [each.encoding for each in video.formats] == ["H264", "rtx"]
    assert [each.encoding for each in audio.formats] == ["opus"]


@pytest.mark.parametrize(
    ("sps", "told"),
    [
        # Whatever the other constraint flags are: peers compare these digits with their own.
        ("6742c01f", "42e01f"),
        ("67420028", "420028"),
        ("674d4028", "4d0028"),
        ("67640032", "640032"),
        ("67f4000c", "f4000c"),
    ],
)
def test_profiles_are_written_as_peers_write_them(sps: str, told: str) -> None:
    (video,) = sdp.parse_offer(publishing(Track(H264(bytes.fromhex(sps), b""))).text).medias
    profiles = [each.parameters["profile-level-id"] for each in video.formats[::2]]
    # And as what every peer takes.
    assert profiles == list(dict.fromkeys([told, f"42e0{told[4:]}"]))


def test_a_server_that_knows_but_the_usual_profile_takes_others_as_that() -> None:
    offer = publishing(Track(H264(b"\x67\x64\x00\x28", b"")))
    (video,) = read_answer(offer, published(offer)).tracks
    assert (video.format.payload_type, video.format.rtx_payload_type) == (98, 99)
    assert video.rtx_ssrc is not None


def test_tracks_keep_their_indices() -> None:
    """The stream may have others, which are not published."""
    offer = build_publishing([(3, AUDIO, 71)], OURS, 1)
    (audio,) = read_answer(offer, published(offer)).tracks
    assert (audio.track, audio.mid, audio.ssrc) == (3, "0", 71)


@pytest.mark.parametrize("codec", [Aac(b"\x11\x90"), L16(), Mjpeg(), G711("pcmu", 16_000, 2)])
def test_what_webrtc_does_not_carry_is_not_offered(codec: Codec) -> None:
    with pytest.raises(NothingFitsError, match="doesn't carry"):
        publishing(VIDEO, Track(codec))


def test_a_server_may_keep_several_formats() -> None:
    """As those do that choose when they send."""
    offer = build_watching(["video"], OURS, 1)
    answer = offer.text.replace("a=recvonly", "a=sendonly").replace("actpass", "passive")
    (video,) = read_answer(offer, answer).tracks
    assert len(video.formats) == len(offer.sections[0].media.formats) / 2
    names = [each.codec.name for each in video.formats]
    assert names == [*["h264"] * 4, *["h265"] * 2, "vp8", *["vp9"] * 2, *["av1"] * 2]
    assert (video.ssrc, video.rtx_ssrc) == (None, None)
    assert video.extensions == {ExtensionUri.MID: 1, ExtensionUri.ABS_CAPTURE_TIME: 2}


def test_parameter_sets_in_an_answer_are_read() -> None:
    offer = build_watching(["video"], OURS, 1)
    answer = watched(offer, VIDEO)
    sets = "sprop-parameter-sets=Z0LAHtkAtD2hAAADAAEAAAMAPA8WLkg=,aMuMsg=="
    (video,) = read_answer(offer, answer.replace("packetization-mode=1", sets)).tracks
    assert isinstance(video.format.codec, H264)
    assert video.format.codec.size == (720, 480)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("m=audio", "m=video", "where audio '1' was offered"),
        ("a=mid:0", "a=mid:7", "where video '0' was offered"),
        ("a=sendonly", "a=recvonly", "as offered"),
        ("a=rtcp-mux\r\n", "", "rtcp-mux"),
        ("a=rtpmap:96 H264", "a=rtpmap:96 AV1", "weren't offered: AV1"),
        ("BUNDLE 0 1", "BUNDLE 0", "BUNDLE"),
        ("a=ice-pwd", "a=x-pwd", "ice-pwd"),
        ("a=fingerprint", "a=x-fingerprint", "fingerprint"),
        ("a=setup:passive", "a=setup:actpass", "setup"),
        ("m=video 9", "m=video 0", "was offered"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(old: str, new: str, complaint: str) -> None:
    offer = build_watching(["video", "audio"], OURS, 1)
    answer = watched(offer, VIDEO, AUDIO)
    assert old in answer
    answer = answer.replace(old, new)
    if complaint == "was offered":
        answer = answer.replace("m=audio 9", "m=audio 0")
        complaint = "takes nothing of what it was offered: H264, H265, VP8"
    with pytest.raises(ParseError, match=complaint):
        read_answer(offer, answer)


def test_an_answer_of_another_length_is_refused() -> None:
    both, one = build_watching(["video", "audio"], OURS, 1), build_watching(["video"], OURS, 1)
    with pytest.raises(ParseError, match="2 m= lines to an offer of 1"):
        read_answer(one, watched(both, VIDEO, AUDIO))
    with pytest.raises(ParseError):
        read_answer(one, "not SDP at all")


def test_an_inactive_section_is_a_refused_one() -> None:
    offer = publishing(VIDEO, AUDIO)
    text = published(offer)
    head, second = text[: text.index("m=audio")], text[text.index("m=audio") :]
    agreement = read_answer(offer, head + second.replace("a=recvonly", "a=inactive"))
    assert agreement.refused == ("audio",)
    assert [track.kind for track in agreement.tracks] == ["video"]
