"""H.264: NAL units, how they are laid out in files, and what a parameter set says.

Section numbers are those of ITU-T H.264; `avcC` is ISO/IEC 14496-15, 5.3.3.1.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader
from streamsocket.media.nal import NalSyntax, read_units, unescaped
from streamsocket.media.nal import split_annexb as split_annexb
from streamsocket.media.nal import split_length_prefixed as split_length_prefixed

# NAL unit types (table 7-1).
SLICE = 1
IDR = 5
SEI = 6
SPS = 7
PPS = 8
ACCESS_UNIT_DELIMITER = 9

_EXTENDED_SAR = 255
_MAX_SPS_BYTES = 4096
_MAX_MACROBLOCKS = 1024  # 16,384 pixels a side, as much as level 6.2 can hold
_BEFORE_ID = {SPS: 4, PPS: 1}
"""Bytes of a parameter set before the Exp-Golomb code of its id (7.3.2.1.1, 7.3.2.2)."""
_MAX_ID = {SPS: 31, PPS: 255}
_BASELINE = 66
_PROFILES_WITH_CHROMA = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_PROFILES_WITH_INTRA_ONLY = {44, 86, 100, 110, 122, 244}
_CROP_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""Width and height, in pixels, of one step of cropping, by chroma_format_idc (table 6-1)."""


@dataclass(frozen=True, slots=True)
class AvcConfiguration:
    """What MP4 and Matroska keep beside the stream: the `avcC` record."""

    sps: bytes
    pps: bytes
    length_size: int
    """How many bytes the length before each NAL unit has: 1, 2 or 4."""


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a sequence parameter set says (7.3.2.1.1)."""

    width: int
    """In pixels, after cropping."""
    height: int
    profile_idc: int
    level_idc: int
    constraint_flags: int
    """constraint_set0_flag is bit 7, constraint_set5_flag bit 2."""
    frame_rate: Fraction | None
    """Pictures a second if the timing information says so; cameras often lie here."""
    max_reorder: int | None
    """How many pictures can precede one in decoding order and follow it in output order."""


def nal_type(unit: bytes | memoryview) -> int:
    """The type of a NAL unit, which must not be empty."""
    return unit[0] & 0x1F


def is_idr(units: Iterable[bytes]) -> bool:
    """Whether there is a slice of an IDR picture among these NAL units."""
    return any(unit[0] & 0x1F == IDR for unit in units if unit)


def is_keyframe(units: Iterable[bytes]) -> bool:
    """Whether decoding can begin with these NAL units: an IDR picture, or a recovery point (D.2.8).

    Streams with open GOPs or gradual intra refresh have no other place to begin.
    """
    return SYNTAX.is_keyframe(units)


def starts_picture(slice_unit: bytes | memoryview) -> bool:
    """Whether a slice is the first of its picture: its first_mb_in_slice is 0 (7.3.3)."""
    return SYNTAX.starts_picture(slice_unit)


def parse_avcc(extradata: bytes) -> AvcConfiguration:
    """The first SPS and the first PPS of an `avcC` record, and the size of its lengths."""
    if len(extradata) < 7 or extradata[0] != 1:
        raise ParseError("The H.264 configuration is not an avcC record of version 1.")
    length_size = (extradata[4] & 3) + 1
    if length_size == 3:
        raise ParseError("The avcC record gives NAL units lengths of 3 bytes, which is forbidden.")
    sps, position = _first_unit(extradata, 5, 0x1F)
    pps, _ = _first_unit(extradata, position, 0xFF)
    if nal_type(sps) != SPS or nal_type(pps) != PPS:
        raise ParseError("The avcC record holds something else where SPS and PPS should be.")
    return AvcConfiguration(sps, pps, length_size)


def _first_unit(record: bytes, position: int, count_mask: int) -> tuple[bytes, int]:
    """The first of an avcC record's list of NAL units, and where the list ends."""
    if position >= len(record) or not (count := record[position] & count_mask):
        raise ParseError("The avcC record has no SPS or no PPS.")
    units, position = read_units(record, position + 1, count)
    return units[0], position


def _parameter_set_id(unit: bytes) -> int:
    """The id of an SPS or a PPS (7.4.2.1.1, 7.4.2.2). Raises ParseError for one that can't be."""
    start = _BEFORE_ID[nal_type(unit)]
    number = BitReader(unit[start : start + 4]).unsigned()
    if number > _MAX_ID[nal_type(unit)]:
        raise ParseError(f"An H.264 parameter set has the impossible id {number}.")
    return number


SYNTAX = NalSyntax(
    header_size=1,
    type_shift=0,
    type_mask=0x1F,
    last_slice=IDR,
    keyframes=frozenset({IDR}),
    sei=SEI,
    delimiter=ACCESS_UNIT_DELIMITER,
    parameter_sets=(SPS, PPS),
    parameter_set_id=_parameter_set_id,
)


@lru_cache(maxsize=64)
def parse_sps(sps: bytes) -> SequenceParameters:
    """Read a sequence parameter set: a whole NAL unit, without start code."""
    if len(sps) < 4 or nal_type(sps) != SPS:
        raise ParseError("This is not a sequence parameter set of H.264.")
    if len(sps) > _MAX_SPS_BYTES:
        raise ParseError(
            f"A sequence parameter set of {len(sps)} bytes is longer than any real one."
        )
    profile_idc, constraint_flags, level_idc = sps[1:4]
    bits = BitReader(unescaped(sps[4:]))

    bits.unsigned()  # seq_parameter_set_id
    chroma_format = _read_chroma(bits) if profile_idc in _PROFILES_WITH_CHROMA else 1
    bits.unsigned()  # log2_max_frame_num_minus4
    order_count_type = _read_order_count(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.flag()  # gaps_in_frame_num_value_allowed_flag
    width, height = _read_size(bits, chroma_format)

    frame_rate, max_reorder = _read_vui(bits) if bits.flag() else (None, None)
    if max_reorder is None and (
        profile_idc == _BASELINE  # it has no B slices (A.2.1)
        or order_count_type == 2  # output order is decoding order (8.2.1.3)
        or (profile_idc in _PROFILES_WITH_INTRA_ONLY and constraint_flags & 0x10)  # E.2.1
    ):
        max_reorder = 0
    return SequenceParameters(
        width, height, profile_idc, level_idc, constraint_flags, frame_rate, max_reorder
    )


def _read_chroma(bits: BitReader) -> int:
    """Read what only the High profiles have; returns ChromaArrayType (7.4.2.1.1)."""
    chroma_format = bits.unsigned()
    if chroma_format > 3:
        raise ParseError(f"The chroma format {chroma_format} does not exist in H.264.")
    separate_planes = chroma_format == 3 and bits.flag()
    bits.unsigned()  # bit_depth_luma_minus8
    bits.unsigned()  # bit_depth_chroma_minus8
    bits.flag()  # qpprime_y_zero_transform_bypass_flag
    if bits.flag():  # seq_scaling_matrix_present_flag
        for index in range(12 if chroma_format == 3 else 8):
            if bits.flag():
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return 0 if separate_planes else chroma_format


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    """7.3.2.1.1.1."""
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _read_order_count(bits: BitReader) -> int:
    """Read how pictures are ordered; returns pic_order_cnt_type."""
    order_count_type = bits.unsigned()
    if order_count_type == 0:
        bits.unsigned()  # log2_max_pic_order_cnt_lsb_minus4
    elif order_count_type == 1:
        bits.flag()  # delta_pic_order_always_zero_flag
        bits.signed()  # offset_for_non_ref_pic
        bits.signed()  # offset_for_top_to_bottom_field
        for _ in range(bits.unsigned()):
            bits.signed()  # offset_for_ref_frame
    return order_count_type


def _read_size(bits: BitReader, chroma_format: int) -> tuple[int, int]:
    """Width and height in pixels, after cropping."""
    columns = bits.unsigned() + 1
    rows = bits.unsigned() + 1
    if columns > _MAX_MACROBLOCKS or rows > _MAX_MACROBLOCKS:
        raise ParseError(
            f"A picture of {16 * columns} by {16 * rows} pixels is too large for H.264."
        )
    frames_only = bits.flag()
    if not frames_only:
        bits.flag()  # mb_adaptive_frame_field_flag
    fields = 1 if frames_only else 2
    bits.flag()  # direct_8x8_inference_flag
    width, height = 16 * columns, 16 * rows * fields
    if bits.flag():  # frame_cropping_flag
        unit_width, unit_height = _CROP_UNITS[chroma_format]
        width -= unit_width * (bits.unsigned() + bits.unsigned())
        height -= unit_height * fields * (bits.unsigned() + bits.unsigned())
    if width <= 0 or height <= 0:
        raise ParseError("The picture's cropping leaves nothing of it.")
    return width, height


def _read_vui(bits: BitReader) -> tuple[Fraction | None, int | None]:
    """Frame rate and max_num_reorder_frames from the video usability information (E.1.1)."""
    frame_rate = max_reorder = None
    try:
        _skip_vui_display(bits)
        if bits.flag():  # timing_info_present_flag
            units_in_tick, time_scale = bits.read(32), bits.read(32)
            bits.flag()  # fixed_frame_rate_flag
            if units_in_tick and time_scale:
                frame_rate = Fraction(time_scale, 2 * units_in_tick)  # a tick is a field
        nal_hrd = bits.flag()
        if nal_hrd:
            _skip_hrd(bits)
        vcl_hrd = bits.flag()
        if vcl_hrd:
            _skip_hrd(bits)
        if nal_hrd or vcl_hrd:
            bits.flag()  # low_delay_hrd_flag
        bits.flag()  # pic_struct_present_flag
        if bits.flag():  # bitstream_restriction_flag
            bits.flag()  # motion_vectors_over_pic_boundaries_flag
            for _ in range(4):
                bits.unsigned()  # max_bytes_per_pic_denom … log2_max_mv_length_vertical
            max_reorder = bits.unsigned()
    except ParseError:
        # Cameras cut it short, or write it wrongly; the picture is none the worse for it.
        pass
    return frame_rate, max_reorder


def _skip_vui_display(bits: BitReader) -> None:
    """What the VUI says about showing the picture."""
    if bits.flag() and bits.read(8) == _EXTENDED_SAR:  # aspect_ratio_info_present_flag
        bits.read(32)
    if bits.flag():  # overscan_info_present_flag
        bits.flag()
    if bits.flag():  # video_signal_type_present_flag
        bits.read(4)
        if bits.flag():  # colour_description_present_flag
            bits.read(24)
    if bits.flag():  # chroma_loc_info_present_flag
        bits.unsigned()
        bits.unsigned()


def _skip_hrd(bits: BitReader) -> None:
    """The hypothetical reference decoder's parameters (E.1.2)."""
    count = bits.unsigned() + 1
    bits.read(8)
    for _ in range(count):
        bits.unsigned()
        bits.unsigned()
        bits.flag()
    bits.read(20)
