"""Batches from payloads."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.packet import parse_rtp


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=20),
    st.integers(-5, 2**40),
    st.booleans(),
    st.booleans(),
)
def test_a_batch_holds_its_payloads_behind_plain_headers(
    payloads: list[bytes], timestamp: int, marker: bool, complete: bool
) -> None:
    batch = build_batch(
        payloads,
        timestamp=timestamp,
        capture_time=1.5,
        keyframe=True,
        marker=marker,
        complete=complete,
    )
    packets = [parse_rtp(bytes(packet)) for packet in batch.packets()]
    assert [packet.payload for packet in packets] == payloads
    assert [packet.sequence for packet in packets] == list(range(len(payloads)))
    assert {packet.timestamp for packet in packets} == {timestamp & 0xFFFF_FFFF}
    assert {(packet.ssrc, packet.payload_type) for packet in packets} == {(0, 0)}
    assert [packet.marker for packet in packets] == [False] * (len(payloads) - 1) + [marker]
    assert sum(batch.sizes) == len(batch.buffer)
    assert (batch.timestamp, batch.capture_time) == (timestamp, 1.5)
    assert (batch.keyframe, batch.complete) == (True, complete)


@pytest.mark.parametrize("marker", [True, False])
def test_no_payloads_make_an_empty_batch(marker: bool) -> None:
    batch = build_batch([], timestamp=0, capture_time=0.0, keyframe=False, marker=marker)
    assert (batch.buffer, batch.sizes) == (b"", ())
