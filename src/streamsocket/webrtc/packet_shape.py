"""What all who watch alike get: packets with their payload type and header extensions.

abs-send-time lets a viewer estimate what gets through to it (REMB). abs-capture-time tells when a
picture or a sound was captured. A number that counts all packets of a transport would be another
for every viewer, and so would be the whole header: it isn't sent. Neither is the section's name
(mid): our answers name the SSRCs, and packets find their section by them (RFC 9143, 9.2).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from streamsocket.rtp.packet import HEADER, MARKER
from streamsocket.webrtc.header_extensions import (
    EXTENSION,
    CaptureTime,
    ExtensionUri,
    build_abs_capture_time,
    build_abs_send_time,
    build_elements,
)

CAPTURE_TIME_S = 1.0
"""How often captures are dated, beside every keyframe: receivers reckon from one to the next by RTP
timestamps, if they are no more than 5 s apart."""


@dataclass(frozen=True, slots=True)
class PacketShape:
    """A payload type, and the ids of the extensions that packets get; 0 for one they don't."""

    payload_type: int
    send_time_id: int = 0
    capture_time_id: int = 0

    @classmethod
    def of(cls, payload_type: int, extensions: Mapping[str, int], host: str = "") -> PacketShape:
        """`extensions` are ids by URI; `host` is where the packets go.

        Over IPv6 there is no room for extensions: with them, and with a payload of 1,200 bytes, a
        packet would be longer than the 1,280 bytes that have to get through everywhere.
        """
        if ":" in host and "." not in host:
            return cls(payload_type)
        return cls(
            payload_type,
            extensions.get(ExtensionUri.ABS_SEND_TIME, 0),
            extensions.get(ExtensionUri.ABS_CAPTURE_TIME, 0),
        )

    def extension(self, now: float, captured: float | None = None) -> bytes:
        """The header extension of a packet that is sent `now` (seconds of a steady clock).

        `captured` is in seconds since the epoch, if that is to be told.
        """
        return _extension(
            self.send_time_id and now, self.send_time_id, self.capture_time_id, captured
        )

    def shaped(
        self,
        buffer: bytes | bytearray,
        sizes: Sequence[int],
        now: float,
        captured: Sequence[float] | None = None,
    ) -> tuple[bytearray, Sequence[int]]:
        """The packets, which have plain headers, in this shape; all grow by the same.

        `captured` has a time for each packet, or is left out.
        """
        first = self.extension(now, captured[0] if captured else None)
        if not first:
            return retyped(buffer, sizes, self.payload_type), sizes
        parts: list[bytes | memoryview] = []
        view = memoryview(buffer)
        start = 0
        for number, size in enumerate(sizes):
            after = start + HEADER.size
            second = view[start + 1] & MARKER | self.payload_type
            parts += (
                bytes((view[start] | EXTENSION, second)),
                view[start + 2 : after],
                self.extension(now, captured[number]) if captured else first,
                view[after : start + size],
            )
            start += size
        return bytearray(b"".join(parts)), [size + len(first) for size in sizes]


@functools.lru_cache(maxsize=64)
def _extension(
    now: float, send_time_id: int, capture_time_id: int, captured: float | None
) -> bytes:
    elements = {}
    if send_time_id:
        elements[send_time_id] = build_abs_send_time(now)
    if capture_time_id and captured is not None:
        elements[capture_time_id] = build_abs_capture_time(CaptureTime(captured))
    return build_elements(elements)


def retyped(buffer: bytes | bytearray, sizes: Sequence[int], payload_type: int) -> bytearray:
    """The packets with another payload type."""
    packets = bytearray(buffer)
    start = 1
    for size in sizes:
        packets[start] = packets[start] & MARKER | payload_type
        start += size
    return packets
