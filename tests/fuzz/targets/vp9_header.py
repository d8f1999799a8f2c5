"""The first bytes of a VP9 frame, and the index of a superframe."""

from streamsocket.errors import ParseError
from streamsocket.media.vp9 import is_keyframe, is_superframe, parse_keyframe, superframe_index

SEEDS = [
    bytes.fromhex("824983422013f00eff"),
    bytes.fromhex("b04983420813f00effffff"),
    b"\x86frame" + superframe_index([3, 3]),
]


def fuzz_one(data: bytes) -> None:
    if len(data) > 1:
        sizes = list(data[:8])
        try:
            assert is_superframe(data + superframe_index(sizes))
        except ParseError:
            assert 0 in sizes
    is_superframe(data)
    try:
        header = parse_keyframe(data)
    except ParseError:
        return
    assert is_keyframe(data)
    assert 0 <= header.profile <= 3
    assert header.bit_depth in (8, 10, 12)
    assert 0 < header.width <= 1 << 16
    assert 0 < header.height <= 1 << 16
