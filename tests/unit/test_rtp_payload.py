"""Payload formats by codec, and what SDP says about them."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9
from streamsocket.media.jpeg import EOI, Headers, build_headers
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.payload import codec_from_sdp, depacketizer, packetizer, sdp_attributes
from streamsocket.rtsp import sdp

SEQUENCE = bytes.fromhex("080000002d4cffb3c02f8004")
VIDEO = H264(
    bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), bytes.fromhex("68ce0f2c80")
)
SPROP = "Z0LAH9oB4AiflhAAAAMAEAAAAwMg8YMq,aM4PLIA="
HEVC = H265(
    bytes.fromhex("40010c01ffff01600000030090000003000003003c959409"),
    bytes.fromhex("42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"),
    bytes.fromhex("4401c073c089"),
)
SPROP_HEVC = {
    "sprop-vps": "QAEMAf//AWAAAAMAkAAAAwAAAwA8lZQJ",
    "sprop-sps": "QgEBAWAAAAMAkAAAAwAAAwA8oAoIDxZZWVKTC5oCAAAH0gAA6mAQ",
    "sprop-pps": "RAHAc8CJ",
}
SOUND = Aac(bytes.fromhex("1190"))
MJPEG = Mjpeg((640, 480))
PICTURE = build_headers(Headers(640, 480, "4:2:0", bytes(range(1, 129)))) + b"scan" + EOI


def fmtp_of(codec: Codec) -> dict[str, str]:
    _, fmtp = sdp_attributes(codec, 96)
    if fmtp is None:
        return {}
    parameters = fmtp.removeprefix("96 ").split(";")
    return dict(parameter.split("=", 1) for parameter in parameters)


@pytest.mark.parametrize(
    ("codec", "rtpmap", "fmtp"),
    [
        (
            VIDEO,
            "96 H264/90000",
            f"96 packetization-mode=1;profile-level-id=42C01F;sprop-parameter-sets={SPROP}",
        ),
        (H264(b"", b""), "96 H264/90000", "96 packetization-mode=1"),
        (
            HEVC,
            "96 H265/90000",
            "96 " + ";".join(f"{name}={value}" for name, value in SPROP_HEVC.items()),
        ),
        (H265(b"", b"", b""), "96 H265/90000", None),
        (
            SOUND,
            "96 mpeg4-generic/48000/2",
            "96 streamtype=5;profile-level-id=1;mode=AAC-hbr;"
            "sizelength=13;indexlength=3;indexdeltalength=3;config=1190",
        ),
        (Opus(), "96 opus/48000/2", "96 sprop-stereo=1"),
        (Opus(channels=1), "96 opus/48000/2", "96 sprop-stereo=0"),
        (Vp8((640, 480)), "96 VP8/90000", None),
        (Vp9((640, 480), 2), "96 VP9/90000", "96 profile-id=2"),
        (Av1(), "96 AV1/90000", "96 profile=0"),
        (Av1(SEQUENCE), "96 AV1/90000", "96 profile=0;level-idx=5;tier=0"),
        (Mjpeg((640, 480)), "96 JPEG/90000", None),
        (G711("pcmu"), "96 PCMU/8000/1", None),
        (G711("pcma", 16_000, 2), "96 PCMA/16000/2", None),
        (L16(48_000, 2), "96 L16/48000/2", None),
    ],
)
def test_sdp_says_what_a_receiver_needs(codec: Codec, rtpmap: str, fmtp: str | None) -> None:
    assert sdp_attributes(codec, 96) == (rtpmap, fmtp)


@pytest.mark.parametrize(
    "codec",
    [
        *(VIDEO, H264(b"", b""), HEVC, SOUND, Opus(), Opus(channels=1), Vp8(), Mjpeg()),
        *(Vp9(), Vp9(profile=2), Av1()),
        *(G711("pcmu"), G711("pcma", 16_000, 2), L16(44_100, 1), L16(48_000, 6)),
    ],
)
def test_what_sdp_says_is_understood(codec: Codec) -> None:
    rtpmap, _ = sdp_attributes(codec, 96)
    name, rate, *channels = rtpmap.removeprefix("96 ").split("/")
    fmtp = {key.upper(): value for key, value in fmtp_of(codec).items()}
    parsed = codec_from_sdp(name.upper(), int(rate), int(channels[0]) if channels else None, fmtp)
    assert parsed == codec


@pytest.mark.parametrize(
    "sprop", ["", "!!!", "Z0LA", "Z0LAH9oB4AiflhAAAAMAEAAAAwMg8YMq,aM", "aM4PLIA=,Z0LAH9"]
)
def test_parameter_sets_that_are_cut_off_are_left_to_the_stream(sprop: str) -> None:
    codec = codec_from_sdp("H264", 90_000, None, {"sprop-parameter-sets": sprop})
    assert isinstance(codec, H264)
    assert codec.sps in (b"", VIDEO.sps)
    assert codec.pps in (b"", VIDEO.pps)


def test_h265_goes_by_both_of_its_names() -> None:
    fmtp = {"profile-id": "1", "sprop-max-don-diff": "0", **SPROP_HEVC}
    for name in ("H265", "h265", "HEVC"):
        assert codec_from_sdp(name, 90_000, None, fmtp) == HEVC


@pytest.mark.parametrize("name", SPROP_HEVC)
@pytest.mark.parametrize("end", [0, -1, -2, 8])
def test_h265_parameter_sets_that_are_cut_off_or_missing_are_left_to_the_stream(
    name: str, end: int
) -> None:
    fmtp = {**SPROP_HEVC, name: SPROP_HEVC[name][:end]}
    codec = codec_from_sdp("H265", 90_000, None, fmtp)
    assert isinstance(codec, H265)
    assert codec.sps in (b"", HEVC.sps)
    assert [codec.vps == HEVC.vps, codec.sps == HEVC.sps, codec.pps == HEVC.pps].count(True) >= 2
    assert codec_from_sdp("H265", 90_000, None, {}) == H265(b"", b"", b"")


def test_of_several_parameter_sets_the_first_is_taken() -> None:
    several = {name: f"{value},{value[:-4]}" for name, value in SPROP_HEVC.items()}
    assert codec_from_sdp("H265", 90_000, None, several) == HEVC


@pytest.mark.parametrize(
    ("payload_type", "codec"),
    [
        (0, G711("pcmu")),
        (8, G711("pcma")),
        (10, L16(44_100, 2)),
        (11, L16(44_100, 1)),
        (26, Mjpeg()),
    ],
)
def test_static_payload_types_need_no_rtpmap(payload_type: int, codec: Codec) -> None:
    [media] = sdp.parse(f"v=0\nm={codec.kind} 0 RTP/AVP {payload_type}\n").medias
    assert media.codec == codec


def test_sound_without_a_number_of_channels_is_mono() -> None:
    assert codec_from_sdp("L16", 48_000, None, {}) == L16(48_000, 1)
    assert codec_from_sdp("PCMA", 8_000, None, {}) == G711("pcma")


def test_opus_is_taken_for_stereo_unless_it_says_otherwise() -> None:
    assert codec_from_sdp("opus", 48_000, 2, {}) == Opus(channels=2)
    assert codec_from_sdp("opus", 48_000, 2, {"sprop-stereo": "0"}) == Opus(channels=1)


@pytest.mark.parametrize(
    ("name", "rate", "fmtp", "reason"),
    [
        ("H266", 90_000, {}, "H266 is not supported"),
        ("H265", 90_000, {"sprop-max-don-diff": "2"}, "interleaved"),
        ("H265", 48_000, {}, "clock of 48000 Hz"),
        ("G722", 8_000, {}, "G722 is not supported"),
        ("MP4A-LATM", 48_000, {"config": "400026203fc0"}, "MP4A-LATM is not supported"),
        ("H264", 90_000, {"packetization-mode": "2"}, "interleaved"),
        ("H264", 48_000, {}, "clock of 48000 Hz"),
        ("mpeg4-generic", 48_000, {}, "without its configuration"),
        ("mpeg4-generic", 48_000, {"config": "xyz"}, "hexadecimal"),
        ("mpeg4-generic", 48_000, {"config": "16"}, "ends in the middle"),
        ("mpeg4-generic", 48_000, {"config": "1190", "mode": "CELP-vbr"}, "CELP-vbr"),
        ("mpeg4-generic", 48_000, {"config": "1190", "sizelength": "0"}, "sizelength"),
        ("mpeg4-generic", 44_100, {"config": "1190"}, "clock of 44100 Hz"),
        ("opus", 16_000, {}, "clock of 16000 Hz"),
        ("VP8", 48_000, {}, "clock of 48000 Hz"),
        ("JPEG", 48_000, {}, "clock of 48000 Hz"),
        ("L16", 999_999_999, {}, "up to 192000 Hz"),
    ],
)
def test_what_cannot_be_received_is_named(
    name: str, rate: int, fmtp: dict[str, str], reason: str
) -> None:
    with pytest.raises(ParseError, match=reason):
        codec_from_sdp(name, rate, None, fmtp)


@pytest.mark.parametrize(
    ("codec", "unit"),
    [
        (VIDEO, AccessUnit([VIDEO.sps, VIDEO.pps, b"\x65\x88"], 0)),
        (HEVC, AccessUnit([HEVC.vps, HEVC.sps, HEVC.pps, b"\x26\x01\xaf"], 0)),
        (SOUND, AccessUnit([b"frame"], 0)),
        (Opus(), AccessUnit([b"packet"], 0)),
        (Vp8(), AccessUnit([b"\x31frame"], 0, keyframe=False)),
        (Vp9(), AccessUnit([b"\x86frame"], 0, keyframe=False)),
        (Av1(), AccessUnit([b"\x32\x06\x30frame"], 0, keyframe=False)),
        (MJPEG, AccessUnit([PICTURE], 0)),
        (G711("pcmu"), AccessUnit([b"samples"], 0)),
        (L16(48_000, 2), AccessUnit([b"all four"], 0)),
    ],
)
def test_each_codec_has_its_format(codec: Codec, unit: AccessUnit) -> None:
    sender, receiver = packetizer(codec), depacketizer(codec, fmtp_of(codec))
    payloads = sender.packetize(unit)
    units = []
    for index, payload in enumerate(payloads):
        units += receiver.push(payload, 0, index == len(payloads) - 1, False)
    assert units == [unit]
    assert receiver.codec == codec
    assert receiver.flush() == []
    assert sender.marker == (codec.name not in ("opus", "pcmu", "l16"))


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_an_opus_packet_that_no_payload_holds_is_refused(size: int) -> None:
    with pytest.raises(ParseError):
        packetizer(Opus()).packetize(AccessUnit([bytes(size)], 0))


def test_an_empty_opus_payload_is_refused() -> None:
    with pytest.raises(ParseError):
        depacketizer(Opus()).push(b"", 0, True, False)
