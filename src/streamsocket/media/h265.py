"""H.265: NAL units, how they are laid out in files, and what a parameter set says.

Section numbers are those of ITU-T H.265; `hvcC` is ISO/IEC 14496-15, 8.3.3.1.
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
LAST_SLICE = 31
BLA_W_LP = 16
IDR_W_RADL = 19
IDR_N_LP = 20
CRA = 21
VPS = 32
SPS = 33
PPS = 34
ACCESS_UNIT_DELIMITER = 35
SEI = 39
"""The one that precedes its picture; type 40 follows it."""

_IRAP = frozenset(range(BLA_W_LP, CRA + 1))
_EXTENDED_SAR = 255
_MAX_PARAMETER_SET_BYTES = 4096
_MAX_SIDE = 16_888  # pixels, as much as level 6.2 can hold (A.4.1)
_CROP_UNITS = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}
"""Width and height, in pixels, of one step of cropping, by chroma_format_idc (table 6-1)."""
_MAX_IDS = {VPS: 15, SPS: 15, PPS: 63}
_PROFILE_BITS = 88  # of the general profile and of a sub-layer's, without the level (7.3.3)


@dataclass(frozen=True, slots=True)
class HevcConfiguration:
    """What MP4 and Matroska keep beside the stream: the `hvcC` record."""

    vps: bytes
    sps: bytes
    pps: bytes
    length_size: int
    """How many bytes the length before each NAL unit has: 1, 2 or 4."""


@dataclass(frozen=True, slots=True)
class SequenceParameters:
    """What a sequence parameter set says (7.3.2.2.1)."""

    width: int
    """In pixels, after cropping."""
    height: int
    profile_idc: int
    tier: int
    """0 is the Main tier, 1 the High tier."""
    level_idc: int
    """Thirty times the level: 93 is level 3.1."""
    frame_rate: Fraction | None
    """Pictures a second if the timing information says so."""
    max_reorder: int
    """How many pictures can precede one in decoding order and follow it in output order."""


def nal_type(unit: bytes | memoryview) -> int:
    """The type of a NAL unit, which must not be empty."""
    return unit[0] >> 1 & 0x3F


def is_irap(units: Iterable[bytes]) -> bool:
    """Whether there is a slice of an IDR, CRA or BLA picture among these NAL units."""
    return any(nal_type(unit) in _IRAP for unit in units if unit)


def is_keyframe(units: Iterable[bytes]) -> bool:
    """Whether decoding can begin with these: an IRAP picture, or a recovery point (D.3.8).

    Streams with gradual intra refresh have no other place to begin.
    """
    return SYNTAX.is_keyframe(units)


def starts_picture(slice_unit: bytes | memoryview) -> bool:
    """Whether a slice is its picture's first: first_slice_segment_in_pic_flag (7.3.6.1)."""
    return SYNTAX.starts_picture(slice_unit)


def parse_hvcc(extradata: bytes) -> HevcConfiguration:
    """The first VPS, SPS and PPS of an `hvcC` record, and the size of its lengths."""
    if len(extradata) < 23 or extradata[0] != 1:
        raise ParseError("The H.265 configuration is not an hvcC record of version 1.")
    length_size = (extradata[21] & 3) + 1
    if length_size == 3:
        raise ParseError("The hvcC record gives NAL units lengths of 3 bytes, which is forbidden.")
    first: dict[int, bytes] = {}
    position = 23
    for _ in range(extradata[22]):
        count = int.from_bytes(extradata[position + 1 : position + 3], "big")
        units, position = read_units(extradata, position + 3, count)
        for unit in units:
            first.setdefault(nal_type(unit), unit)
    if not {VPS, SPS, PPS} <= first.keys():
        raise ParseError("The hvcC record has no VPS, no SPS or no PPS.")
    return HevcConfiguration(first[VPS], first[SPS], first[PPS], length_size)


def _parameter_set_id(unit: bytes) -> int:
    """The id of a VPS, SPS or PPS (7.4.3.1 to 7.4.3.3). Raises ParseError for one that can't be."""
    kind = nal_type(unit)
    if len(unit) > 1 and (unit[0] & 1 or unit[1] >> 3):  # nuh_layer_id
        raise ParseError("An H.265 parameter set is for a layer above the base.")
    bits = BitReader(unescaped(unit[2:_MAX_PARAMETER_SET_BYTES]))
    if kind == VPS:
        return bits.read(4)
    if kind == SPS:
        _read_profile(bits)
    number = bits.unsigned()
    if number > _MAX_IDS[kind]:
        raise ParseError(f"An H.265 parameter set has the impossible id {number}.")
    return number


SYNTAX = NalSyntax(
    header_size=2,
    type_shift=1,
    type_mask=0x3F,
    last_slice=LAST_SLICE,
    keyframes=_IRAP,
    sei=SEI,
    delimiter=ACCESS_UNIT_DELIMITER,
    parameter_sets=(VPS, SPS, PPS),
    parameter_set_id=_parameter_set_id,
)


@lru_cache(maxsize=64)
def parse_sps(sps: bytes) -> SequenceParameters:
    """Read a sequence parameter set: a whole NAL unit, without start code."""
    if len(sps) < 15 or nal_type(sps) != SPS:
        raise ParseError("This is not a sequence parameter set of H.265.")
    if len(sps) > _MAX_PARAMETER_SET_BYTES:
        raise ParseError(
            f"A sequence parameter set of {len(sps)} bytes is longer than any real one."
        )
    bits = BitReader(unescaped(sps[2:]))
    last_sub_layer, tier, profile_idc, level_idc = _read_profile(bits)
    bits.unsigned()  # sps_seq_parameter_set_id
    width, height = _read_size(bits)
    bits.unsigned()  # bit_depth_luma_minus8
    bits.unsigned()  # bit_depth_chroma_minus8
    order_bits = bits.unsigned() + 4  # of a picture order count
    max_reorder = 0
    for _ in range(last_sub_layer + 1 if bits.flag() else 1):  # the last one is the whole stream's
        bits.unsigned()  # sps_max_dec_pic_buffering_minus1
        max_reorder = bits.unsigned()
        bits.unsigned()  # sps_max_latency_increase_plus1
    return SequenceParameters(
        width, height, profile_idc, tier, level_idc, _read_frame_rate(bits, order_bits), max_reorder
    )


def _read_profile(bits: BitReader) -> tuple[int, int, int, int]:
    """The beginning of an SPS: sub-layers but one, tier, profile and level (7.3.3)."""
    bits.read(4)  # sps_video_parameter_set_id
    last_sub_layer = bits.read(3)
    bits.flag()  # sps_temporal_id_nesting_flag
    bits.read(2)  # general_profile_space
    tier, profile_idc = bits.read(1), bits.read(5)
    bits.read(_PROFILE_BITS - 8)  # compatibility and constraints
    level_idc = bits.read(8)
    if last_sub_layer:
        present = [(bits.flag(), bits.flag()) for _ in range(8)][:last_sub_layer]
        for has_profile, has_level in present:
            bits.read(_PROFILE_BITS * has_profile + 8 * has_level)
    return last_sub_layer, tier, profile_idc, level_idc


def _read_size(bits: BitReader) -> tuple[int, int]:
    """Width and height in pixels, after cropping."""
    chroma_format = bits.unsigned()
    if chroma_format > 3:
        raise ParseError(f"The chroma format {chroma_format} does not exist in H.265.")
    if chroma_format == 3:
        bits.flag()  # separate_colour_plane_flag
    width, height = bits.unsigned(), bits.unsigned()
    if width > _MAX_SIDE or height > _MAX_SIDE:
        raise ParseError(f"A picture of {width} by {height} pixels is too large for H.265.")
    if bits.flag():  # conformance_window_flag
        unit_width, unit_height = _CROP_UNITS[chroma_format]
        width -= unit_width * (bits.unsigned() + bits.unsigned())
        height -= unit_height * (bits.unsigned() + bits.unsigned())
    if width <= 0 or height <= 0:
        raise ParseError("The picture's cropping leaves nothing of it.")
    return width, height


def _read_frame_rate(bits: BitReader, order_bits: int) -> Fraction | None:
    """The frame rate from the video usability information, and all that is before it."""
    try:
        _skip_coding_tools(bits)
        _skip_reference_pictures(bits, order_bits)
        bits.read(2)  # sps_temporal_mvp_enabled_flag, strong_intra_smoothing_enabled_flag
        if not bits.flag():  # vui_parameters_present_flag
            return None
        _skip_vui_display(bits)
        if bits.flag():  # vui_timing_info_present_flag
            units_in_tick, time_scale = bits.read(32), bits.read(32)
            if units_in_tick and time_scale:
                return Fraction(time_scale, units_in_tick)
    except ParseError:
        # Cameras cut it short, or write it wrongly; the picture is none the worse for it.
        pass
    return None


def _skip_coding_tools(bits: BitReader) -> None:
    """What is between the reordering and the reference pictures."""
    for _ in range(6):
        bits.unsigned()  # log2_min_luma_coding_block_size_minus3 … max_transform_hierarchy_depth
    if bits.flag() and bits.flag():  # scaling_list_enabled_flag, sps_scaling_list_data_present_flag
        _skip_scaling_lists(bits)
    bits.read(2)  # amp_enabled_flag, sample_adaptive_offset_enabled_flag
    if bits.flag():  # pcm_enabled_flag
        bits.read(8)
        bits.unsigned()
        bits.unsigned()
        bits.flag()


def _skip_scaling_lists(bits: BitReader) -> None:
    """7.3.4."""
    for size in range(4):
        for _ in range(6 if size < 3 else 2):
            if not bits.flag():  # scaling_list_pred_mode_flag
                bits.unsigned()
                continue
            if size > 1:
                bits.signed()  # scaling_list_dc_coef_minus8
            for _ in range(min(64, 16 << 2 * size)):
                bits.signed()


def _skip_reference_pictures(bits: BitReader, order_bits: int) -> None:
    """Short-term sets (7.3.7), and the long-term pictures."""
    count = bits.unsigned()
    if count > 64:
        raise ParseError(f"There can't be {count} sets of reference pictures.")
    deltas: list[int] = []  # of the set before: how far its pictures are from the one they serve
    for index in range(count):
        if index and bits.flag():  # inter_ref_pic_set_prediction_flag
            sign = -1 if bits.flag() else 1  # delta_rps_sign
            shift = sign * (bits.unsigned() + 1)
            # Each has used_by_curr_pic_flag and, only if that is zero, use_delta_flag.
            kept = [delta + shift for delta in [*deltas, 0] if bits.flag() or bits.flag()]
            before = sorted((delta for delta in kept if delta < 0), reverse=True)
            deltas = before + sorted(delta for delta in kept if delta > 0)
            continue
        counts = bits.unsigned(), bits.unsigned()
        if sum(counts) > 16:
            raise ParseError(f"There can't be {sum(counts)} reference pictures.")
        deltas = []
        for sign, pictures in zip((-1, 1), counts, strict=True):
            delta = 0
            for _ in range(pictures):
                delta += sign * (bits.unsigned() + 1)
                bits.flag()  # used_by_curr_pic_flag
                deltas.append(delta)
    if bits.flag():  # long_term_ref_pics_present_flag
        for _ in range(bits.unsigned()):
            bits.read(order_bits + 1)


def _skip_vui_display(bits: BitReader) -> None:
    """What the VUI says about showing the picture (E.2.1)."""
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
    bits.read(3)  # neutral_chroma_indication_flag, field_seq_flag, frame_field_info_present_flag
    if bits.flag():  # default_display_window_flag
        for _ in range(4):
            bits.unsigned()
