"""VP8: what a frame's header says (RFC 6386, 9.1)."""

from __future__ import annotations

from streamsocket.errors import ParseError

KEYFRAME_HEADER = 10
"""Bytes of a keyframe until its size is known: frame tag, start code, width and height."""

_START_CODE = b"\x9d\x01\x2a"
_SIZE = 0x3FFF  # the two bits above it ask players to scale the picture up; nobody does


def is_keyframe(frame: bytes | memoryview) -> bool:
    """Whether a frame, of which the first byte will do, is a keyframe."""
    return bool(frame) and not frame[0] & 1


def picture_size(keyframe: bytes | memoryview) -> tuple[int, int]:
    """Width and height in pixels, from a keyframe's first ten bytes. Raises ParseError."""
    header = bytes(keyframe[:KEYFRAME_HEADER])
    if len(header) < KEYFRAME_HEADER:
        raise ParseError("A VP8 keyframe ends within its header.")
    if not is_keyframe(header) or header[3:6] != _START_CODE:
        raise ParseError("A VP8 keyframe lacks its start code.")
    width = int.from_bytes(header[6:8], "little") & _SIZE
    height = int.from_bytes(header[8:10], "little") & _SIZE
    if not width or not height:
        raise ParseError(f"A VP8 keyframe tells a size of {width}x{height} pixels.")
    return width, height
