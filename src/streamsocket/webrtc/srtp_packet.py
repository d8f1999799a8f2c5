"""Packets as SRTP sees them: where the header ends, and bursts that many viewers share."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from streamsocket.hub.sendmmsg import MAX_MESSAGES, address_of
from streamsocket.hub.wire import MAX_SEGMENTS, DatagramRun, datagram_runs
from streamsocket.rtp.packet import VERSION
from streamsocket.webrtc.srtp_profile import SrtpError

GCM_TAG_BYTES = 16
MAX_PACKET_BYTES = 1500
"""The longest packet that is protected or unprotected: an Ethernet frame's payload."""

MAX_SLOTS = MAX_MESSAGES
# What is written for some viewers and then sent to them should still be in the cache.
_SLOTS_BYTES = 192 * 1024

_IV = struct.Struct("!HIIH")
"""GCM's initialisation vector before the salt: 0, SSRC, roll-over counter, sequence number
(RFC 7714, 8.1)."""
IV_BYTES = _IV.size

_SEQUENCE_AND_SSRC = struct.Struct("!HxxxxI")
_EXTENSION = 0x10
_CSRC_COUNT = 0x0F


def header_bytes(packet: bytes | memoryview) -> int:
    """How long the RTP header is, with CSRCs and extension: what stays readable.

    Raises `SrtpError` if it is no RTP packet.
    """
    size = 12
    if len(packet) >= size:
        flags = packet[0]
        size += 4 * (flags & _CSRC_COUNT)
        if flags & _EXTENSION:
            size += 4
            if len(packet) >= size:
                size += 4 * (packet[size - 2] << 8 | packet[size - 1])
        if len(packet) >= size and flags & 0xC0 == VERSION:
            return size
    raise SrtpError(f"{len(packet)} bytes came that are no RTP packet.")


def sequence_and_ssrc(packet: bytes | memoryview) -> tuple[int, int]:
    """The sequence number and the SSRC of an RTP packet that has a whole header."""
    sequence, ssrc = _SEQUENCE_AND_SSRC.unpack_from(packet, 2)
    return sequence, ssrc


@dataclass(frozen=True, slots=True)
class Slot:
    """Memory for one viewer's packets, headers in place."""

    targets: tuple[memoryview, ...]
    """Where the encrypted payloads and their tags go."""
    runs: tuple[DatagramRun, ...]
    """The packets as they are sent, once the targets are written."""


@dataclass(frozen=True, slots=True)
class GcmLayout:
    """A burst laid out for GCM: made once, used for some viewers at once, then for the next."""

    repeat: int
    """Times a salt, it is the salt for every packet, end to end."""
    vectors: int
    """Every packet's initialisation vector, end to end, with a roll-over counter of 0."""
    vectors_bytes: int
    vectors_format: struct.Struct
    """Takes all of them apart."""
    headers: tuple[bytes, ...]
    payloads: tuple[memoryview, ...]
    memory: bytearray
    """The slots, end to end."""
    address: int
    """Where that is."""
    slot_bytes: int
    slots: tuple[Slot, ...]


class Burst:
    """RTP packets of one SSRC that many viewers get, header and payload the same bytes for all.

    Their sequence numbers follow each other and don't wrap. Made once; every viewer's stream
    encrypts it into one of a few slots, which is to be sent before the next viewer's turn at it.
    """

    def __init__(
        self, buffer: bytes | bytearray, sizes: Sequence[int], sequence: int, slots: int = 1
    ) -> None:
        """`buffer` has the packets end to end; `sequence` is the first one's, unwrapped.

        It can be encrypted for so many viewers as there are `slots` before it is sent to them.
        Raises `SrtpError` if these are no RTP packets, `ValueError` if they don't fit one burst:
        use `bursts`.
        """
        self.sequence = sequence
        self.count = len(sizes)
        self.slots = slots
        self._buffer = memoryview(buffer)
        self._sizes = sizes
        if not 0 < self.count <= MAX_SEGMENTS or (sequence & 0xFFFF) + self.count > 0x10000:
            raise ValueError("a burst has 1 to 64 packets and ends where sequence numbers wrap")
        first, self.ssrc = sequence_and_ssrc(self._buffer[: header_bytes(self._buffer)])
        if first != sequence & 0xFFFF:
            raise ValueError("the packets have other sequence numbers")

    @cached_property
    def packets(self) -> tuple[bytes, ...]:
        """The packets one by one."""
        starts = _starts(self._sizes)
        return tuple(
            bytes(self._buffer[start : start + size])
            for start, size in zip(starts, self._sizes, strict=True)
        )

    @cached_property
    def gcm(self) -> GcmLayout:
        """The memory it is encrypted into by GCM, headers in place."""
        sizes = [size + GCM_TAG_BYTES for size in self._sizes]
        starts = _starts(sizes)
        headers, payloads, ends, vectors = [], [], [], []
        for number, source in enumerate(_starts(self._sizes)):
            packet = self._buffer[source : source + self._sizes[number]]
            header = header_bytes(packet)
            headers.append(bytes(packet[:header]))
            payloads.append(packet[header:])
            ends.append(starts[number] + sizes[number])
            vectors.append(_IV.pack(0, self.ssrc, 0, self.sequence + number & 0xFFFF))
        slot_bytes = ends[-1]
        memory = bytearray(slot_bytes * self.slots)
        view = memoryview(memory)
        slots = []
        for first in range(0, len(memory), slot_bytes):
            own = view[first : first + slot_bytes]
            targets = []
            for header_of, start, end in zip(headers, starts, ends, strict=True):
                after = start + len(header_of)
                own[start:after] = header_of
                targets.append(own[after:end])
            slots.append(Slot(tuple(targets), tuple(datagram_runs(own, sizes))))
        return GcmLayout(
            _REPEAT[self.count],
            int.from_bytes(b"".join(vectors)),
            IV_BYTES * self.count,
            _VECTORS[self.count],
            tuple(headers),
            tuple(payloads),
            memory,
            address_of(memory),
            slot_bytes,
            tuple(slots),
        )


def bursts(
    buffer: bytes | bytearray, sizes: Sequence[int], sequence: int, viewers: int = 1
) -> list[Burst]:
    """Cut packets of one SSRC into bursts; `sequence` is the first one's, unwrapped.

    `viewers` is to how many they go: slots for more than that are not made.
    """
    made = []
    view = memoryview(buffer)
    start = first = 0
    while first < len(sizes):
        before_wrap = 0x10000 - (sequence & 0xFFFF)
        part = sizes[first : first + min(before_wrap, MAX_SEGMENTS)]
        end = start + sum(part)
        slots = max(1, min(viewers, MAX_SLOTS, _SLOTS_BYTES // (end - start)))
        made.append(Burst(bytes(view[start:end]), part, sequence, slots))
        start = end
        first += len(part)
        sequence += len(part)
    return made


def vector(ssrc: int, index: int) -> int:
    """The initialisation vector of one RTP packet, to be combined with the salt (RFC 7714, 8.1).

    `index` is the packet's: roll-over counter and sequence number (RFC 3711, 3.3.1).
    """
    return ssrc << 48 | index


def _starts(sizes: Sequence[int]) -> list[int]:
    starts = [0]
    for size in sizes[:-1]:
        starts.append(starts[-1] + size)
    return starts


_REPEAT = [sum(1 << 8 * IV_BYTES * place for place in range(n)) for n in range(MAX_SEGMENTS + 1)]
_VECTORS = [struct.Struct(f"{IV_BYTES}s" * n) for n in range(MAX_SEGMENTS + 1)]
