"""The tables that say what is in a transport stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.fuzz.multiplexer import AAC, H264, OPUS, OPUS_DESCRIPTORS, pat, pmt, section

from streamsocket.errors import ParseError
from streamsocket.mpegts.tables import (
    ElementaryStream,
    Programme,
    SectionReader,
    crc_32,
    parse_pat,
    parse_pmt,
)

# A PAT that FFmpeg wrote: programme 1, its map in PID 0x1000.
FFMPEGS_PAT = bytes.fromhex("00b00d0001c100000001f0002ab104b2")


def test_the_crc_is_that_of_others() -> None:
    assert crc_32(b"123456789") == 0x0376E6E7  # CRC-32/MPEG-2's check value
    assert parse_pat(FFMPEGS_PAT) == (Programme(1, 0x1000),)


def test_the_networks_own_table_is_no_programme() -> None:
    programmes = {0: 0x10, 7: 0x200, 2: 0x300}
    assert parse_pat(pat(programmes=programmes)) == (Programme(7, 0x200), Programme(2, 0x300))


def test_only_the_first_section_is_looked_at_for_the_first_programme() -> None:
    assert parse_pat(section(0, 1, b"\x00\x09\xe1\x00", index=1)) == ()


def test_a_map_tells_its_streams() -> None:
    found = parse_pmt(pmt({0x50: (H264, b""), 0x51: (OPUS, OPUS_DESCRIPTORS), 0x52: (AAC, b"")}))
    assert found
    assert [(each.pid, each.stream_type) for each in found.streams] == [
        (0x50, H264),
        (0x51, OPUS),
        (0x52, AAC),
    ]
    opus = found.streams[1]
    assert (opus.registration, opus.extension(0x80)) == (b"Opus", b"\x02")
    assert found.streams[0] == ElementaryStream(0x50, H264)


def test_a_section_that_is_not_in_force_yet_is_left_alone() -> None:
    assert parse_pat(section(0, 1, b"\x00\x01\xe1\x00", current=0)) == ()
    assert parse_pmt(section(2, 1, b"\xe1\x00\xf0\x00", current=0)) is None


@given(st.integers(0, len(FFMPEGS_PAT) * 8 - 1))
def test_a_flipped_bit_is_found(bit: int) -> None:
    broken = bytearray(FFMPEGS_PAT)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(ParseError):
        parse_pat(bytes(broken))


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        section(2, 1, b""),
        section(2, 1, b"\xe1\x00\xf0"),
        section(2, 1, b"\xe1\x00\xf0\x08abc"),
        section(2, 1, b"\xe1\x00\xf0\x00\x1b\xe1\x00\xf0\x09abc"),
        section(0, 1, b"\xe1\x00\xf0\x00"),
    ],
)
def test_a_map_that_makes_no_sense_is_refused_or_empty(broken: bytes) -> None:
    try:
        found = parse_pmt(broken)
    except ParseError:
        return
    assert found is None


def test_sections_are_put_together_over_packets_and_out_of_one() -> None:
    reader = SectionReader()
    long = pmt(dict.fromkeys(range(0x100, 0x110), (AAC, b"\x05\x04abcd")))
    assert reader.push(b"\x00" + long[:100], begins=True, lost=False) == []
    assert reader.push(long[100:150], begins=False, lost=False) == []
    rest = long[150:]
    begins = bytes([len(rest)]) + rest + FFMPEGS_PAT + FFMPEGS_PAT + b"\xff" * 9
    found = reader.push(begins, begins=True, lost=False)
    assert found == [long, FFMPEGS_PAT, FFMPEGS_PAT]
    assert reader.push(b"\xff" * 184, begins=False, lost=False) == []


def test_a_section_with_a_hole_is_dropped_and_the_next_one_is_not() -> None:
    reader = SectionReader()
    long = pmt(dict.fromkeys(range(0x100, 0x110), (AAC, b"\x05\x04abcd")))
    reader.push(b"\x00" + long[:100], begins=True, lost=False)
    assert reader.push(long[120:], begins=False, lost=True) == []
    assert reader.push(b"\x00" + FFMPEGS_PAT, begins=True, lost=False) == [FFMPEGS_PAT]


@given(st.lists(st.tuples(st.binary(max_size=184), st.booleans(), st.booleans())))
def test_sections_out_of_anything_are_bounded(
    payloads: list[tuple[bytes, bool, bool]],
) -> None:
    reader = SectionReader()
    for payload, begins, lost in payloads:
        assert all(len(each) <= 1024 for each in reader.push(payload, begins=begins, lost=lost))
