"""Packets of every format but those of depacketizers.py: on their way in, and through the hub."""

from packets import Packet, read_packets, write_packets

from streamsocket.errors import ParseError
from streamsocket.media import av1, vp9
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, L16, Av1, Codec, Mjpeg, Vp8, Vp9
from streamsocket.media.jpeg import EOI, Headers, build_headers
from streamsocket.media.vp8 import picture_size
from streamsocket.rtp.frame import MAX_FRAME
from streamsocket.rtp.normalise import normaliser
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.payload import depacketizer, packetizer

_CODECS: list[Codec] = [Vp8(), Vp9(), Av1(), Mjpeg(), G711("pcma", 8000, 2), L16(48_000, 2)]
_KEYFRAME = bytes.fromhex("5042009d012a8002e001")
_VP9_KEYFRAME = bytes.fromhex("82498342 2013f00eff") + bytes(2000)
_SEQUENCE_HEADER = bytes.fromhex("0a0b0000002d4cffb3c02f8004")
_AV1 = b"\x12\x00" + _SEQUENCE_HEADER + av1.with_size(b"\x30\x10" + bytes(2500))
_JPEG = build_headers(Headers(160, 120, "4:2:2", bytes(range(1, 129)), 8)) + bytes(1500) + EOI


def _sent(codec: Codec, frame: bytes) -> bytes:
    payloads = packetizer(codec).packetize(AccessUnit([frame], 0))
    last = len(payloads) - 1
    return write_packets(
        [Packet(payload, marker=index == last) for index, payload in enumerate(payloads)]
    )


SEEDS = [
    _sent(Vp8(), _KEYFRAME + bytes(3000)),
    write_packets(
        [
            Packet(b"\x90\xf0\x81\x23\x01\x40" + _KEYFRAME),
            Packet(b"\x90\x80\x12\x31" + bytes(1400), timestamp=1),
            Packet(b"\x80\x80\x12end", timestamp=1, marker=True),
        ]
    ),
    _sent(Vp9(), _VP9_KEYFRAME),
    write_packets(
        [
            Packet(bytes.fromhex("aa 8123 00 07 3801400f00028001e0020405 01") + _VP9_KEYFRAME),
            Packet(b"\xac\x81\x23\x02\x07\x86" + bytes(1400), marker=True),
            Packet(b"\xf8\x12\x20\x03\x02\x86" + bytes(30), timestamp=1),
            Packet(b"\x54\x02end", timestamp=1, marker=True),
        ]
    ),
    _sent(Av1(), _AV1),
    write_packets(
        [
            Packet(b"\x68\x02\x12\x00" + b"\x0d" + _SEQUENCE_HEADER + b"\x30\x10begins"),
            Packet(b"\x90" + bytes(1400)),
            Packet(b"\x00\x06\x2c\x48\x10abc\x02\x28x", marker=True),
            Packet(b"\x50\x30\x30" + bytes(40), timestamp=1),
            Packet(b"\x90end", timestamp=1, marker=True),
        ]
    ),
    _sent(Mjpeg(), _JPEG),
    write_packets(
        [
            Packet(bytes.fromhex("00000000018014 0f00000040") + bytes(1400)),
            Packet(bytes.fromhex("00000538018014 0f") + bytes(30), marker=True),
            Packet(bytes.fromhex("00000000018014 0f00000000aa"), timestamp=1, marker=True),
            Packet(bytes.fromhex("00000000414b140f0005ffffaa"), timestamp=2, gap=True),
        ]
    ),
    _sent(L16(48_000, 2), bytes(960)),
]


def fuzz_one(data: bytes) -> None:
    packets = list(read_packets(data))
    for codec in _CODECS:
        _on_their_way_in(codec, packets)
        _from_publishers_to_viewers(codec, packets)


def _on_their_way_in(codec: Codec, packets: list[Packet]) -> None:
    receiver = depacketizer(codec)
    units: list[AccessUnit] = []
    for packet in packets:
        try:
            units += receiver.push(packet.payload, packet.timestamp, packet.marker, packet.gap)
        except ParseError:
            pass
    units += receiver.flush()
    assert receiver.flush() == []
    for unit in units:
        [frame] = unit.units
        assert 0 < len(frame) <= MAX_FRAME
        if isinstance(codec, Mjpeg):
            assert frame.startswith(b"\xff\xd8")
            assert frame.endswith(EOI)
        if isinstance(codec, Vp8) and unit.keyframe:
            picture_size(frame)
        if isinstance(codec, Vp9) and unit.keyframe:
            vp9.parse_keyframe(frame)
        if isinstance(codec, Av1):
            obus = av1.split_obus(frame)
            assert b"".join(map(av1.with_size, obus)) == frame


def _from_publishers_to_viewers(codec: Codec, packets: list[Packet]) -> None:
    ingress, viewer = normaliser(codec), depacketizer(codec)
    run: list[Packet] = []
    for packet in [*packets, None]:
        # One access unit's packets that follow each other come together.
        if run and (
            packet is None or packet.gap or run[-1].marker or packet.timestamp != run[0].timestamp
        ):
            payloads = [each.payload for each in run]
            try:
                parts = ingress.push(payloads, run[0].timestamp, run[-1].marker, run[0].gap)
            except ParseError:
                parts = []
            run = []
            for part in parts:
                assert part.payloads
                assert all(0 < len(payload) <= MAX_PAYLOAD for payload in part.payloads)
                for payload in part.payloads:  # what we pass on is never malformed
                    viewer.push(payload, part.timestamp, part.marker, gap=False)
        if packet is not None:
            run.append(packet)
