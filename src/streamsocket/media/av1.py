"""AV1: OBUs, and what a sequence header says.

Section numbers are those of the AV1 Bitstream & Decoding Process Specification; `av1C` is that of
the AV1 Codec ISO Media File Format Binding, 2.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader

# OBU types (6.2.2).
SEQUENCE_HEADER = 1
TEMPORAL_DELIMITER = 2
FRAME_HEADER = 3
TILE_GROUP = 4
FRAME = 6

_EXTENSION = 0x04
_HAS_SIZE = 0x02
_MAX_LEB128_BYTES = 8
_MAX_SEQUENCE_HEADER = 256

_SELECT = 2  # SELECT_SCREEN_CONTENT_TOOLS; above 0 there is one more choice


@dataclass(frozen=True, slots=True)
class SequenceHeader:
    """What a sequence header says (5.5)."""

    profile: int
    """0 Main, 1 High, 2 Professional."""
    level_idx: int
    """seq_level_idx of the first operating point: 8 for level 4.0, 31 for none."""
    tier: int
    bit_depth: int
    width: int
    """Of the largest frame, in pixels."""
    height: int
    always_key: bool
    """A still picture: frame headers don't tell that they are keyframes (5.9.2)."""


def obu_type(obu: bytes | memoryview) -> int:
    """The type of an OBU, which must not be empty."""
    return obu[0] >> 3 & 15


def spatial_layer(obu: bytes | memoryview) -> int:
    """The spatial layer that an OBU, which must not be empty, belongs to (5.3.3)."""
    return obu[1] >> 3 & 3 if obu[0] & _EXTENSION and len(obu) > 1 else 0


def leb128(value: int) -> bytes:
    """A number as leb128() writes it (4.10.5)."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def read_leb128(data: bytes | memoryview, start: int) -> tuple[int, int]:
    """A number that begins at `start` and where it ends (4.10.5). Raises ParseError."""
    value = 0
    for index, byte in enumerate(data[start : start + _MAX_LEB128_BYTES]):
        value |= (byte & 0x7F) << 7 * index
        if not byte & 0x80:
            return value, start + index + 1
    raise ParseError("An AV1 length does not end.")


def split_obus(data: bytes) -> list[bytes]:
    """The OBUs of a temporal unit, without their sizes and without temporal delimiters.

    Takes the low overhead bitstream format (5.2), as MP4, Matroska and encoders have it. Raises
    ParseError.
    """
    obus: list[bytes] = []
    position = 0
    while position < len(data):
        header = data[position]
        start = position + (2 if header & _EXTENSION else 1)
        end = len(data)
        if header & _HAS_SIZE:
            size, start = read_leb128(data, start)
            end = start + size
        obu = without_size(data[position:end])
        if obu_type(obu) != TEMPORAL_DELIMITER:
            obus.append(obu)
        position = end
    return obus


def with_size(obu: bytes) -> bytes:
    """An OBU with its size, as temporal units have them (5.2). Raises ParseError."""
    obu = without_size(obu)
    header = _header_size(obu)
    size = leb128(len(obu) - header)
    return bytes((obu[0] | _HAS_SIZE,)) + obu[1:header] + size + obu[header:]


def without_size(obu: bytes) -> bytes:
    """An OBU without its size, as RTP wants them. Raises ParseError."""
    header = _header_size(obu)
    if not obu[0] & _HAS_SIZE:
        return obu
    size, start = read_leb128(obu, header)
    if start + size > len(obu):
        raise ParseError("An AV1 OBU is longer than what holds it.")
    return bytes((obu[0] & ~_HAS_SIZE,)) + obu[1:header] + obu[start : start + size]


def _header_size(obu: bytes) -> int:
    size = 2 if obu and obu[0] & _EXTENSION else 1
    if len(obu) < size:
        raise ParseError("An AV1 OBU ends within its header.")
    return size


def is_keyframe(obu: bytes) -> bool:
    """Whether an OBU, of which the beginning will do, is the header of a keyframe that is shown.

    Decoding can begin there: all that comes before is forgotten (5.9.2). Of a sequence whose
    header says `always_key`, every frame is one.
    """
    if not obu or obu_type(obu) not in (FRAME_HEADER, FRAME):
        return False
    try:
        header = _header_size(obu)
        if obu[0] & _HAS_SIZE:
            _, header = read_leb128(obu, header)
    except ParseError:
        return False
    # show_existing_frame, frame_type (0 for a keyframe), show_frame
    return len(obu) > header and obu[header] >> 4 == 0b0001


@lru_cache(64)
def parse_sequence_header(obu: bytes) -> SequenceHeader:
    """Read a sequence header OBU, header included, with or without its size. Raises ParseError."""
    if not obu or obu_type(obu) != SEQUENCE_HEADER:
        raise ParseError("This is no AV1 sequence header.")
    if len(obu) > _MAX_SEQUENCE_HEADER:
        raise ParseError("An AV1 sequence header is too long.")
    plain = without_size(obu)
    reader = BitReader(plain[2 if plain[0] & _EXTENSION else 1 :])
    profile = reader.read(3)
    if profile > 2:
        raise ParseError(f"AV1 has no profile {profile}.")
    reader.read(1)  # still_picture
    reduced = reader.flag()
    level_idx, tier = (reader.read(5), 0) if reduced else _operating_points(reader)
    width_bits, height_bits = reader.read(4) + 1, reader.read(4) + 1
    width, height = reader.read(width_bits) + 1, reader.read(height_bits) + 1
    if not reduced and reader.flag():  # frame_id_numbers_present_flag
        reader.read(7)
    reader.read(3)  # superblocks of 128, filter_intra, intra_edge_filter
    if not reduced:
        _tools(reader)
    reader.read(3)  # superres, cdef, restoration
    high = reader.flag()
    bit_depth = 12 if profile == 2 and high and reader.flag() else 10 if high else 8
    return SequenceHeader(profile, level_idx, tier, bit_depth, width, height, reduced)


def _operating_points(reader: BitReader) -> tuple[int, int]:
    """Level and tier of the first, which has all layers (5.5.1)."""
    delay_bits = 0
    decoder_model = False
    if reader.flag():  # timing_info_present_flag
        reader.read(64)
        if reader.flag():  # equal_picture_interval
            reader.unsigned()  # uvlc() is the same as ue(v)
        decoder_model = reader.flag()
        if decoder_model:
            delay_bits = reader.read(5) + 1
            reader.read(42)
    initial_display_delay = reader.flag()
    first: tuple[int, int] | None = None
    for _ in range(reader.read(5) + 1):
        reader.read(12)  # operating_point_idc
        level_idx = reader.read(5)
        tier = reader.read(1) if level_idx > 7 else 0
        if decoder_model and reader.flag():
            reader.read(2 * delay_bits + 1)
        if initial_display_delay and reader.flag():
            reader.read(4)
        first = first or (level_idx, tier)
    assert first is not None
    return first


def _tools(reader: BitReader) -> None:
    """From enable_interintra_compound to order_hint_bits (5.5.1), which tell nothing needed."""
    reader.read(4)
    order_hint = reader.flag()
    if order_hint:
        reader.read(2)
    forced_screen_content = _SELECT if reader.flag() else reader.read(1)
    if forced_screen_content and not reader.flag():  # seq_choose_integer_mv
        reader.read(1)
    if order_hint:
        reader.read(3)
