"""The first bytes of a VP8 frame."""

from streamsocket.errors import ParseError
from streamsocket.media.vp8 import is_keyframe, picture_size

SEEDS = [bytes.fromhex("5042009d012a8002e001"), b"\x31\x00"]


def fuzz_one(data: bytes) -> None:
    try:
        width, height = picture_size(data)
    except ParseError:
        return
    assert is_keyframe(data)
    assert 0 < width < 1 << 14
    assert 0 < height < 1 << 14
