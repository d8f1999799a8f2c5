"""RTP packets."""

from streamsocket.errors import ParseError
from streamsocket.rtp.packet import is_rtcp, parse_rtp

SEEDS = [
    bytes.fromhex("80e00001000003e8deadbeef") + b"payload",
    bytes.fromhex("b1600001000003e8deadbeef 00000001 bede0001 10ff0000") + b"payload\x00\x00\x03",
]


def fuzz_one(data: bytes) -> None:
    is_rtcp(data)
    try:
        packet = parse_rtp(data)
    except ParseError:
        return
    assert len(packet.payload) <= len(data) - 12
    assert packet == parse_rtp(memoryview(data))
