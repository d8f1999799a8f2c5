"""Opus in RTP: a packet is a payload (RFC 7587)."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Opus


class OpusPacketizer:
    """One Opus packet a payload. At most 1,275 bytes a frame, it is never cut (RFC 7587, 4.2)."""

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """Return the one payload."""
        return [unit.units[0]]


class OpusDepacketizer:
    """The payload is the Opus packet."""

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Return the one access unit. Raises `ParseError` if the payload is empty."""
        if not payload:
            raise ParseError("An Opus payload is empty.")
        return [AccessUnit([bytes(payload)], timestamp)]

    def flush(self) -> list[AccessUnit]:
        """Nothing is ever begun and not whole."""
        return []


def fmtp(codec: Opus) -> str:
    """The parameters: whether it is stereo, as a sender and as a receiver would like it."""
    return "sprop-stereo=1;stereo=1" if codec.channels == 2 else "sprop-stereo=0"


def codec_from_fmtp(fmtp: dict[str, str]) -> Opus:
    """The channels from `sprop-stereo`; rtpmap always says 2 (RFC 7587, 7)."""
    return Opus(channels=1 if fmtp.get("sprop-stereo") == "0" else 2)
