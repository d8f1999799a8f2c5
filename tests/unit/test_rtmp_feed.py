"""One track's access units."""

from __future__ import annotations

import pytest
from rtmp_helpers import AVC, DELTA, IDR

from streamsocket.errors import ParseError
from streamsocket.rtmp.feed import PictureFeed, opus_duration
from streamsocket.rtmp.flv import Tag


@pytest.mark.parametrize(
    ("packet", "milliseconds"),
    [
        ("00", 10),  # SILK
        ("18", 60),
        ("60", 10),  # hybrid
        ("68", 20),
        ("80", 2.5),  # CELT
        ("f8", 20),
        ("f9", 40),  # two frames
        ("fa", 40),
        ("fb03", 60),  # as many as are told
        ("fb", 20),
        ("fb00", 20),
    ],
)
def test_how_long_an_opus_packet_lasts(packet: str, milliseconds: float) -> None:
    assert opus_duration(bytes.fromhex(packet)) == milliseconds * 48


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
