"""VP8's frame header, RFC 6386, 9.1."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.media.vp8 import is_keyframe, picture_size

KEYFRAME = bytes.fromhex("5042009d012a8002e001") + b"rest"


def test_a_keyframe_tells_its_size() -> None:
    assert is_keyframe(KEYFRAME)
    assert picture_size(KEYFRAME) == (640, 480)
    assert picture_size(memoryview(KEYFRAME)) == (640, 480)


def test_a_wish_to_be_scaled_is_not_part_of_the_size() -> None:
    assert picture_size(bytes.fromhex("5042009d012a8042e0c1")) == (640, 480)


def test_other_frames_are_none() -> None:
    assert not is_keyframe(b"\x31")
    assert not is_keyframe(b"")


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        (b"", "within its header"),
        (KEYFRAME[:9], "within its header"),
        (b"\x51" + KEYFRAME[1:], "start code"),
        (KEYFRAME[:3] + b"\x9d\x01\x2b" + KEYFRAME[6:], "start code"),
        (KEYFRAME[:6] + bytes(4), "0x0 pixels"),
    ],
)
def test_what_is_no_keyframe_is_refused(frame: bytes, reason: str) -> None:
    with pytest.raises(ParseError, match=reason):
        picture_size(frame)
