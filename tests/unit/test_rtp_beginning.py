"""Whether a keyframe may begin with a packet."""

from __future__ import annotations

import pytest
from client_helpers import PICTURE, PPS, SPS

from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Codec, Opus, Vp8
from streamsocket.rtp.beginning import may_begin_keyframe
from streamsocket.rtp.payload import packetizer

VPS, SPS_265, PPS_265 = b"\x40\x01vps", b"\x42\x01sps", b"\x44\x01pps"
VP8_KEYFRAME = b"\x10\x02\x00\x9d\x01\x2a\x40\x01\xf0\x00" + bytes(3000)
VP8_PICTURE = b"\x11\x02\x00" + bytes(3000)


@pytest.mark.parametrize(
    ("codec", "units"),
    [
        (H264(SPS, PPS), [SPS, PPS, PICTURE + bytes(3000)]),
        (H264(SPS, PPS), [b"\x09\x10", SPS, PPS, PICTURE + bytes(3000)]),
        (H265(VPS, SPS_265, PPS_265), [VPS, SPS_265, PPS_265, b"\x26\x01\x80" + bytes(3000)]),
        (Vp8(), [VP8_KEYFRAME]),
    ],
)
def test_a_keyframes_first_packet_is_known(codec: Codec, units: list[bytes]) -> None:
    payloads = packetizer(codec).packetize(AccessUnit(units, 0, keyframe=True))
    assert [may_begin_keyframe(codec, each) for each in payloads] == [True] + [False] * (
        len(payloads) - 1
    )


@pytest.mark.parametrize(
    ("codec", "units"),
    [(H264(SPS, PPS), [b"\x41\x88" + bytes(3000)]), (Vp8(), [VP8_PICTURE])],
)
def test_other_pictures_begin_none(codec: Codec, units: list[bytes]) -> None:
    payloads = packetizer(codec).packetize(AccessUnit(units, 0, keyframe=False))
    assert not any(may_begin_keyframe(codec, each) for each in payloads)


@pytest.mark.parametrize("codec", [H264(SPS, PPS), H265(VPS, SPS_265, PPS_265), Vp8(), Opus()])
@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xff", b"\x7c", b"\x18"])
def test_nonsense_begins_nothing_and_does_no_harm(codec: Codec, payload: bytes) -> None:
    assert may_begin_keyframe(codec, payload) in (True, False)
