"""The codec that an SDP's rtpmap and fmtp mean."""

from streamsocket.errors import ParseError
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9
from streamsocket.rtp.payload import codec_from_sdp, depacketizer, sdp_attributes

_CODECS: list[Codec] = [
    H264(bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), b"\x68\xce\x38\x80"),
    H265(
        bytes.fromhex("40010c01ffff01600000030090000003000003003c959409"),
        bytes.fromhex(
            "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
        ),
        bytes.fromhex("4401c073c089"),
    ),
    Aac(b"\x11\x90"),
    Opus(),
    Opus(1),
    Vp8(),
    Vp9(profile=2),
    Av1(),
    Av1(bytes.fromhex("080000002d4cffb3c02f8004")),
    Mjpeg(),
    G711("pcma", 16_000, 2),
    L16(48_000, 2),
]
SEEDS = [" ".join(value or "" for value in sdp_attributes(c, 96)).encode() for c in _CODECS]


def fuzz_one(data: bytes) -> None:
    _, rtpmap, _, fmtp = (data.decode("utf-8", "replace").split(" ", 3) + [""] * 4)[:4]
    name, rate, channels = (rtpmap.split("/") + [""] * 3)[:3]
    parameters = dict(text.split("=", 1) for text in fmtp.split(";") if "=" in text)
    try:
        codec = codec_from_sdp(
            name,
            int(rate) if rate.isdecimal() and len(rate) < 10 else 0,
            int(channels) if channels.isdecimal() and len(channels) < 10 else None,
            parameters,
        )
    except ParseError:
        return
    depacketizer(codec, parameters)
    rtpmap, _ = sdp_attributes(codec, 96)
    standard = {"hevc": "h265"}.get(name.lower(), name.lower())
    assert rtpmap.lower().startswith(f"96 {standard}/")
