"""How batches look on the wire: headers, interleaved frames, datagram runs. Pure functions.

What these make is made once and sent to every viewer that takes the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

from streamsocket.rtp.batch import Batch

SEQUENCE_TO_SSRC = struct.Struct("!HII")
SEQUENCE_AND_TIMESTAMP = struct.Struct("!HI")
INTERLEAVED_HEADER = struct.Struct("!cBH")

# What one UDP GSO call may carry: the kernel's UDP_MAX_SEGMENTS, and an IPv4 datagram's 65,507
# bytes of payload (linux/udp.h, udp(7)).
MAX_SEGMENTS = 64
MAX_RUN_BYTES = 65_507

_PADDING_BIT = 0x20


class DatagramRun(NamedTuple):
    """Packets that one UDP GSO call can send: all of one size, only the last may be shorter."""

    data: bytes | bytearray | memoryview
    segment_size: int
    packets: int


def stamped(batch: Batch, *, payload_type: int, sequence: int, timestamp: int, ssrc: int) -> bytes:
    """Return the batch's packets with the headers of the stream's own timeline (RFC 3550, 5.1)."""
    buffer = bytearray(batch.buffer)
    pack_into = SEQUENCE_TO_SSRC.pack_into
    timestamp &= 0xFFFF_FFFF
    start = 0
    for size in batch.sizes:
        buffer[start + 1] = buffer[start + 1] & 0x80 | payload_type
        pack_into(buffer, start + 2, sequence & 0xFFFF, timestamp, ssrc)
        sequence += 1
        start += size
    return bytes(buffer)


def shifted(batch: Batch, *, sequence_delta: int, timestamp: int) -> bytes | bytearray:
    """Return the batch's packets as a viewer with a sequence and timestamp of its own gets them."""
    if not sequence_delta and timestamp == batch.timestamp:
        return batch.buffer
    buffer = bytearray(batch.buffer)
    pack_into = SEQUENCE_AND_TIMESTAMP.pack_into
    timestamp &= 0xFFFF_FFFF
    sequence = batch.sequence + sequence_delta
    start = 0
    for size in batch.sizes:
        pack_into(buffer, start + 2, sequence & 0xFFFF, timestamp)
        sequence += 1
        start += size
    return buffer


def joined(batches: list[Batch], delta: int) -> tuple[bytes | bytearray, Sequence[int]]:
    """The packets of all batches as a viewer with that sequence delta gets them, end to end."""
    buffers = [shifted(b, sequence_delta=delta, timestamp=b.timestamp) for b in batches]
    if len(buffers) == 1:
        return buffers[0], batches[0].sizes
    return b"".join(buffers), [size for batch in batches for size in batch.sizes]


def interleaved(buffer: bytes | bytearray, sizes: Sequence[int], channel: int) -> bytes:
    """Return the packets framed for a TCP connection: `$`, channel, length (RFC 2326, 10.12)."""
    view = memoryview(buffer)
    pack = INTERLEAVED_HEADER.pack
    parts: list[bytes | memoryview] = []
    start = 0
    for size in sizes:
        parts.append(pack(b"$", channel, size))
        parts.append(view[start : start + size])
        start += size
    return b"".join(parts)


def datagram_runs(
    buffer: bytes | bytearray | memoryview, sizes: Sequence[int]
) -> list[DatagramRun]:
    """Cut the packets into as few runs for UDP GSO as their sizes allow."""
    view = memoryview(buffer)
    runs: list[DatagramRun] = []
    start = end = 0
    count = segment = last = 0
    for size in sizes:
        fits = (
            count
            and last == segment  # a shorter packet ends its run
            and size <= segment
            and count < MAX_SEGMENTS
            and end - start + size <= MAX_RUN_BYTES
        )
        if not fits:
            if count:
                runs.append(DatagramRun(view[start:end], segment, count))
            start, count, segment = end, 0, size
        end += size
        count += 1
        last = size
    if count:
        runs.append(DatagramRun(view[start:end], segment, count))
    return runs


def padded_alike(buffer: bytes | bytearray, sizes: Sequence[int]) -> tuple[bytes, list[int]] | None:
    """Pad packets to one size with RTP padding (RFC 3550, 5.1), so that one call sends them all.

    A frame of sound is small and each is of another size: the bytes added cost less than a system
    call more for each viewer. Returns None where that does not hold: something is padded already,
    or a packet would need more padding than its last byte can count.
    """
    size = max(sizes)
    parts: list[bytes] = []
    start = 0
    for length in sizes:
        packet = bytes(buffer[start : start + length])
        start += length
        if padding := size - length:
            if padding > 255 or packet[0] & _PADDING_BIT:
                return None
            packet = b"".join(
                (
                    bytes((packet[0] | _PADDING_BIT,)),
                    packet[1:],
                    bytes(padding - 1),
                    bytes((padding,)),
                )
            )
        parts.append(packet)
    return b"".join(parts), [size] * len(sizes)
