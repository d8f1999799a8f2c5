"""VP9's frame header and superframes."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.vp9 import (
    KEYFRAME_HEADER,
    KeyframeHeader,
    is_keyframe,
    is_superframe,
    parse_keyframe,
    superframe_index,
)


def bits(fields: Iterable[tuple[int, int]]) -> bytes:
    """Numbers of so many bits each, and ones to the end of the last byte."""
    text = "".join(f"{value:0{width}b}" for value, width in fields)
    text += "1" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def keyframe(
    profile: int, colour: Iterable[tuple[int, int]], width: int, height: int, *, inter: int = 0
) -> bytes:
    """The beginning of a frame's header, 6.2."""
    fields = [(2, 2), (profile & 1, 1), (profile >> 1, 1)]
    if profile == 3:
        fields.append((0, 1))
    fields += [(0, 1), (inter, 1), (1, 1), (0, 1), (0x498342, 24), *colour]
    return bits([*fields, (width - 1, 16), (height - 1, 16)]) + b"rest of it"


@pytest.mark.parametrize(
    ("profile", "colour", "bit_depth"),
    [
        (0, [(1, 3), (0, 1)], 8),
        (1, [(1, 3), (0, 1), (1, 1), (0, 1), (0, 1)], 8),
        (1, [(7, 3), (0, 1)], 8),
        (2, [(0, 1), (2, 3), (0, 1)], 10),
        (2, [(1, 1), (2, 3), (0, 1)], 12),
        (3, [(1, 1), (2, 3), (0, 1), (0, 1), (1, 1), (0, 1)], 12),
        (3, [(0, 1), (7, 3), (0, 1)], 10),
    ],
)
def test_a_keyframe_tells_profile_depth_and_size(
    profile: int, colour: list[tuple[int, int]], bit_depth: int
) -> None:
    frame = keyframe(profile, colour, 65_536, 480)
    assert is_keyframe(frame[:1])
    expected = KeyframeHeader(profile, bit_depth, 65_536, 480)
    assert parse_keyframe(frame) == parse_keyframe(memoryview(frame)) == expected
    assert parse_keyframe(frame[:KEYFRAME_HEADER]) == expected
    assert not is_keyframe(keyframe(profile, colour, 640, 480, inter=1))


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\x02",  # another frame marker
        b"\x88",  # shows a frame that was there before
        b"\x86",  # refers to others
    ],
)
def test_other_frames_are_none(frame: bytes) -> None:
    assert not is_keyframe(frame)
    with pytest.raises(ParseError, match="no keyframe"):
        parse_keyframe(frame)


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (keyframe(0, [(1, 3), (0, 1)], 640, 480)[:8], "ends in the middle"),
        (b"\x82\x49\x83\x43" + bytes(10), "sync code"),
        (keyframe(0, [(7, 3), (0, 1)], 640, 480), "RGB"),
    ],
)
def test_broken_headers_are_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        parse_keyframe(frame)


def test_an_index_makes_a_superframe() -> None:
    frames = [b"\x82" + bytes(299), b"\x86"]
    index = superframe_index([300, 1])
    assert index == b"\xc9" + b"\x2c\x01" + b"\x01\x00" + b"\xc9"
    assert is_superframe(b"".join(frames) + index)
    assert not is_superframe(b"".join(frames))
    assert not is_superframe(index)  # of nothing
    assert not is_superframe(b"")
    assert not is_superframe(b"\x82" + index[1:])


@pytest.mark.parametrize("sizes", [[1] * 9, [5, 0], [1, 1 << 32]])
def test_what_is_no_superframe_gets_no_index(sizes: list[int]) -> None:
    with pytest.raises(ParseError, match="no superframe"):
        superframe_index(sizes)
