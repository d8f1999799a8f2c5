"""The time line of a source: from a file's own times to RTP's, through any number of loops."""

from __future__ import annotations

from fractions import Fraction

from streamsocket.codecs.coded import Coded
from streamsocket.media.codec import Kind

# What is cut out by an edit list but needed for decoding goes by a thousand times faster, just
# before the first picture that is shown: no player waits for it or shows it for long.
_HASTE = 1000

# The source's time line begins here, so that nothing on it (priming, reordering) is negative.
START_S = Fraction(10)


class Timeline:
    """Maps the times of pass after pass through a file onto one time line without seams.

    A pass is as long as its longest track, to the last tick; nothing is rounded before the very
    end, so no remainder adds up from pass to pass.
    """

    def __init__(self) -> None:
        self.loops = -1
        """How many times the file has begun again."""
        self._origin = Fraction(0)
        self._offset = START_S
        self._end = Fraction(0)
        self._sound_end: Fraction | None = None

    def begin_pass(self, origin: Fraction) -> None:
        """The file begins (again); its first time is `origin`."""
        if self.loops >= 0:
            self._offset += self._end - self._origin
        self.loops += 1
        self._origin = self._end = origin

    @property
    def pass_length(self) -> Fraction:
        """How long this pass is as far as it was read, in seconds."""
        return self._end - self._origin

    def place(self, coded: Coded, kind: Kind) -> tuple[Fraction, Fraction] | None:
        """Presentation and decoding time on the source's time line, in seconds.

        None for sound that does not belong there: cut out by an edit list, or an encoder's
        priming where the pass before still sounds.
        """
        self._end = max(self._end, coded.pts + coded.duration)
        pts, dts = coded.pts, coded.dts
        if kind == "video":
            if coded.discard:
                pts = self._hasten(pts)
                dts = self._hasten(dts)
            return pts + self._shift, dts + self._shift
        if pts + 2 * coded.duration <= self._origin:
            return None  # only the last frame before the first sample matters to the decoder
        pts += self._shift
        if self._sound_end is not None and pts < self._sound_end - coded.duration / 2:
            return None
        self._sound_end = pts + coded.duration
        return pts, pts

    def position(self, pts: Fraction) -> float:
        """Where in the file a presentation time of the source's time line is, in seconds."""
        return max(0.0, float(pts - self._offset))

    @property
    def _shift(self) -> Fraction:
        return self._offset - self._origin

    def _hasten(self, time: Fraction) -> Fraction:
        return time if time >= self._origin else self._origin - (self._origin - time) / _HASTE
