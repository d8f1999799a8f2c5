"""H.264 NAL units: types, byte stream and MP4 framing, the sequence parameter set."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader

SLICE, IDR, SEI, SPS, PPS, ACCESS_UNIT_DELIMITER, FILLER = 1, 5, 6, 7, 8, 9, 12
"""NAL unit types (H.264, table 7-1)."""

_START_CODE = re.compile(b"\x00\x00\x01")
_EMULATION_PREVENTION = re.compile(b"\x00\x00\x03(?=[\x00-\x03]|$)", re.DOTALL)

# Profiles whose SPS describes the chroma format (7.3.2.1.1).
_HIGH_PROFILES = {100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135}
_EXTENDED_SAR = 255
_MAX_SIDE = 16_384


def nal_type(unit: bytes | memoryview) -> int:
    """The type of a NAL unit, from its first byte."""
    return unit[0] & 0x1F


def is_idr(units: Iterable[bytes]) -> bool:
    """Whether an access unit is an instantaneous decoding refresh: nothing before it is needed."""
    return any(unit and unit[0] & 0x1F == IDR for unit in units)


def split_annexb(data: bytes) -> list[bytes]:
    """Cut a byte stream at its start codes (H.264, B.1). Empty units are left out."""
    starts = [match.end() for match in _START_CODE.finditer(data)]
    ends = [start - 3 for start in starts[1:]] + [len(data)]
    units = (data[start:end].rstrip(b"\x00") for start, end in zip(starts, ends, strict=True))
    return [unit for unit in units if unit]


def split_length_prefixed(data: bytes, length_size: int) -> list[bytes]:
    """Cut MP4's framing, in which each NAL unit follows its length (ISO/IEC 14496-15, 5.3.4.2).

    Raises `ParseError` where a unit is longer than what is left.
    """
    units = []
    offset = 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + length_size], "big")
        offset += length_size
        if offset + length > len(data):
            raise ParseError(
                f"A NAL unit claims {length} bytes where {max(0, len(data) - offset)} are left."
            )
        if length:
            units.append(data[offset : offset + length])
        offset += length
    return units


class AvcConfiguration(NamedTuple):
    """What an MP4's avcC box says."""

    sps: bytes
    pps: bytes
    length_size: int


def parse_avcc(extradata: bytes) -> AvcConfiguration:
    """Read an AVCDecoderConfigurationRecord (ISO/IEC 14496-15, 5.3.3.1). Raises `ParseError`."""
    if len(extradata) < 7 or extradata[0] != 1:
        raise ParseError("This is no AVC decoder configuration record.")
    sps, offset = _parameter_sets(extradata, 5, extradata[5] & 0x1F)
    if offset >= len(extradata):
        raise ParseError("An AVC decoder configuration record has no PPS.")
    pps, _ = _parameter_sets(extradata, offset, extradata[offset])
    if not sps or not pps:
        raise ParseError("An AVC decoder configuration record has no parameter sets.")
    return AvcConfiguration(sps[0], pps[0], (extradata[4] & 3) + 1)


def _parameter_sets(extradata: bytes, offset: int, count: int) -> tuple[list[bytes], int]:
    sets = []
    offset += 1
    for _ in range(count):
        length = int.from_bytes(extradata[offset : offset + 2], "big")
        unit = extradata[offset + 2 : offset + 2 + length]
        if not length or len(unit) < length:
            raise ParseError("An AVC decoder configuration record ends within a parameter set.")
        sets.append(unit)
        offset += 2 + length
    return sets, offset


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a sequence parameter set says of the pictures."""

    width: int
    height: int
    profile_idc: int
    level_idc: int
    constraint_flags: int
    frame_rate: Fraction | None
    """From the VUI; None where it says nothing."""
    max_reorder: int | None
    """By how many pictures decoding order may run ahead of display; None where it is not said."""

    @property
    def profile_level_id(self) -> str:
        """The six hexadecimal digits of RFC 6184, 8.1."""
        return f"{self.profile_idc:02X}{self.constraint_flags:02X}{self.level_idc:02X}"


@lru_cache(maxsize=256)
def parse_sps(sps: bytes) -> SequenceParameters:
    """Read a sequence parameter set NAL unit (H.264, 7.3.2.1.1). Raises `ParseError`."""
    if len(sps) < 4 or nal_type(sps) != SPS:
        raise ParseError("This is no H.264 sequence parameter set.")
    bits = BitReader(_EMULATION_PREVENTION.sub(b"\x00\x00", sps[1:]), "An H.264 SPS")
    profile_idc, constraint_flags, level_idc = bits.read(8), bits.read(8), bits.read(8)
    bits.unsigned()  # seq_parameter_set_id
    chroma_format = 1
    if profile_idc in _HIGH_PROFILES:
        chroma_format = _high_profile_fields(bits)
    bits.unsigned()  # log2_max_frame_num_minus4
    _picture_order(bits)
    bits.unsigned()  # max_num_ref_frames
    bits.read(1)  # gaps_in_frame_num_value_allowed_flag
    width = (bits.unsigned() + 1) * 16
    map_units = bits.unsigned() + 1
    frame_mbs_only = bits.read(1)
    height = map_units * 16 * (2 - frame_mbs_only)
    if not frame_mbs_only:
        bits.read(1)  # mb_adaptive_frame_field_flag
    bits.read(1)  # direct_8x8_inference_flag
    if bits.read(1):
        left, right, top, bottom = (bits.unsigned() for _ in range(4))
        unit_x = 2 if chroma_format in (1, 2) else 1
        unit_y = (2 if chroma_format == 1 else 1) * (2 - frame_mbs_only)
        width -= (left + right) * unit_x
        height -= (top + bottom) * unit_y
    if not (0 < width <= _MAX_SIDE and 0 < height <= _MAX_SIDE):
        raise ParseError(f"An H.264 SPS has a picture of {width}x{height}.")
    frame_rate, max_reorder = _vui(bits) if bits.read(1) else (None, None)
    return SequenceParameters(
        width, height, profile_idc, level_idc, constraint_flags, frame_rate, max_reorder
    )


def _high_profile_fields(bits: BitReader) -> int:
    chroma_format = bits.unsigned()
    if chroma_format == 3:
        bits.read(1)  # separate_colour_plane_flag
    bits.unsigned()  # bit_depth_luma_minus8
    bits.unsigned()  # bit_depth_chroma_minus8
    bits.read(1)  # qpprime_y_zero_transform_bypass_flag
    if bits.read(1):
        for index in range(12 if chroma_format == 3 else 8):
            if bits.read(1):
                _skip_scaling_list(bits, 16 if index < 6 else 64)
    return chroma_format


def _skip_scaling_list(bits: BitReader, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.signed()) % 256
        last = following or last


def _picture_order(bits: BitReader) -> None:
    order_type = bits.unsigned()
    if order_type == 0:
        bits.unsigned()  # log2_max_pic_order_cnt_lsb_minus4
    elif order_type == 1:
        bits.read(1)  # delta_pic_order_always_zero_flag
        bits.signed()  # offset_for_non_ref_pic
        bits.signed()  # offset_for_top_to_bottom_field
        count = bits.unsigned()
        if count > 255:
            raise ParseError(f"An H.264 SPS has {count} reference frames in a cycle.")
        for _ in range(count):
            bits.signed()


def _vui(bits: BitReader) -> tuple[Fraction | None, int | None]:
    """Frame rate and reordering depth from the VUI parameters (H.264, E.1.1)."""
    if bits.read(1) and bits.read(8) == _EXTENDED_SAR:
        bits.read(32)
    if bits.read(1):
        bits.read(1)  # overscan_appropriate_flag
    if bits.read(1):
        bits.read(4)  # video_format, video_full_range_flag
        if bits.read(1):
            bits.read(24)  # colour description
    if bits.read(1):
        bits.unsigned()
        bits.unsigned()
    frame_rate = None
    if bits.read(1):
        ticks, time_scale = bits.read(32), bits.read(32)
        bits.read(1)  # fixed_frame_rate_flag
        if ticks and time_scale:
            frame_rate = Fraction(time_scale, 2 * ticks)
    nal_hrd = bits.read(1)
    if nal_hrd:
        _skip_hrd(bits)
    vcl_hrd = bits.read(1)
    if vcl_hrd:
        _skip_hrd(bits)
    if nal_hrd or vcl_hrd:
        bits.read(1)  # low_delay_hrd_flag
    bits.read(1)  # pic_struct_present_flag
    if not bits.read(1):
        return frame_rate, None
    bits.read(1)  # motion_vectors_over_pic_boundaries_flag
    for _ in range(4):
        bits.unsigned()
    return frame_rate, bits.unsigned()


def _skip_hrd(bits: BitReader) -> None:
    count = bits.unsigned() + 1
    if count > 32:
        raise ParseError(f"An H.264 SPS has {count} hypothetical decoders.")
    bits.read(8)
    for _ in range(count):
        bits.unsigned()
        bits.unsigned()
        bits.read(1)
    bits.read(20)
