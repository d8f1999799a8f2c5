"""Payloads of H.264, H.265, AAC and Opus, on their way in."""

from packets import Packet, read_packets, write_packets

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Aac, Opus
from streamsocket.rtp.nal_payload import MAX_ACCESS_UNIT
from streamsocket.rtp.payload import depacketizer, packetizer

_H264 = H264(bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), b"\x68\xce\x38\x80")
H265_CODEC = H265(
    bytes.fromhex("40010c01ffff01600000030090000003000003003c959409"),
    bytes.fromhex("42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"),
    bytes.fromhex("4401c073c089"),
)
_AAC = Aac(b"\x11\x90")


def _sent(codec: H264 | H265 | Aac, units: list[bytes]) -> bytes:
    payloads = packetizer(codec).packetize(AccessUnit(units, 0))
    last = len(payloads) - 1
    return write_packets(
        [Packet(payload, marker=index == last) for index, payload in enumerate(payloads)]
    )


SEEDS = [
    _sent(_H264, [b"\x65\x88" + bytes(3000)]),
    _sent(_H264, [b"\x09\x10", b"\x06\x05\x01\x00\x80", b"\x41\x9a" + bytes(40)]),
    _sent(H265_CODEC, [b"\x4e\x01" + bytes(1300), b"\x26\x01\xaf" + bytes(3000)]),
    _sent(H265_CODEC, [b"\x46\x01\x10", b"\x4e\x01\x05\x01\x00\x80", b"\x02\x01\xd0\x80"]),
    _sent(_AAC, [bytes(2000)]),
    write_packets([Packet(b"\x00\x20\x00\x18\x00\x10" + b"abc" + b"de", marker=True)]),
]


def fuzz_one(data: bytes) -> None:
    for codec in (_H264, H265_CODEC, _AAC, Opus()):
        receiver = depacketizer(codec)
        units: list[AccessUnit] = []
        for packet in read_packets(data):
            try:
                units += receiver.push(packet.payload, packet.timestamp, packet.marker, packet.gap)
            except ParseError:
                pass
        units += receiver.flush()
        assert receiver.flush() == []
        for unit in units:
            assert unit.units
            assert all(unit.units)
            assert sum(map(len, unit.units)) <= MAX_ACCESS_UNIT
