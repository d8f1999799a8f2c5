"""One track's access units."""

from __future__ import annotations

import pytest
from rtmp_helpers import AVC, DELTA, IDR

from streamsocket.errors import ParseError
from streamsocket.rtmp.feed import PictureFeed
from streamsocket.rtmp.flv import Tag


def test_keyframes_are_known_by_their_nal_units_and_not_by_what_the_tag_says() -> None:
    feed = PictureFeed(AVC, 2)
    lying = Tag("h264", True, "frame", b"\x00\x04" + DELTA, keyframe=True, composition_ms=40)
    unit = feed.unit(lying, 1000)
    assert (unit.units, unit.timestamp, unit.keyframe) == ([DELTA], 93_600, False)
    assert feed.unit(Tag("h264", True, "frame", b"\x00\x04" + IDR), 0).keyframe


@pytest.mark.parametrize("data", [b"", b"\x00\x05\x41", b"\x00\x00"])
def test_a_tag_without_a_whole_picture_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        PictureFeed(AVC, 2).unit(Tag("h264", True, "frame", data), 0)
