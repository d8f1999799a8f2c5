"""AV1's OBUs: temporal units, sequence headers, the beginnings of frames."""

from streamsocket.errors import ParseError
from streamsocket.media import av1

SEEDS = [
    bytes.fromhex("12000a0b0000002d4cffb3c02f8004 3203100000"),
    bytes.fromhex("080000002d4cffb3c02f8004"),
    bytes.fromhex("34480510aabbccdd"),
    bytes.fromhex("0804000000040000007a5a400000004e884405380602322025806023374eff0dd6bf93"),
]


def fuzz_one(data: bytes) -> None:
    av1.is_keyframe(data)
    try:
        header = av1.parse_sequence_header(data)
    except ParseError:
        pass
    else:
        assert 0 <= header.profile <= 2
        assert 0 < header.width <= 1 << 16
        assert 0 < header.height <= 1 << 16
    try:
        obus = av1.split_obus(data)
    except ParseError:
        return
    joined = b"".join(map(av1.with_size, obus))
    assert av1.split_obus(joined) == obus
    for obu in obus:
        assert av1.obu_type(obu) != av1.TEMPORAL_DELIMITER
        assert 0 <= av1.spatial_layer(obu) <= 3
