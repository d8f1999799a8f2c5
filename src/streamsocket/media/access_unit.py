"""The access unit: one coded picture, or one coded frame of sound."""

from __future__ import annotations

from dataclasses import dataclass

START_CODE = b"\x00\x00\x00\x01"


@dataclass(slots=True)
class AccessUnit:
    """One coded picture or frame of sound, with its time."""

    units: list[bytes]
    """H.264: the NAL units in order, without start codes. Sound: one element, the coded frame."""
    timestamp: int
    """Presentation time in ticks of the track's clock rate; it never wraps."""
    keyframe: bool = True
    """Decoding can begin here. True for every frame of sound."""
    capture_time: float | None = None
    """Seconds since the epoch at which it was captured, where that is known."""
    damaged: bool = False
    """Something of it was lost on the way."""

    def annexb(self) -> bytes:
        """The NAL units as a byte stream with start codes (H.264 Annex B)."""
        return b"".join(START_CODE + unit for unit in self.units)
