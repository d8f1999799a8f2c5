"""What `probe` says of a codec by its headers alone."""

from __future__ import annotations

import pytest

from streamsocket.client.codec_form import codec_form
from streamsocket.media.codec import H264, H265, Av1, Codec, Vp9

VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
)

AV1 = bytes.fromhex("080000002d4cffb3c02f8004")


@pytest.mark.parametrize(
    ("codec", "form"),
    [
        (H265(VPS, SPS, b""), {"profile": "Main", "size": (320, 240)}),
        (H265(VPS, SPS[:12], b""), {}),
        (H265(b"", b"", b""), {}),
        (H264(b"", b""), {}),
        (Vp9((640, 480), 2), {"profile": "Profile 2", "size": (640, 480)}),
        (Vp9(), {}),
        (Av1(AV1), {"profile": "Main", "size": (1280, 720)}),
        (Av1(), {}),
    ],
)
def test_headers_tell_profile_and_size(codec: Codec, form: dict[str, object]) -> None:
    assert codec_form(codec) == form
