"""Batches from payloads."""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import HEADER, MARKER, VERSION


def build_batch(
    payloads: Sequence[bytes],
    *,
    timestamp: int,
    capture_time: float,
    keyframe: bool,
    marker: bool = True,
    complete: bool = True,
    payload_type: int = 0,
    sequence: int = 0,
    ssrc: int = 0,
) -> Batch:
    """Put a header before each payload and lay the packets end to end.

    `timestamp` is the unwrapped RTP timestamp of all of them, `capture_time` in seconds since the
    epoch. `complete` says that the access unit ends with the last payload, and `marker` that the
    last packet has the marker bit, which for Opus is not the same (see `Packetizer.marker`).

    Sources leave payload type, sequence number and SSRC at 0: the Stream puts in its own.
    """
    pack = HEADER.pack
    wrapped = timestamp & 0xFFFF_FFFF
    parts: list[bytes] = []
    sizes: list[int] = []
    number = sequence
    for payload in payloads:
        parts += pack(VERSION, payload_type, number & 0xFFFF, wrapped, ssrc), payload
        sizes.append(12 + len(payload))
        number += 1
    if marker and parts:
        parts[-2] = pack(VERSION, MARKER | payload_type, (number - 1) & 0xFFFF, wrapped, ssrc)
    return Batch(
        b"".join(parts),
        tuple(sizes),
        timestamp,
        capture_time,
        keyframe,
        complete,
        sequence,
    )
