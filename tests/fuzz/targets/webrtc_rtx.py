"""A retransmission from a peer: what it brings can be wrapped and unwrapped again."""

from streamsocket.errors import ParseError
from streamsocket.webrtc.rtx import unwrap, wrap

_PACKET = bytes.fromhex("80e0123400000009000000056161616161")

SEEDS = [
    wrap(_PACKET, 97, 7, 3),
    bytes.fromhex("90e100030000000900000007bede00015100010012346161"),
    bytes.fromhex("a0e1000300000009000000070000000000000008"),
]


def fuzz_one(data: bytes) -> None:
    """Unwrap it; what was in it comes out again."""
    try:
        packet = unwrap(data, 96, 5)
    except ParseError:
        return
    if packet is not None:
        assert unwrap(wrap(packet, 97, 7, 3), 96, 5) == packet
