"""Headers, interleaved frames, datagram runs."""

from __future__ import annotations

import struct

from hypothesis import given
from hypothesis import strategies as st

from streamsocket.hub.wire import (
    MAX_RUN_BYTES,
    MAX_SEGMENTS,
    datagram_runs,
    interleaved,
    padded_alike,
    shifted,
    stamped,
)
from streamsocket.rtp.batch import Batch


def make_batch(sizes: list[int], *, sequence: int = 0, timestamp: int = 0) -> Batch:
    """Packets of these sizes, the last with a marker, filled with their own number."""
    parts = []
    for number, size in enumerate(sizes):
        marker = 0x80 if number == len(sizes) - 1 else 0
        header = struct.pack("!BBHII", 0x80, marker, (sequence + number) & 0xFFFF, 0, 0)
        parts.append(header + bytes([number & 0xFF]) * (size - 12))
    return Batch(b"".join(parts), tuple(sizes), timestamp, 0.0, False, True, sequence)


def test_stamping_keeps_markers_and_payloads_and_numbers_the_packets() -> None:
    batch = make_batch([20, 30, 14])
    stamps = stamped(batch, payload_type=97, sequence=0xFFFF, timestamp=2**32 + 5, ssrc=0xCAFE)
    packets = [stamps[:20], stamps[20:50], stamps[50:]]
    headers = [struct.unpack("!BBHII", packet[:12]) for packet in packets]
    assert headers == [
        (0x80, 97, 0xFFFF, 5, 0xCAFE),
        (0x80, 97, 0, 5, 0xCAFE),
        (0x80, 0x80 | 97, 1, 5, 0xCAFE),
    ]
    assert [packet[12:] for packet in packets] == [bytes(8), b"\x01" * 18, b"\x02" * 2]


def test_a_viewer_without_a_delta_gets_the_very_same_buffer() -> None:
    batch = make_batch([40, 40], sequence=7, timestamp=90)
    assert shifted(batch, sequence_delta=0, timestamp=90) is batch.buffer


def test_a_viewer_that_skipped_gets_contiguous_numbers_of_its_own() -> None:
    batch = make_batch([40, 40], sequence=10, timestamp=90)
    shifted_buffer = shifted(batch, sequence_delta=-3, timestamp=91)
    assert struct.unpack_from("!HI", shifted_buffer, 2) == (7, 91)
    assert struct.unpack_from("!HI", shifted_buffer, 42) == (8, 91)
    assert shifted_buffer[12:40] == batch.buffer[12:40]


def test_interleaved_frames_carry_channel_and_length() -> None:
    assert interleaved(b"abcde", (2, 3), 4) == b"$\x04\x00\x02ab$\x04\x00\x03cde"


@given(st.lists(st.integers(12, 1212), min_size=1, max_size=200))
def test_datagram_runs_obey_the_kernels_rules_and_lose_nothing(sizes: list[int]) -> None:
    buffer = bytes(sum(sizes))
    runs = datagram_runs(buffer, sizes)
    seen = []
    for run in runs:
        assert 1 <= run.packets <= MAX_SEGMENTS
        assert len(run.data) <= MAX_RUN_BYTES
        left = len(run.data)
        for _ in range(run.packets):
            seen.append(min(run.segment_size, left))
            left -= seen[-1]
        assert left == 0
    assert seen == sizes


def test_a_keyframe_of_equal_fragments_is_one_run() -> None:
    assert [run.packets for run in datagram_runs(bytes(1212 * 39 + 300), [1212] * 39 + [300])] == [
        40
    ]


def test_sound_of_unequal_sizes_is_padded_as_rtp_says() -> None:
    first, second = make_batch([100]).buffer, make_batch([112]).buffer
    padded = padded_alike(first + second, [100, 112])
    assert padded is not None
    data, sizes = padded
    assert sizes == [112, 112]
    assert data[0] == 0x80 | 0x20
    assert data[111] == 12  # how many bytes are padding, itself included
    assert data[1:100] == first[1:]
    assert data[112:] == second


def test_what_padding_cannot_make_alike_stays_as_it_is() -> None:
    assert padded_alike(make_batch([20]).buffer + make_batch([400]).buffer, [20, 400]) is None
