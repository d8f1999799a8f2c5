"""Packets as those who watch get them: payload type and header extensions."""

from __future__ import annotations

import struct

import pytest

from streamsocket.rtp.packet import MAX_PAYLOAD, parse_rtp
from streamsocket.webrtc.header_extensions import ExtensionMap, ExtensionUri
from streamsocket.webrtc.packet_shape import PacketShape
from streamsocket.webrtc.rtx import wrap

IDS = {ExtensionUri.ABS_SEND_TIME: 2, ExtensionUri.ABS_CAPTURE_TIME: 5, "urn:other": 3}
MAP = ExtensionMap(IDS)
CAPTURED = 1_700_000_000.25


def packets(*sizes: int, padding: bool = False) -> tuple[bytes, list[int]]:
    """Packets of these payloads, as the hub has them, the last with the marker."""
    made = []
    for number, size in enumerate(sizes):
        marker = 0x80 if number == len(sizes) - 1 else 0
        header = struct.pack("!BBHII", 0xA0 if padding else 0x80, 97 | marker, number, 3000, 77)
        made.append(header + bytes(size - 1) + b"\4")
    return b"".join(made), [len(packet) for packet in made]


def cut(buffer: bytes | bytearray, sizes: object) -> list[bytes]:
    found, start = [], 0
    for size in sizes:  # type: ignore[attr-defined]
        found.append(bytes(buffer[start : start + size]))
        start += size
    assert start == len(buffer)
    return found


def test_without_extensions_only_the_payload_type_changes() -> None:
    buffer, sizes = packets(30, 30, 20)
    shaped, own = PacketShape(102).shaped(buffer, sizes, 10.0, [CAPTURED] * 3)
    assert own == sizes
    for before, after in zip(cut(buffer, sizes), cut(shaped, own), strict=True):
        assert after[:1] + after[2:] == before[:1] + before[2:]
        assert after[1] == before[1] & 0x80 | 102


@pytest.mark.parametrize("padding", [False, True])
def test_every_packet_tells_when_it_is_sent(padding: bool) -> None:
    buffer, sizes = packets(30, 30, 20, padding=padding)
    shaped, own = PacketShape.of(102, IDS).shaped(buffer, sizes, 10.5)
    assert [after - before for before, after in zip(sizes, own, strict=True)] == [8, 8, 8]
    for before, after in zip(cut(buffer, sizes), cut(shaped, own), strict=True):
        found = MAP.parse(after)
        assert found.abs_send_time == 10.5
        assert found.abs_capture_time is None
        was, now = parse_rtp(before), parse_rtp(after)
        was.payload_type = 102
        assert now == was


def test_captures_are_told_packet_by_packet() -> None:
    buffer, sizes = packets(30, 30)
    shaped, own = PacketShape.of(102, IDS).shaped(buffer, sizes, 1.0, [CAPTURED, CAPTURED + 1])
    assert len(set(own)) == 1  # they leave in one call
    told = [MAP.parse(packet).abs_capture_time for packet in cut(shaped, own)]
    assert [each.time for each in told if each] == [CAPTURED, CAPTURED + 1]


def test_only_what_was_offered_is_sent() -> None:
    buffer, sizes = packets(30)
    only = PacketShape.of(111, {ExtensionUri.ABS_CAPTURE_TIME: 5})
    assert only.shaped(buffer, sizes, 1.0)[1] == sizes
    shaped, _ = only.shaped(buffer, sizes, 1.0, [CAPTURED])
    found = MAP.parse(shaped)
    assert (found.abs_send_time, found.mid, found.transport_sequence) == (None, None, None)
    assert found.abs_capture_time
    assert PacketShape.of(111, {}).extension(1.0, CAPTURED) == b""


def test_ids_may_be_large() -> None:
    ids = {ExtensionUri.ABS_SEND_TIME: 20, ExtensionUri.ABS_CAPTURE_TIME: 255}
    shaped, _ = PacketShape.of(102, ids).shaped(*packets(30), 3.0, [CAPTURED])
    found = ExtensionMap(ids).parse(shaped)
    assert found.abs_send_time == 3.0
    assert found.abs_capture_time


IPV4_AND_UDP, IPV6_AND_UDP, TAG, LEAST_MTU = 28, 48, 16, 1280


def longest(shape: PacketShape) -> int:
    """Bytes of the longest packet in this shape that repairs another, protected."""
    buffer, _ = packets(MAX_PAYLOAD)
    return len(wrap(buffer, 103, 1, 1, shape.extension(1.0, CAPTURED))) + TAG


def test_packets_are_not_too_long_for_any_network() -> None:
    assert longest(PacketShape.of(102, IDS, "192.0.2.1")) + IPV4_AND_UDP <= LEAST_MTU
    assert longest(PacketShape.of(102, IDS, "::ffff:192.0.2.1")) + IPV4_AND_UDP <= LEAST_MTU
    assert longest(PacketShape.of(102, IDS, "2001:db8::1")) + IPV6_AND_UDP <= LEAST_MTU


def test_a_repair_has_its_extension_before_what_it_repairs() -> None:
    buffer, _ = packets(30)
    shape = PacketShape.of(102, IDS)
    repair = wrap(buffer, 103, 9, 4, shape.extension(2.0))
    parsed = parse_rtp(repair)
    assert (parsed.payload_type, parsed.ssrc, parsed.sequence) == (103, 9, 4)
    assert parsed.payload == b"\0\0" + buffer[12:]
    assert MAP.parse(repair).abs_send_time == 2.0
