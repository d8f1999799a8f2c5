"""H.264's parameter sets and how NAL units are kept, against what x264 writes."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.media import h264

SPS = bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a")  # 1920x1080, 25 fps
PPS = bytes.fromhex("68ce0f2c80")
# A NAL unit neither ends with a zero byte nor holds a start code (7.4.1).
nal_units = st.lists(
    st.binary(max_size=20).map(lambda body: b"\x65" + body.replace(b"\x00", b"\x01") + b"\x80"),
    min_size=1,
    max_size=5,
)


def extradata(size: tuple[int, int], options: dict[str, str], pix_fmt: str = "yuv420p") -> bytes:
    """SPS and PPS that x264 makes, as a byte stream."""
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = pix_fmt
    encoder.time_base = Fraction(1001, 30000)
    encoder.framerate = Fraction(30000, 1001)
    encoder.options = {"preset": "ultrafast", "x264-params": "log=0", **options}
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    assert encoder.extradata
    return encoder.extradata


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (640, 360), (2, 2), (498, 1002)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_size_is_that_of_the_encoder(size: tuple[int, int], pix_fmt: str) -> None:
    sps = h264.split_annexb(extradata(size, {}, pix_fmt))[0]
    parameters = h264.parse_sps(sps)
    assert (parameters.width, parameters.height) == size
    assert parameters.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize(
    "options",
    [
        {"x264-params": "log=0:interlaced=1"},
        {"x264-params": "log=0:nal-hrd=cbr:vbv-maxrate=1000:vbv-bufsize=1000:bitrate=1000"},
        {"x264-params": "log=0:cqm=jvt:8x8dct=1", "profile": "high"},
        {"x264-params": "log=0:sar=255/7:range=pc:colorprim=bt709:chromaloc=2:overscan=show"},
    ],
    ids=["interlaced", "hrd", "scaling lists", "display"],
)
def test_everything_before_the_size_and_the_rate_is_read(options: dict[str, str]) -> None:
    parameters = h264.parse_sps(h264.split_annexb(extradata((720, 572), options))[0])
    assert (parameters.width, parameters.height) == (720, 572)
    assert parameters.frame_rate == Fraction(30000, 1001)
    assert parameters.max_reorder == 0


@pytest.mark.parametrize(
    ("options", "reorder"),
    [("bframes=0", 0), ("bframes=1", 1), ("bframes=3:b-pyramid=normal", 2)],
)
def test_reordering_depth_is_read(options: str, reorder: int) -> None:
    data = extradata((320, 240), {"preset": "medium", "x264-params": f"log=0:{options}"})
    assert h264.parse_sps(h264.split_annexb(data)[0]).max_reorder == reorder


def test_profile_and_level_are_read() -> None:
    parameters = h264.parse_sps(SPS)
    assert (parameters.profile_idc, parameters.constraint_flags, parameters.level_idc) == (
        66,
        0xC0,
        31,
    )


def test_baseline_without_restriction_is_never_reordered() -> None:
    bare = bytes.fromhex("6742001e9a7402802dc80f")[:-1] + b"\x80"
    assert h264.parse_sps(bare).max_reorder == 0


def test_vui_that_is_cut_off_does_not_cost_the_size() -> None:
    cut = h264.parse_sps(SPS[:13])
    assert (cut.width, cut.height, cut.frame_rate) == (1920, 1080, None)


@pytest.mark.parametrize(
    "sps",
    [b"", b"\x67", PPS, SPS[:5], b"\x67\x42\xc0\x1f" + bytes(20), b"\x67" + b"\xff" * 5000],
)
def test_nonsense_is_refused(sps: bytes) -> None:
    with pytest.raises(ParseError):
        h264.parse_sps(sps)


@given(nal_units, st.lists(st.sampled_from([b"\x00\x00\x01", b"\x00\x00\x00\x01"]), min_size=5))
def test_byte_stream_is_split_at_start_codes(units: list[bytes], codes: list[bytes]) -> None:
    stream = b"".join(code + unit for code, unit in zip(codes, units, strict=False))
    assert h264.split_annexb(stream) == units
    assert h264.split_annexb(stream + b"\x00\x00") == units


@given(nal_units, st.sampled_from([1, 2, 4]))
def test_sample_is_split_by_its_lengths(units: list[bytes], length_size: int) -> None:
    sample = b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
    assert h264.split_length_prefixed(sample, length_size) == units
    for end in range(1, min(len(units[-1]), len(sample))):
        with pytest.raises(ParseError):
            h264.split_length_prefixed(sample[:-end], length_size)


@pytest.mark.parametrize(
    ("split", "data"),
    [
        (h264.split_annexb, b"\x65\x88"),
        (h264.split_annexb, b"\xff\x00\x00\x01\x65"),
        (lambda data: h264.split_length_prefixed(data, 4), b"\x00\x00"),
        (lambda data: h264.split_length_prefixed(data, 4), b"\xff\xff\xff\xff\x65"),
    ],
)
def test_what_is_no_stream_of_nal_units_is_refused(
    split: Callable[[bytes], list[bytes]], data: bytes
) -> None:
    with pytest.raises(ParseError):
        split(data)


def test_nothing_has_no_nal_units() -> None:
    assert h264.split_annexb(b"") == []
    assert h264.split_length_prefixed(b"", 4) == []
    assert h264.split_length_prefixed(bytes(8), 4) == []


def avcc(*, sps: list[bytes], pps: list[bytes], length_size: int = 4) -> bytes:
    record = bytes((1, 66, 0xC0, 31, 0xFC | length_size - 1, 0xE0 | len(sps)))
    for unit in sps:
        record += len(unit).to_bytes(2, "big") + unit
    record += bytes((len(pps),))
    for unit in pps:
        record += len(unit).to_bytes(2, "big") + unit
    return record


def test_avcc_gives_its_first_parameter_sets() -> None:
    record = avcc(sps=[SPS, SPS + b"\x01"], pps=[PPS, b"\x68\x01"], length_size=2)
    assert h264.parse_avcc(record + b"\xfd\xf8\xf8\x00") == h264.AvcConfiguration(SPS, PPS, 2)


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x00\x00\x00\x01" + SPS,
        avcc(sps=[], pps=[PPS]),
        avcc(sps=[SPS], pps=[]),
        avcc(sps=[PPS], pps=[PPS]),
        avcc(sps=[SPS], pps=[b""]),
        avcc(sps=[SPS], pps=[PPS], length_size=3),
        avcc(sps=[SPS], pps=[PPS])[:-1],
        avcc(sps=[SPS], pps=[PPS])[: -len(PPS) - 3],
    ],
)
def test_broken_avcc_is_refused(record: bytes) -> None:
    with pytest.raises(ParseError):
        h264.parse_avcc(record)


def test_decoding_begins_at_idr_pictures_and_recovery_points() -> None:
    idr, picture = b"\x65\x88", b"\x41\x9a"
    recovery_point = bytes.fromhex("06 01 01 00 06 01 c4 80")  # after another message
    user_data = b"\x06\x05\xff\x02" + b"\x06" * 257 + b"\x80"
    assert h264.is_idr([SPS, PPS, idr])
    assert h264.is_keyframe([SPS, PPS, idr])
    assert not h264.is_idr([recovery_point, picture])
    assert h264.is_keyframe([recovery_point, picture])
    assert not h264.is_keyframe([user_data, picture, b""])
    assert not h264.is_keyframe([b"\x06", b"\x06\xff\xff", picture])


def test_the_first_slice_of_a_picture_is_known() -> None:
    assert h264.starts_picture(b"\x65\x88")
    assert not h264.starts_picture(b"\x65\x40")
    assert not h264.starts_picture(b"\x65")
