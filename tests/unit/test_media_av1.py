"""AV1's OBUs and sequence headers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_media_vp9 import bits

from streamsocket.errors import ParseError
from streamsocket.media import av1
from streamsocket.media.av1 import SequenceHeader

SVT = bytes.fromhex("0a0b0000002d4cffb3c02f8004")
"""What an encoder wrote for 1280x720, with its size."""
LAYERED = b"\x2c\x48"
"""The header of a frame's OBU of temporal layer 2, spatial layer 1 (5.3.3), without size."""


def sequence_header(
    *,
    profile: int = 0,
    reduced: bool = False,
    timing: bool = False,
    levels: tuple[tuple[int, int], ...] = ((8, 1),),
    size: tuple[int, int] = (1920, 1080),
    frame_ids: bool = False,
    order_hint: bool = True,
    screen_content: int = 2,
    depth: int = 8,
) -> bytes:
    """A sequence header OBU, written as 5.5 has it."""
    fields = [(profile, 3), (int(reduced), 1), (int(reduced), 1)]
    if reduced:
        fields.append((levels[0][0], 5))
    else:
        fields.append((int(timing), 1))
        if timing:  # 30 a second, of equal length; buffers of 10 bits
            fields += [(1, 32), (30, 32), (1, 1), (0b00101, 5)]
            fields += [(1, 1), (9, 5), (1, 32), (7, 5), (8, 5)]
        fields += [(int(timing), 1), (len(levels) - 1, 5)]
        for level, tier in levels:
            fields += [(0x101, 12), (level, 5)]
            fields += [(tier, 1)] if level > 7 else []
            fields += [(1, 1), (3, 10), (4, 10), (0, 1), (1, 1), (9, 4)] if timing else []
    width, height = size
    fields += [(11, 4), (10, 4), (width - 1, 12), (height - 1, 11)]
    if not reduced:
        fields += [(1, 1), (3, 4), (2, 3)] if frame_ids else [(0, 1)]
    fields.append((0b101, 3))
    if not reduced:
        fields += [(0b1010, 4), (int(order_hint), 1)]
        fields += [(0b11, 2)] if order_hint else []
        fields += [(1, 1)] if screen_content == 2 else [(0, 1), (screen_content, 1)]
        if screen_content:
            fields += [(0, 1), (1, 1)] if screen_content == 1 else [(1, 1)]
        fields += [(6, 3)] if order_hint else []
    fields.append((0b010, 3))
    fields.append((int(depth > 8), 1))
    if profile == 2 and depth > 8:
        fields.append((int(depth == 12), 1))
    return b"\x08" + bits(fields)


@pytest.mark.parametrize("timing", [False, True])
@pytest.mark.parametrize("frame_ids", [False, True])
@pytest.mark.parametrize("order_hint", [False, True])
@pytest.mark.parametrize("screen_content", [0, 1, 2])
def test_a_sequence_header_tells_what_it_has(
    timing: bool, frame_ids: bool, order_hint: bool, screen_content: int
) -> None:
    obu = sequence_header(
        timing=timing,
        frame_ids=frame_ids,
        order_hint=order_hint,
        screen_content=screen_content,
        levels=((9, 1), (5, 0), (31, 0)),
        depth=10,
    )
    expected = SequenceHeader(0, 9, 1, 10, 1920, 1080, always_key=False)
    assert av1.parse_sequence_header(obu) == expected
    assert av1.parse_sequence_header(av1.with_size(obu)) == expected


@pytest.mark.parametrize(
    ("profile", "depth"), [(0, 8), (0, 10), (1, 8), (1, 10), (2, 8), (2, 10), (2, 12)]
)
def test_profile_and_depth(profile: int, depth: int) -> None:
    header = av1.parse_sequence_header(sequence_header(profile=profile, depth=depth))
    assert (header.profile, header.bit_depth) == (profile, depth)


def test_a_still_picture_has_keyframes_alone() -> None:
    header = av1.parse_sequence_header(sequence_header(reduced=True, levels=((4, 0),)))
    assert header == SequenceHeader(0, 4, 0, 8, 1920, 1080, always_key=True)


def test_an_encoders_header_is_read() -> None:
    assert av1.parse_sequence_header(SVT) == SequenceHeader(0, 5, 0, 8, 1280, 720, False)


@pytest.mark.parametrize(
    ("obu", "reason"),
    [
        (b"", "no AV1 sequence header"),
        (b"\x32\x00", "no AV1 sequence header"),
        (SVT[:-6], "longer than what holds it"),
        (b"\x08" + SVT[2:-6], "ends in the middle"),
        (b"\x08\xe0" + bytes(20), "no profile 7"),
        (b"\x08" + bytes(300), "too long"),
        (b"\x0c", "ends within its header"),
    ],
)
def test_what_is_none_is_refused(obu: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        av1.parse_sequence_header(obu)


@given(st.integers(0, (1 << 56) - 1))
def test_numbers_are_read_as_they_are_written(value: int) -> None:
    written = av1.leb128(value)
    assert av1.read_leb128(b"x" + written + b"rest", 1) == (value, 1 + len(written))


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xff" * 9])
def test_a_number_without_end_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError, match="does not end"):
        av1.read_leb128(data, 0)


OBUS = st.tuples(
    st.sampled_from([b"\x08", b"\x18", b"\x30", b"\x28", LAYERED]), st.binary(max_size=400)
).map(b"".join)


@given(st.lists(OBUS))
def test_a_temporal_unit_is_split_into_what_it_was_made_of(obus: list[bytes]) -> None:
    data = b"\x12\x00" + b"".join(map(av1.with_size, obus))
    assert av1.split_obus(data) == obus
    for obu in obus:
        assert av1.with_size(av1.with_size(obu)) == av1.with_size(obu)
        assert av1.without_size(av1.with_size(obu)) == av1.without_size(obu) == obu


def test_the_last_obu_needs_no_size() -> None:
    assert av1.split_obus(b"\x12\x00" + SVT + b"\x30picture") == [
        av1.without_size(SVT),
        b"\x30picture",
    ]


@pytest.mark.parametrize("data", [b"\x32\x05abcd", b"\x32", b"\x34", b"\x36\x00", b"\x32\xff"])
def test_a_broken_temporal_unit_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        av1.split_obus(data)


@pytest.mark.parametrize(
    ("obu", "expected"),
    [
        (b"\x30\x10", True),
        (b"\x18\x1f", True),
        (b"\x32\x01\x10", True),
        (b"\x34\x00\x10", True),
        (b"\x30\x00", False),  # not shown
        (b"\x30\x30", False),  # refers to others
        (b"\x18\x80", False),  # shows one that was there before
        (b"\x08\x10", False),
        (b"\x30", False),
        (b"\x34", False),
        (b"\x32\xff", False),
        (b"", False),
    ],
)
def test_a_keyframe_is_known_by_its_first_bytes(obu: bytes, expected: bool) -> None:
    assert av1.is_keyframe(obu) is expected


def test_layers_are_told_by_the_extension() -> None:
    assert av1.spatial_layer(LAYERED) == 1
    assert av1.spatial_layer(b"\x2c") == av1.spatial_layer(b"\x30\x48") == 0
