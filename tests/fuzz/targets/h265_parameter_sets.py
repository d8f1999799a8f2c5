"""Parameter sets of H.265, its configuration record, and NAL units as files keep them."""

import contextlib

from streamsocket.errors import ParseError
from streamsocket.media.codec import H265
from streamsocket.media.h265 import (
    LAST_SLICE,
    SYNTAX,
    is_irap,
    is_keyframe,
    nal_type,
    parse_hvcc,
    parse_sps,
    split_annexb,
    starts_picture,
)
from streamsocket.rtp.parameter_sets import ParameterSets

_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
_SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
)
_RICH_SPS = bytes.fromhex(  # scaling lists, sets of reference pictures, PCM
    "420105016000000300900000030000030078d0000100000300000300000300000300005a5da003c0"
    "801107cb96b6a579244bffff911117fffffffffffffffc8888bffffffffffffffff22222ffffffff"
    "ffffffffcbbbe235fda6fa05f0080000030008000003019040"
)
_PPS = bytes.fromhex("4401c073c089")
SEEDS = [
    _SPS,
    _RICH_SPS,
    b"".join(b"\x00\x00\x01" + unit for unit in (_VPS, _SPS, _PPS, b"\x26\x01\xaf")),
    b"\x01"
    + bytes(20)
    + b"\xff\x03"
    + b"".join(bytes((unit[0] >> 1, 0, 1, 0, len(unit))) + unit for unit in (_VPS, _SPS, _PPS)),
]


def fuzz_one(data: bytes) -> None:
    with contextlib.suppress(ParseError):
        parameters = parse_sps(data)
        assert 0 < parameters.width <= 16_888
        assert 0 < parameters.height <= 16_888
        assert SYNTAX.parameter_set_id(data) >= 0
    with contextlib.suppress(ParseError):
        configuration = parse_hvcc(data)
        assert configuration.vps
        assert configuration.sps
        assert configuration.pps
    with contextlib.suppress(ParseError):
        units = split_annexb(data)
        assert all(units)
        assert is_keyframe(units) >= is_irap(units)
        for unit in units:
            if nal_type(unit) <= LAST_SLICE:
                starts_picture(unit)
        sets = ParameterSets(H265(b"", b"", b""))
        assert {SYNTAX.nal_type(unit) for unit in units} <= set(map(nal_type, sets.put_in(units)))
        codec = sets.codec
        known = [bool(unit) for unit in (codec.vps, codec.sps, codec.pps)]
        assert all(known) or not any(known)
