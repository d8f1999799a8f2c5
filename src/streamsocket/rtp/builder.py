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
) -> Batch:
    """Put a header before each payload and lay the packets end to end.

    `timestamp` is the unwrapped RTP timestamp of all of them, `capture_time` in seconds since the
    epoch. `complete` says that the access unit ends with the last payload, and `marker` that the
    last packet has the marker bit, which for Opus is not the same (see `Packetizer.marker`).

    Payload type and SSRC are 0 and sequence numbers count from 0: the Stream puts in its own.
    """
    pack = HEADER.pack
    wrapped = timestamp & 0xFFFF_FFFF
    parts: list[bytes] = []
    for sequence, payload in enumerate(payloads):
        parts += (pack(VERSION, 0, sequence, wrapped, 0), payload)
    if marker and parts:
        parts[-2] = pack(VERSION, MARKER, len(payloads) - 1, wrapped, 0)
    return Batch(
        buffer=b"".join(parts),
        sizes=tuple([12 + len(payload) for payload in payloads]),
        timestamp=timestamp,
        capture_time=capture_time,
        keyframe=keyframe,
        complete=complete,
    )
