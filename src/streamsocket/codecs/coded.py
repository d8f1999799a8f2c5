"""What demuxers and encoders give: one coded picture or frame of sound with its times."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction


@dataclass(slots=True)
class Coded:
    """One coded picture or frame of sound; its times are seconds on its source's own time line."""

    units: list[bytes]
    """H.264, H.265: the NAL units without start codes. Otherwise one element, the coded frame."""
    pts: Fraction
    """When it is shown or heard."""
    dts: Fraction
    """When it is decoded: never after `pts`."""
    duration: Fraction
    keyframe: bool = True
    discard: bool = False
    """Needed for decoding only: an edit list cuts it out of what is shown."""
