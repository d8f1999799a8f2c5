"""What the server and the recorder's process say to each other."""

from __future__ import annotations

import struct
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.hub_helpers import SOUND, VIDEO, batch

from streamsocket.errors import ParseError
from streamsocket.media.codec import Track
from streamsocket.record.link import (
    Decoder,
    Event,
    Follow,
    KeyframeWanted,
    Lost,
    Over,
    RecordingState,
    Report,
    encode_event,
)
from streamsocket.taps.packets import Packets, batch_header

EVENTS: list[Event] = [
    Follow(7, "live/lobby", 1, (Track(VIDEO.codec, Fraction(30)), SOUND), (5, 1 << 40)),
    Lost(7),
    Over(7),
    KeyframeWanted(7),
    Report((RecordingState(7, "a.mp4", 1.5, 10, None), RecordingState(8, None, 0, 0, "Full."))),
]


def test_messages_come_out_as_they_went_in_however_they_are_cut() -> None:
    picture = batch(timestamp=1 << 33, packets=3, keyframe=True, capture_time=1234.5)
    picture.sequence = 1 << 34
    data = encode_event(EVENTS[0]) + batch_header(7, 1, picture) + picture.buffer
    data += b"".join(encode_event(event) for event in EVENTS[1:])
    for step in (1, 7, 100, len(data)):
        decoder = Decoder()
        parts = [data[start : start + step] for start in range(0, len(data), step)]
        first, packets, *rest = [message for part in parts for message in decoder.feed(part)]
        assert [first, *rest] == EVENTS
        assert isinstance(packets, Packets)
        assert packets[:7] == (7, 1, True, 1 << 33, 1 << 34, 1234.5, (200, 200, 200))
        assert packets.data == picture.buffer


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("!cI", b"X", 0),
        struct.pack("!cI", b"E", 1 << 30),
        struct.pack("!cI", b"B", 3) + b"abc",
        struct.pack("!cI", b"E", 2) + b"{}",
        struct.pack("!cI", b"E", 12) + b'["Lost", {}]',
        struct.pack("!cI", b"E", 12) + b'["Nope", {}]',
        struct.pack("!cIIBBHqQd", b"B", 32, 1, 0, 0, 0, 0, 0, 0.0),
        struct.pack("!cIIBBHqQdHH", b"B", 36, 1, 0, 0, 1, 0, 0, 0.0, 2, 0),
    ],
)
def test_nonsense_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        list(Decoder().feed(data))


@given(st.binary(max_size=200))
def test_whatever_comes_is_read_or_refused(data: bytes) -> None:
    try:
        list(Decoder().feed(data))
    except ParseError:
        pass
