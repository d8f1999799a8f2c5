"""VP9: what a frame's header says, and superframes.

Section numbers are those of the VP9 Bitstream & Decoding Process Specification 0.7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader

KEYFRAME_HEADER = 11
"""Bytes of a keyframe until its size is known, whatever its profile."""
MAX_FRAMES = 8
"""As many frames as a superframe can have."""

_FRAME_MARKER = 2
_SYNC_CODE = 0x498342
_RGB = 7
_SUPERFRAME_MARKER, _SUPERFRAME_MASK = 0xC0, 0xE0
_MAX_SIZE_BYTES = 4


@dataclass(frozen=True, slots=True)
class KeyframeHeader:
    """What a keyframe's header says (6.2)."""

    profile: int
    """0 for 8 bits 4:2:0, 1 for 8 bits and other subsampling, 2 and 3 the same with more bits."""
    bit_depth: int
    """8, 10 or 12."""
    width: int
    """In pixels."""
    height: int


def is_keyframe(frame: bytes | memoryview) -> bool:
    """Whether a frame, of which the first byte will do, is a keyframe."""
    if not frame or frame[0] >> 6 != _FRAME_MARKER:
        return False
    # Profile 3 has a reserved bit before show_existing_frame and frame_type.
    bits = frame[0] >> 1 if frame[0] & 0x30 == 0x30 else frame[0] >> 2
    return not bits & 0x03


def parse_keyframe(frame: bytes | memoryview) -> KeyframeHeader:
    """Read a keyframe's first `KEYFRAME_HEADER` bytes. Raises ParseError."""
    if not is_keyframe(frame):
        raise ParseError("A VP9 frame is no keyframe.")
    reader = BitReader(frame[:KEYFRAME_HEADER])
    reader.read(2)
    profile = reader.read(1) | reader.read(1) << 1
    # The reserved bit of profile 3; show_existing_frame, frame_type, show_frame, and whether it
    # resists errors.
    reader.read(5 if profile == 3 else 4)
    if reader.read(24) != _SYNC_CODE:
        raise ParseError("A VP9 keyframe lacks its sync code.")
    bit_depth = 8
    if profile >= 2:
        bit_depth = 12 if reader.flag() else 10
    if reader.read(3) != _RGB:
        reader.read(4 if profile & 1 else 1)  # the range; subsampling and a reserved bit
    elif profile & 1:
        reader.read(1)
    else:
        raise ParseError("A VP9 keyframe is RGB in a profile that has none.")
    width = reader.read(16) + 1
    return KeyframeHeader(profile, bit_depth, width, reader.read(16) + 1)


def superframe_index(sizes: Sequence[int]) -> bytes:
    """What goes behind frames of so many bytes to make a superframe (Annex B).

    Raises ParseError for what is none: empty frames, more than `MAX_FRAMES`, more than 4 GB.
    """
    width = (max(sizes).bit_length() + 7) // 8
    if not all(sizes) or len(sizes) > MAX_FRAMES or width > _MAX_SIZE_BYTES:
        raise ParseError("A VP9 picture has layers that make no superframe.")
    marker = bytes((_SUPERFRAME_MARKER | width - 1 << 3 | len(sizes) - 1,))
    return marker + b"".join(size.to_bytes(width, "little") for size in sizes) + marker


def is_superframe(data: bytes | memoryview) -> bool:
    """Whether there is an index at the end (Annex B)."""
    if not data or data[-1] & _SUPERFRAME_MASK != _SUPERFRAME_MARKER:
        return False
    size = 2 + ((data[-1] >> 3 & 3) + 1) * ((data[-1] & 7) + 1)
    return len(data) > size and data[-size] == data[-1]
