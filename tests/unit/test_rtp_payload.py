"""Payload formats by codec, and what SDP says about them."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Aac, Codec, Opus
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.payload import codec_from_sdp, depacketizer, packetizer, sdp_attributes

VIDEO = H264(
    bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), bytes.fromhex("68ce0f2c80")
)
SPROP = "Z0LAH9oB4AiflhAAAAMAEAAAAwMg8YMq,aM4PLIA="
SOUND = Aac(bytes.fromhex("1190"))


def fmtp_of(codec: Codec) -> dict[str, str]:
    _, fmtp = sdp_attributes(codec, 96)
    assert fmtp
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
            SOUND,
            "96 mpeg4-generic/48000/2",
            "96 streamtype=5;profile-level-id=1;mode=AAC-hbr;"
            "sizelength=13;indexlength=3;indexdeltalength=3;config=1190",
        ),
        (Opus(), "96 opus/48000/2", "96 sprop-stereo=1"),
        (Opus(channels=1), "96 opus/48000/2", "96 sprop-stereo=0"),
    ],
)
def test_sdp_says_what_a_receiver_needs(codec: Codec, rtpmap: str, fmtp: str) -> None:
    assert sdp_attributes(codec, 96) == (rtpmap, fmtp)


@pytest.mark.parametrize("codec", [VIDEO, H264(b"", b""), SOUND, Opus(), Opus(channels=1)])
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


def test_opus_is_taken_for_stereo_unless_it_says_otherwise() -> None:
    assert codec_from_sdp("opus", 48_000, 2, {}) == Opus(channels=2)
    assert codec_from_sdp("opus", 48_000, 2, {"sprop-stereo": "0"}) == Opus(channels=1)


@pytest.mark.parametrize(
    ("name", "rate", "fmtp", "reason"),
    [
        ("H265", 90_000, {}, "H265 is not supported"),
        ("PCMU", 8_000, {}, "PCMU is not supported"),
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
        (SOUND, AccessUnit([b"frame"], 0)),
        (Opus(), AccessUnit([b"packet"], 0)),
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
    assert sender.marker == (codec.name != "opus")


@pytest.mark.parametrize("size", [0, MAX_PAYLOAD + 1])
def test_an_opus_packet_that_no_payload_holds_is_refused(size: int) -> None:
    with pytest.raises(ParseError):
        packetizer(Opus()).packetize(AccessUnit([bytes(size)], 0))


def test_an_empty_opus_payload_is_refused() -> None:
    with pytest.raises(ParseError):
        depacketizer(Opus()).push(b"", 0, True, False)
