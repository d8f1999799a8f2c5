"""Configuration records."""

from __future__ import annotations

import pytest
from rtmp_helpers import AVC, HEVC, OPUS, SOUND

from streamsocket.errors import ParseError
from streamsocket.media import h264, h265
from streamsocket.media.codec import H264, H265, Aac, Opus
from streamsocket.rtmp.records import build_record, parse_record


@pytest.mark.parametrize(
    ("codec", "length_size"), [(AVC, 4), (HEVC, 4), (SOUND, 0), (OPUS, 0), (Opus(1), 0)]
)
def test_what_is_written_is_read(codec: H264 | H265 | Aac | Opus, length_size: int) -> None:
    assert parse_record(codec.name, build_record(codec)) == (codec, length_size)


def test_an_avcc_record_byte_by_byte() -> None:
    record = build_record(AVC)
    assert record[:6] == bytes((1, 0x64, 0x00, 0x0C, 0xFF, 0xE1))
    assert record[6:8] == len(AVC.sps).to_bytes(2, "big")
    # High profile: 4:2:0, 8 bits, no SPS extensions.
    assert record[-4:] == bytes((0xFD, 0xF8, 0xF8, 0))
    assert h264.parse_avcc(record).sps == AVC.sps


def test_an_hvcc_record_byte_by_byte() -> None:
    record = build_record(HEVC)
    # Main profile, its compatibility flags, progressive and frames only, level 2.0.
    assert record[:13] == bytes.fromhex("01 01 60000000 900000000000 3c")
    assert record[13:23] == bytes.fromhex("f000 fc fd f8 f8 0000 0f 03")
    assert h265.parse_hvcc(record).pps == HEVC.pps


def test_an_opus_head_byte_by_byte() -> None:
    assert build_record(OPUS) == b"OpusHead" + bytes.fromhex("01 02 3801 80bb0000 0000 00")


@pytest.mark.parametrize(
    ("codec", "record"),
    [
        ("h264", b""),
        ("h264", build_record(AVC)[:20]),
        ("h265", b"\x01" * 22),
        ("aac", b""),
        ("aac", b"\xff"),
        ("opus", b"\x01\x02"),
        ("opus", b"OpusHead\x01\x06" + bytes(9)),
    ],
)
def test_broken_records_are_refused(codec: str, record: bytes) -> None:
    with pytest.raises(ParseError):
        parse_record(codec, record)


@pytest.mark.parametrize("codec", [H264(b"", b""), H265(b"", b"", b""), H264(AVC.sps, b"")])
def test_no_record_without_parameter_sets(codec: H264 | H265) -> None:
    with pytest.raises(ParseError):
        build_record(codec)
