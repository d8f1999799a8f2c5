"""Sequence parameter sets, and the two ways in which files keep NAL units."""

from streamsocket.errors import ParseError
from streamsocket.media.h264 import (
    is_keyframe,
    parse_avcc,
    parse_sps,
    split_annexb,
    split_length_prefixed,
)

_SPS = bytes.fromhex("6764001facd940500 5bb011000000300100000 0303c0f183196 0".replace(" ", ""))
_PPS = bytes.fromhex("68ebe3cb22c0")
SEEDS = [
    _SPS,
    b"\x00\x00\x00\x01" + _SPS + b"\x00\x00\x01" + _PPS,
    b"\x01\x64\x00\x1f\xff\xe1\x00" + bytes((len(_SPS),)) + _SPS + b"\x01\x00\x06" + _PPS,
    b"\x00\x00\x00\x06" + _PPS + b"\x00\x00\x00\x02\x65\x88",
]


def fuzz_one(data: bytes) -> None:
    try:
        parameters = parse_sps(data)
        assert 0 < parameters.width <= 16_384
        assert 0 < parameters.height <= 2 * 16_384
    except ParseError:
        pass
    try:
        configuration = parse_avcc(data)
        assert configuration.sps
        assert configuration.pps
    except ParseError:
        pass
    try:
        units = split_annexb(data)
        assert all(units)
        is_keyframe(units)
    except ParseError:
        pass
    for length_size in (1, 2, 4):
        try:
            units = split_length_prefixed(data, length_size)
        except ParseError:
            continue
        assert all(units)
        assert sum(len(unit) + length_size for unit in units) <= len(data)
        is_keyframe(units)
