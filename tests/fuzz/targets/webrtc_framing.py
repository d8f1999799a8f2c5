"""Packets in a TCP stream."""

from streamsocket.errors import ParseError
from streamsocket.webrtc.framing import FramingParser, frame

SEEDS = [frame(b"hello") + frame(b"") + frame(b"x" * 300), b"\xff\xff", frame(b"a")[:2]]


def fuzz_one(data: bytes) -> None:
    """However the stream is cut, the packets are the same."""
    at_once, bytewise = FramingParser(), FramingParser()
    try:
        packets = at_once.feed(data)
    except ParseError:
        return
    assert packets == [p for byte in data for p in bytewise.feed(bytes((byte,)))]
