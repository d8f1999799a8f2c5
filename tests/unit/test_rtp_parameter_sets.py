"""Which parameter sets are in force, and where they are put in."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.codec import H264
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
