"""From payloads to a batch: the headers a publisher writes."""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import HEADER


def build_batch(
    payloads: Sequence[bytes],
    *,
    timestamp: int,
    capture_time: float,
    keyframe: bool,
    marker: bool = True,
) -> Batch:
    """Put the payloads of one access unit into packets.

    The last one gets the marker if `marker` is set. Payload type and SSRC are 0 and sequence
    numbers begin at 0: the Stream that takes the batch writes its own.
    """
    pack = HEADER.pack
    wire_timestamp = timestamp & 0xFFFF_FFFF
    last = len(payloads) - 1
    parts: list[bytes] = []
    for number, payload in enumerate(payloads):
        second = 0x80 if marker and number == last else 0
        parts.append(pack(0x80, second, number & 0xFFFF, wire_timestamp, 0))
        parts.append(payload)
    return Batch(
        buffer=b"".join(parts),
        sizes=tuple(HEADER.size + len(payload) for payload in payloads),
        timestamp=timestamp,
        capture_time=capture_time,
        keyframe=keyframe,
        complete=marker,
    )
