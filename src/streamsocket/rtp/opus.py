"""Opus in RTP (RFC 7587): a payload is one Opus packet, as it is."""

from __future__ import annotations

from typing import ClassVar

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Opus
from streamsocket.rtp.packet import MAX_PAYLOAD


class OpusPacketizer:
    """One access unit in, one payload out."""

    marker: ClassVar[bool] = False
    """The marker means the first packet after silence, not the end of anything (4.1)."""

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payload of an access unit. Raises ParseError for one that no packet can hold."""
        [packet] = unit.units
        if not 0 < len(packet) <= MAX_PAYLOAD:
            raise ParseError(f"An Opus packet of {len(packet)} bytes can't be sent in one piece.")
        return [packet]


class OpusDepacketizer:
    """Payloads in, access units out."""

    def __init__(self, codec: Opus) -> None:
        self.codec = codec

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet."""
        if not payload:
            raise ParseError("An Opus payload is empty.")
        return [AccessUnit([bytes(payload)], timestamp)]

    def flush(self) -> list[AccessUnit]:
        """Nothing: a packet is an access unit."""
        return []
