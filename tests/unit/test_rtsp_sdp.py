"""Session descriptions: ours, and those of cameras."""

from __future__ import annotations

import base64
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media.aac import build_audio_specific_config
from streamsocket.media.codec import G711, H264, Aac, Opus, Track, Vp8
from streamsocket.rtsp import sdp

SPS, PPS = base64.b64decode("Z00AH5WoPAQ5"), base64.b64decode("aO48gA==")
H264_LINES = (
    "m=video 0 RTP/AVP 96\n"
    "a=rtpmap:96 H264/90000\n"
    "a=fmtp:96 packetization-mode=1;sprop-parameter-sets=Z00AH5WoPAQ5,aO48gA==\n"
)


def only(text: str) -> sdp.Media:
    (media,) = sdp.parse(text).medias
    return media


def test_our_description_of_a_movie() -> None:
    tracks = [
        Track(H264(SPS, PPS), Fraction(30000, 1001)),
        Track(Aac(build_audio_specific_config(48000, 2))),
    ]
    text = sdp.build(tracks, name="live/lobby", host="192.0.2.1")
    lines = text.split("\r\n")
    assert lines[:7] == [
        "v=0",
        "o=- 0 0 IN IP4 192.0.2.1",
        "s=live/lobby",
        "c=IN IP4 0.0.0.0",
        "t=0 0",
        "a=control:*",
        "a=range:npt=now-",
    ]
    assert lines[7] == "m=video 0 RTP/AVP 96"
    assert "a=framerate:29.97003" in lines
    assert lines.index("a=control:trackID=0") < lines.index("m=audio 0 RTP/AVP 97")
    assert lines[-2:] == ["a=control:trackID=1", ""]


def test_an_ipv6_server_says_so() -> None:
    assert "c=IN IP6 ::" in sdp.build([Track(Opus())], name="", host="::1").split("\r\n")


@given(
    st.lists(
        st.builds(
            Track,
            st.sampled_from(
                [H264(SPS, PPS), Aac(build_audio_specific_config(44100, 1)), Opus(2), Opus(1)]
            ),
            st.none()
            | st.sampled_from([Fraction(25), Fraction(24000, 1001), Fraction(30000, 1001)]),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_we_describe_we_understand(tracks: list[Track]) -> None:
    description = sdp.parse(sdp.build(tracks, name="a", host="127.0.0.1"))
    assert [media.codec for media in description.medias] == [track.codec for track in tracks]
    assert [media.frame_rate for media in description.medias] == [t.frame_rate for t in tracks]
    assert [media.kind for media in description.medias] == [track.kind for track in tracks]
    assert description.name == "a"
    assert description.control == "*"


def test_a_camera_with_every_fault_at_once() -> None:
    description = sdp.parse(
        "v=0\n"
        "garbage\n"
        "s=RTSP Session/2.0\n"
        "a=control:rtsp://10.0.0.9/cam\n"
        "a=control:rtsp://10.0.0.9/again\n"
        "a=sendonly\n"
        "m=video 0 RTP/AVP 96\r"
        "a=RTPMAP: 96  H264/90000\n"
        "a=fmtp:96 Packetization-Mode=1; sprop-parameter-sets=Z00AH5WoPAQ5,aO48gA==;;\n"
        "a=framerate: 25.000000\n"
        "a=control:trackID=1\n"
        "a=control:trackID=1\n"
        "m=audio 0 RTP/AVP 8\n"
        "a=recvonly\n"
    )
    video, audio = description.medias
    assert description.control == "rtsp://10.0.0.9/cam"
    assert video.codec == H264(SPS, PPS)
    assert video.fmtp["packetization-mode"] == "1"
    assert video.frame_rate == 25
    assert video.control == "trackID=1"
    assert video.direction == "sendonly"
    assert (audio.encoding, audio.clock_rate, audio.channels) == ("PCMA", 8000, 1)
    assert audio.codec == G711("pcma")
    assert audio.control is None
    assert audio.direction == "recvonly"


def test_a_codec_we_do_not_know_is_named() -> None:
    media = only("m=video 0 RTP/AVP 96\na=rtpmap:96 H266/90000\n")
    assert media.codec is None
    assert "h266" in (media.unsupported or "").lower()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("m=video 0 RTP/AVP 96\n", "no a=rtpmap"),
        ("m=video\n", "no RTP payload type"),
        ("m=\n", "no RTP payload type"),
        ("m=application 0 RTP/AVP onvif\n", "no RTP payload type"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264\n", "clock rate"),
        ("m=video 0 RTP/AVP 96\na=rtpmap:96 H264/0\n", "clock rate"),
    ],
)
def test_what_a_media_lacks_is_said(text: str, reason: str) -> None:
    assert reason in (only(text).unsupported or "")


def test_of_several_formats_the_first_that_can_be_played_is_taken() -> None:
    media = only("m=audio 0 RTP/AVP 18 97 98\na=rtpmap:97 G726-32/8000\na=rtpmap:98 opus/48000/2\n")
    assert (media.payload_type, media.codec) == (98, Opus(2))
    media = only("m=audio 0 RTP/AVP 18 97\na=rtpmap:97 G726-32/8000\n")
    assert (media.payload_type, media.encoding) == (18, "G729")


@pytest.mark.parametrize(
    ("value", "rate"),
    [("29.97", Fraction(2997, 100)), ("0", None), ("1e999999999", Fraction(1)), ("x", None)],
)
def test_a_frame_rate_is_believed_within_reason(value: str, rate: Fraction | None) -> None:
    assert only(f"{H264_LINES}a=framerate:{value}\n").frame_rate == rate


def test_a_description_without_media_is_refused() -> None:
    for text in ("", "v=0\ns=x\n", "<html></html>", "\x00"):
        with pytest.raises(ParseError, match="no media"):
            sdp.parse(text)


def test_a_description_of_far_too_many_media_is_refused() -> None:
    assert len(sdp.parse(H264_LINES * sdp.MAX_MEDIAS).medias) == sdp.MAX_MEDIAS
    with pytest.raises(ParseError, match="more than"):
        sdp.parse(H264_LINES * (sdp.MAX_MEDIAS + 1))


@pytest.mark.parametrize(
    ("base", "control", "url"),
    [
        ("rtsp://h/a/", "trackID=0", "rtsp://h/a/trackID=0"),
        ("rtsp://h/a", "trackID=0", "rtsp://h/a/trackID=0"),
        ("rtsp://h/a", "/trackID=0", "rtsp://h/a/trackID=0"),
        ("rtsp://h/a?x=1", "trackID=0", "rtsp://h/a?x=1/trackID=0"),
        ("rtsp://h/a/", "*", "rtsp://h/a/"),
        ("rtsp://h/a", None, "rtsp://h/a"),
        ("rtsp://h/a", "", "rtsp://h/a"),
        ("rtsp://h/a", "RTSP://other/b/1", "RTSP://other/b/1"),
    ],
)
def test_controls_are_resolved_as_players_do(base: str, control: str | None, url: str) -> None:
    assert sdp.resolve_control(base, control) == url


def test_what_may_be_asked_for_again_is_read_and_said() -> None:
    text = "m=video 0 RTP/AVPF 96\na=rtpmap:96 VP8/90000\n"
    media = only(text + "a=rtcp-fb:96 nack\na=rtcp-fb:* nack pli\na=rtcp-fb:97 ccm fir\n")
    assert media.feedback == {"nack", "nack pli"}
    description = sdp.build([Track(Opus()), Track(Vp8())], name="x", host="h", profile="AVPF")
    sound, picture = sdp.parse(description).medias
    assert (sound.feedback, picture.feedback) == ({"nack"}, {"nack", "nack pli"})
    assert "m=video 0 RTP/AVPF 97" in description


def test_a_codec_of_the_other_kind_is_none() -> None:
    media = only("m=audio 0 RTP/AVP 96\na=rtpmap:96 VP8/90000\n")
    assert (media.codec, media.unsupported) == (None, "VP8 is announced as audio.")


def test_the_first_picture_and_the_first_sound_that_are_known_are_chosen() -> None:
    lines = (
        "m=audio 0 RTP/AVP 0\na=sendonly\n"
        "m=video 0 RTP/AVP 96\na=rtpmap:96 H266/90000\n"
        "m=video 0 RTP/AVP 97\na=rtpmap:97 VP8/90000\n"
        "m=audio 0 RTP/AVP 8\n"
        "m=video 0 RTP/AVP 96\na=rtpmap:96 VP8/90000\n"
    )
    talk_back, unknown, picture, sound, second = sdp.parse(lines).medias
    chosen, left = sdp.choose([talk_back, unknown, picture, sound, second])
    assert [media for media, _ in chosen] == [picture, sound]
    assert left == [unknown, second, talk_back]
    assert sdp.choose([unknown]) == ([], [unknown])
