"""Packets in a TCP stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.webrtc.framing import MAX_FRAMED, MAX_PACKET, FramingParser, frame


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=8), st.integers(1, 50))
def test_packets_come_back_however_the_stream_is_cut(packets: list[bytes], cut: int) -> None:
    stream = b"".join(frame(packet) for packet in packets)
    parser = FramingParser()
    found: list[bytes] = []
    for start in range(0, len(stream), cut):
        found += parser.feed(stream[start : start + cut])
    assert found == packets


def test_empty_packets_are_skipped() -> None:
    assert FramingParser().feed(b"\0\0" + frame(b"a") + b"\0\0") == [b"a"]


def test_a_packet_that_is_too_long_is_refused_before_it_is_kept() -> None:
    parser = FramingParser()
    assert parser.feed(frame(bytes(MAX_PACKET))) == [bytes(MAX_PACKET)]
    with pytest.raises(ParseError, match="8193 bytes"):
        parser.feed((MAX_PACKET + 1).to_bytes(2))


def test_only_what_fits_is_framed() -> None:
    assert len(frame(bytes(MAX_FRAMED))) == MAX_FRAMED + 2
    with pytest.raises(ValueError, match="65536 bytes"):
        frame(bytes(MAX_FRAMED + 1))
