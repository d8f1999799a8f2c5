"""Which parameter sets are in force, and where they are put in."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264, H265
from streamsocket.rtp.parameter_sets import ParameterSets

SPS, PPS = b"\x67\x42\xc0\x1f\xda\x01", b"\x68\xce\x38\x80"
SECOND_PPS = b"\x68\x5b\xc8\x04"  # of id 1
NEW_SPS, NEW_PPS = b"\x67\x42\xc0\x28\xda\x02", b"\x68\xce\x0f\x2c"
IDR = b"\x65\x88"


def test_the_codec_stays_the_same_object_while_nothing_changes() -> None:
    codec = H264(SPS, PPS)
    sets = ParameterSets(codec)
    for unit in (SPS, PPS, SECOND_PPS, SPS, PPS, SECOND_PPS):
        sets.learn(unit)
    assert sets.codec is codec


def test_the_codec_changes_when_the_new_pair_is_whole() -> None:
    sets = ParameterSets(H264(SPS, PPS))
    sets.learn(NEW_SPS)
    assert sets.codec == H264(SPS, PPS)
    sets.learn(NEW_PPS)
    assert sets.codec == H264(NEW_SPS, NEW_PPS)


def test_all_that_are_in_force_are_put_in() -> None:
    sets = ParameterSets(H264(b"", b""))
    assert sets.put_in([IDR]) == [IDR]
    sets.put_in([SPS, PPS, SECOND_PPS, IDR])
    assert sets.put_in([IDR]) == [SPS, PPS, SECOND_PPS, IDR]


def test_those_of_the_sequence_before_are_forgotten() -> None:
    sets = ParameterSets(H264(SPS, PPS))
    sets.learn(SECOND_PPS)
    sets.put_in([NEW_SPS, NEW_PPS, IDR])
    assert sets.put_in([IDR]) == [NEW_SPS, NEW_PPS, IDR]


def test_broken_ones_are_passed_on_but_not_learnt() -> None:
    sets = ParameterSets(H264(b"\x67\x42", b"\x68"))
    assert sets.put_in([b"\x68", IDR]) == [b"\x68", IDR]
    assert sets.put_in([IDR]) == [IDR]
    for broken in (b"\x67\x42\xc0\x1f", b"\x67\x42\xc0\x1f\x04\x20", b"\x68\x00\x7f\xff\xff"):
        with pytest.raises(ParseError):
            sets.learn(broken)


VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
HEVC_SPS = bytes.fromhex(
    "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
)
HEVC_PPS, SECOND_HEVC_PPS = b"\x44\x01\xc0\x73\xc0\x89", b"\x44\x01\x58\x73\xc0\x89"
HEVC_IDR = b"\x26\x01\xaf"


def test_h265_has_three_of_them() -> None:
    codec = H265(VPS, HEVC_SPS, HEVC_PPS)
    sets = ParameterSets(codec)
    sets.learn(SECOND_HEVC_PPS)
    assert sets.put_in([HEVC_IDR]) == [VPS, HEVC_SPS, HEVC_PPS, SECOND_HEVC_PPS, HEVC_IDR]
    assert sets.codec is codec


def test_a_new_vps_ends_what_referred_to_the_old_one() -> None:
    codec = H265(VPS, HEVC_SPS, HEVC_PPS)
    sets = ParameterSets(codec)
    sets.learn(new := VPS + b"\x80")
    assert sets.codec is codec
    assert sets.put_in([HEVC_IDR]) == [new, HEVC_IDR]
    sets.put_in([HEVC_SPS, HEVC_PPS])
    assert sets.codec == H265(new, HEVC_SPS, HEVC_PPS)


def test_those_of_other_layers_are_not_in_force() -> None:
    sets = ParameterSets(H265(VPS, HEVC_SPS, HEVC_PPS))
    with pytest.raises(ParseError, match="layer"):
        sets.learn(b"\x42\x09" + HEVC_SPS[2:])
    assert sets.codec == H265(VPS, HEVC_SPS, HEVC_PPS)
