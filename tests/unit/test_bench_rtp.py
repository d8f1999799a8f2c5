"""The benches' own reading of RTP."""

from __future__ import annotations

import struct

import pytest
from bench.rtp import (
    Unwrapper,
    aac_frames,
    pictures,
    rtp_packets,
    sender_reports,
    starts_keyframe,
    wall_time,
)
from bench.viewers import Packet


def packet(sequence: int, timestamp: int, payload: bytes, *, marker: bool = False) -> Packet:
    header = struct.pack(">BBHII", 0x80, 96 | marker << 7, sequence, timestamp, 7)
    return (float(sequence), 0, header + payload)


def test_numbers_go_on_after_wrapping() -> None:
    unwrapper = Unwrapper(16)
    assert [unwrapper.unwrap(n) for n in (65534, 65535, 1, 0)] == [65534, 65535, 65537, 65536]


def test_packets_are_put_in_order_and_an_extension_is_left_out() -> None:
    late = (2.0, 0, struct.pack(">BBHIIHHI", 0x90, 96, 65535, 9, 7, 0xBEDE, 1, 0) + b"late")
    found = rtp_packets([packet(0, 9, b"then"), late, (3.0, 1, b"report")], 0)
    assert [p.payload for p in found] == [b"late", b"then"]


@pytest.mark.parametrize(
    ("payload", "starts"),
    [
        (b"\x65\x88", True),
        (b"\x41\x9a", False),
        (b"\x7c\x85\x88", True),
        (b"\x7c\x05\x88", False),
        (b"\x7c\x81\x88", False),
        (b"\x78\x00\x02\x67\x42\x00\x02\x68\xce", False),
        (b"\x78\x00\x02\x67\x42\x00\x02\x65\x88", True),
        (b"", False),
    ],
)
def test_a_keyframe_starts_with_the_first_packet_of_an_idr_slice(
    payload: bytes, starts: bool
) -> None:
    assert starts_keyframe(payload) is starts


def test_pictures_are_put_together_from_all_kinds_of_packets() -> None:
    received = [
        packet(1, 100, b"\x78\x00\x02\x67\x42\x00\x02\x68\xce"),
        packet(2, 100, b"\x7c\x85AA"),
        packet(3, 100, b"\x7c\x45BB", marker=True),
        packet(4, 200, b"\x41CC", marker=True),
    ]
    first, second = pictures(rtp_packets(received, 0))
    assert bytes(first.data) == (b"\0\0\0\1\x67\x42\0\0\0\1\x68\xce\0\0\0\1\x65AABB")
    assert (first.packets, first.first, first.last, first.marked) == (3, 1.0, 3.0, True)
    assert bytes(second.data) == b"\0\0\0\1\x41CC"


def test_several_frames_of_sound_in_a_packet_have_their_own_times() -> None:
    payload = struct.pack(">HHH", 32, 3 << 3, 2 << 3) + b"onetw"
    frames = list(aac_frames(rtp_packets([packet(1, 5000, payload)], 0)))
    assert [(f.timestamp, bytes(f.data)) for f in frames] == [(5000, b"one"), (6024, b"tw")]


def test_timestamps_become_wall_time_by_the_nearest_sender_report() -> None:
    def report(wall: int, timestamp: int) -> Packet:
        ntp = struct.pack(">II", wall + 2_208_988_800, 1 << 31)
        return (0.0, 1, struct.pack(">BBHI", 0x80, 200, 6, 7) + ntp + struct.pack(">I", timestamp))

    reports = sender_reports([report(1000, 2**32 - 90_000), report(1010, 810_000)], 0)
    assert wall_time(2**32 - 45_000, reports, 90_000) == pytest.approx(1001.0)
    assert wall_time(855_000, reports, 90_000) == pytest.approx(1011.0)
