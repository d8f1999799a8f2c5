"""Pictures at another rate: some are left out, or shown twice."""

from __future__ import annotations

from fractions import Fraction
from math import ceil, floor

from av.video.frame import VideoFrame

# A longer pause than this in a file is no picture to be repeated but a break.
_LONGEST_STILL_S = 10


class SteadyRate:
    """Puts pictures on the grid of a steady rate, each at the place nearest to its time.

    The later one of two pictures for the same place is taken, and places without a picture repeat
    the one before. A picture comes out when the next one is known.
    """

    def __init__(self, rate: Fraction) -> None:
        """`rate` in pictures a second."""
        self._rate = rate
        self._held: tuple[VideoFrame, int] | None = None

    def take(self, frame: VideoFrame, pts: Fraction) -> list[tuple[VideoFrame, Fraction]]:
        """Take a picture and its time in seconds; return those that are ready, with theirs."""
        place = self._place(pts)
        held, self._held = self._held, (frame, place)
        return self._shown(held, place)

    def flush(self, end: Fraction) -> list[tuple[VideoFrame, Fraction]]:
        """The last picture, as often as it is shown before `end` seconds."""
        held, self._held = self._held, None
        return self._shown(held, ceil(end * self._rate))

    def _place(self, pts: Fraction) -> int:
        return floor(pts * self._rate + Fraction(1, 2))

    def _shown(
        self, held: tuple[VideoFrame, int] | None, until: int
    ) -> list[tuple[VideoFrame, Fraction]]:
        if held is None:
            return []
        frame, first = held
        if until - first > _LONGEST_STILL_S * self._rate:
            until = first + 1
        return [(frame, place / self._rate) for place in range(first, until)]
