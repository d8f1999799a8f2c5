"""The batch: the RTP packets of one track that travel through the hub together.

A batch is plain data. It holds packets of one access unit only (it is cut at access-unit borders)
but need not hold the whole of it: what one wakeup drained goes on at once, without waiting for the
marker. All packets have a plain 12-byte header: version 2, no CSRC, no extension, padding allowed.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Batch:
    """RTP packets of one track and one access unit, laid end to end."""

    buffer: bytes | bytearray
    """The packets, header and payload, one behind the other."""
    sizes: tuple[int, ...]
    """The size of each packet in bytes; their sum is the buffer's length."""
    timestamp: int
    """The RTP timestamp that all of them carry, unwrapped: it does not end at 2**32."""
    capture_time: float
    """When the access unit was captured, in seconds since the epoch."""
    keyframe: bool
    """The first packet is the first of a keyframe."""
    complete: bool
    """The last packet is the last of its access unit."""
    sequence: int = 0
    """The first packet's sequence number, unwrapped. The Stream gives it."""
    arrived: float = 0.0
    """When it reached the Stream, in seconds of `time.monotonic()`."""

    def packets(self) -> list[memoryview]:
        """The packets one by one, without a copy."""
        view = memoryview(self.buffer)
        packets = []
        start = 0
        for size in self.sizes:
            packets.append(view[start : start + size])
            start += size
        return packets
