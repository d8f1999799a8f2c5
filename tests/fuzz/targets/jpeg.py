"""JPEG files, taken apart, put together, and sent."""

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Mjpeg
from streamsocket.media.jpeg import EOI, Headers, build_headers, parse_jpeg
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.payload import depacketizer, packetizer

_TABLES = bytes(range(1, 129))
SEEDS = [
    build_headers(Headers(640, 480, "4:2:0", _TABLES)) + b"scan\xff\x00\xff\xd0" + EOI,
    build_headers(Headers(640, 480, "4:2:2", _TABLES, 40)) + bytes(3000) + EOI,
    b"\xff\xd8\xff\xe0\x00\x04ab\xff\xc2\x00\x02",
]


def fuzz_one(data: bytes) -> None:
    try:
        headers, scan = parse_jpeg(data)
    except ParseError:
        return
    assert headers.width > 0
    assert headers.height > 0
    if headers.usual_huffman_tables:
        assert parse_jpeg(build_headers(headers) + scan + EOI) == (headers, scan)
    try:
        payloads = packetizer(Mjpeg()).packetize(AccessUnit([data], 0))
    except ParseError:
        return
    assert all(0 < len(payload) <= MAX_PAYLOAD for payload in payloads)
    receiver = depacketizer(Mjpeg())
    for payload in payloads:
        assert receiver.push(payload, 0, False, False) == []
    [unit] = receiver.flush()
    sent, sent_scan = parse_jpeg(unit.units[0])
    assert (sent_scan, sent.tables) == (scan, headers.tables)
