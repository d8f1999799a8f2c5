"""Which format of an offer carries a track: of real peers' offers, and by the rules of profiles."""

from __future__ import annotations

import pytest
from tests.unit.test_media_av1 import sequence_header
from webrtc_helpers import offer_text

from streamsocket.media.codec import G711, H264, H265, Aac, Av1, Mjpeg, Opus, Vp8, Vp9
from streamsocket.webrtc import sdp
from streamsocket.webrtc.codec_choice import (
    Choice,
    Encoding,
    choose,
    choose_any,
    encoding_of,
    explain,
    h264_profile,
)
from streamsocket.webrtc.sdp import Format

BASELINE, MAIN, HIGH = "42c01f", "4d401f", "640028"


def _h264(profile_level_id: str) -> Encoding:
    return encoding_of(H264(b"\x67" + bytes.fromhex(profile_level_id) + b"\x00", b"\x68"))


def _formats(name: str, kind: str = "video") -> list[Format]:
    offer = sdp.parse_offer(offer_text(name))
    return next(media.formats for media in offer.medias if media.kind == kind)


def _choice(encoding: Encoding, name: str, kind: str = "video") -> Choice:
    choice = choose(encoding, _formats(name, kind))
    assert choice is not None
    return choice


@pytest.mark.parametrize(
    ("name", "encoding", "payload_type", "rtx"),
    [
        ("chromium_recvonly", _h264(BASELINE), 108, 109),
        ("chromium_recvonly", _h264("42001e"), 102, 103),
        ("chromium_recvonly", _h264(MAIN), 116, 117),
        ("chromium_recvonly", _h264(HIGH), 41, 42),
        ("chromium_recvonly", encoding_of(Vp8()), 96, 97),
        ("chromium_recvonly", encoding_of(Vp9()), 98, 99),
        ("chromium_recvonly", encoding_of(Vp9(profile=2)), 100, 101),
        ("chromium_recvonly", encoding_of(Av1()), 45, 46),
        ("firefox_recvonly", encoding_of(Vp8()), 120, 124),
        ("firefox_recvonly", Encoding("av1"), 99, 100),
        ("aiortc_recvonly", _h264(BASELINE), 101, 102),
        ("ffmpeg_whip", Encoding("h264", parameters={"packetization-mode": "1"}), 106, 105),
    ],
)
def test_the_best_video_format(
    name: str, encoding: Encoding, payload_type: int, rtx: int | None
) -> None:
    choice = _choice(encoding, name)
    assert choice.payload_type == payload_type
    assert choice.rtx is not None
    assert choice.rtx.payload_type == rtx
    assert choice.promised


def test_the_best_audio_format() -> None:
    assert _choice(encoding_of(Opus()), "chromium_recvonly", "audio").payload_type == 111
    assert _choice(encoding_of(Opus(1)), "firefox_recvonly", "audio").payload_type == 109
    assert _choice(encoding_of(G711("pcma")), "firefox_recvonly", "audio").payload_type == 8
    assert _choice(encoding_of(G711("pcmu")), "aiortc_recvonly", "audio").rtx is None


def test_a_profile_that_was_not_promised_is_chosen_for_want_of_a_better() -> None:
    choice = _choice(_h264(HIGH), "aiortc_recvonly")
    assert not choice.promised
    assert choice.payload_type == 99


def test_what_is_not_on_offer_is_explained() -> None:
    firefox = _formats("firefox_recvonly")
    assert choose(_h264(BASELINE), firefox) is None
    assert explain(_h264(BASELINE), firefox) == (
        "The track is H.264, but the peer offers only VP8, VP9, AV1."
    )
    mode_0 = [Format(96, "H264", 90_000, fmtp="profile-level-id=42e01f")]
    assert choose(_h264(BASELINE), mode_0) is None
    assert "only in forms that can't carry it" in explain(_h264(BASELINE), mode_0)
    assert choose(encoding_of(Aac(bytes.fromhex("1190"))), firefox) is None
    assert choose(encoding_of(Mjpeg()), firefox) is None
    high = encoding_of(Av1(sequence_header(profile=1)))
    assert choose(high, firefox) is None
    assert "The track is AV1, and the peer offers it only in forms" in explain(high, firefox)
    assert explain(encoding_of(Opus()), []).endswith("the peer offers no format at all.")


def test_a_publisher_is_to_send_what_it_prefers_of_what_we_take() -> None:
    ours = [Encoding("h264", parameters={"packetization-mode": "1"}), Encoding("vp8")]
    chromium = _formats("chromium_sendonly")
    choice = choose_any(ours, chromium)
    assert choice is not None
    assert choice.payload_type == 96
    assert choose_any([Encoding("h265")], chromium) is None


@pytest.mark.parametrize(
    ("profile_level_id", "profile"),
    [
        ("42e01f", "constrained baseline"),
        ("42c015", "constrained baseline"),
        ("4da01f", "constrained baseline"),
        ("42001f", "baseline"),
        ("4d001f", "main"),
        ("4D401F", "main"),
        ("640028", "high"),
        ("640c1f", "constrained high"),
        ("64100a", "high"),
        ("f4001f", "high 4:4:4"),
        ("58a01f", "baseline"),
        ("000000", None),
        ("4200", None),
        ("words!", None),
    ],
)
def test_h264_profiles(profile_level_id: str, profile: str | None) -> None:
    assert h264_profile(profile_level_id) == profile


def test_h264_without_a_profile_is_constrained_baseline() -> None:
    plain = Format(96, "H264", 90_000, fmtp="packetization-mode=1")
    choice = choose(_h264(BASELINE), [plain])
    assert choice is not None
    assert choice.promised
    unknown = choose(encoding_of(H264(b"", b"")), [plain])
    assert unknown is not None
    assert unknown.promised
    assert (
        choose(
            _h264(BASELINE),
            [Format(96, "H264", 90_000, fmtp="packetization-mode=1;profile-level-id=ff0000")],
        )
        is None
    )


def test_h265_by_profile_tier_and_level() -> None:
    def offered(fmtp: str) -> Format:
        return Format(49, "H265", 90_000, fmtp=fmtp)

    ours = Encoding("h265", parameters={"profile-id": "1", "tier-flag": "0", "level-id": "120"})
    good = choose(ours, [offered("level-id=180;profile-id=1;tier-flag=0;tx-mode=SRST")])
    assert good is not None
    assert good.promised
    less = choose(ours, [offered("level-id=93;profile-id=1")])
    assert less is not None
    assert not less.promised
    for fmtp in ("profile-id=2;level-id=180", "tx-mode=MRST", "level-id=high"):
        assert choose(ours, [offered(fmtp)]) is None
    assert encoding_of(H265(b"", b"", b"")).parameters == {}
