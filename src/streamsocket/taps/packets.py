"""A batch as one message between two processes, its place in the stream included. No I/O."""

from __future__ import annotations

import struct
from typing import NamedTuple

from streamsocket.child_messages import BATCH, message_header
from streamsocket.errors import ParseError
from streamsocket.rtp.batch import Batch

# Stream, track, flags, number of packets, timestamp, first sequence number, capture time. The
# packets' sizes follow, then the packets.
_BATCH_BODY = struct.Struct("!IBBHqQd")
_IS_KEYFRAME = 1


class Packets(NamedTuple):
    """A batch as the other process takes it."""

    stream: int
    """The number by which the two processes call it."""
    track: int
    keyframe: bool
    timestamp: int
    sequence: int
    """Of the first packet, unwrapped."""
    capture_time: float
    sizes: tuple[int, ...]
    data: memoryview
    """The packets, header and payload, one behind the other."""


def batch_header(stream: int, track: int, batch: Batch, timestamp: int | None = None) -> bytes:
    """What goes before the batch's buffer: the two together are one message.

    `timestamp` is what to tell instead of the batch's own.
    """
    sizes = batch.sizes
    count = len(sizes)
    head = message_header(BATCH, _BATCH_BODY.size + 2 * count + len(batch.buffer))
    body = _BATCH_BODY.pack(
        stream,
        track,
        _IS_KEYFRAME if batch.keyframe else 0,
        count,
        batch.timestamp if timestamp is None else timestamp,
        batch.sequence,
        batch.capture_time,
    )
    return head + body + struct.pack(f"!{count}H", *sizes)


def read_batch(view: memoryview) -> Packets:
    """The reverse, without the message's header. Raises `ParseError`."""
    try:
        stream, track, flags, count, timestamp, sequence, captured = _BATCH_BODY.unpack_from(view)
        sizes = struct.unpack_from(f"!{count}H", view, _BATCH_BODY.size)
    except struct.error:
        raise ParseError("A batch ends inside its header.") from None
    data = view[_BATCH_BODY.size + 2 * count :]
    if sum(sizes) != len(data) or not count or min(sizes) < 12:
        raise ParseError("A batch is not as long as its packets.")
    is_keyframe = bool(flags & _IS_KEYFRAME)
    return Packets(stream, track, is_keyframe, timestamp, sequence, captured, sizes, data)
