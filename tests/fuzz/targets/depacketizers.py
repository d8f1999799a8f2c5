"""Payloads of H.264, AAC and Opus, on their way in."""

from packets import Packet, read_packets, write_packets

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Aac, Opus
from streamsocket.rtp.h264 import MAX_ACCESS_UNIT
from streamsocket.rtp.payload import depacketizer, packetizer

_H264 = H264(bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a"), b"\x68\xce\x38\x80")
_AAC = Aac(b"\x11\x90")


def _sent(codec: H264 | Aac | Opus, units: list[bytes]) -> bytes:
    payloads = packetizer(codec).packetize(AccessUnit(units, 0))
    last = len(payloads) - 1
    return write_packets(
        [Packet(payload, marker=index == last) for index, payload in enumerate(payloads)]
    )


SEEDS = [
    _sent(_H264, [b"\x65\x88" + bytes(3000)]),
    _sent(_H264, [b"\x09\x10", b"\x06\x05\x01\x00\x80", b"\x41\x9a" + bytes(40)]),
    _sent(_AAC, [bytes(2000)]),
    write_packets([Packet(b"\x00\x20\x00\x18\x00\x10" + b"abc" + b"de", marker=True)]),
]


def fuzz_one(data: bytes) -> None:
    for codec in (_H264, _AAC, Opus()):
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
