"""Decoding times, which RTP doesn't carry: derived from the pictures' presentation times."""

from __future__ import annotations

from bisect import bisect_right, insort
from heapq import heappop, heappush

from streamsocket.errors import ParseError
from streamsocket.media import h264, h265
from streamsocket.media.codec import H264, H265, Codec

MAX_DEPTH = 16
"""No codec lets more pictures wait for one another (H.264 A.3.1 h, H.265 A.4.2)."""
ASSUMED_DEPTH = 2
"""Where the stream doesn't say: enough for B-frames and for one level of a pyramid of them."""


def reorder_depth(codec: Codec) -> int | None:
    """How many pictures wait for others, as the parameter sets say; None where they don't."""
    try:
        if isinstance(codec, H264):
            return h264.parse_sps(codec.sps).max_reorder
        if isinstance(codec, H265):
            return h265.parse_sps(codec.sps).max_reorder
    except ParseError:
        pass  # the stream has them in band
    return None


class DecodeTimes:
    """Gives pictures that come in decoding order their decoding times (DTS), without look-ahead.

    Pictures are shown in the order of their presentation times (PTS). If at most `depth` pictures
    are decoded before and shown after any other, the presentation times in ascending order, each
    given out `depth` pictures later, are decoding times: strictly increasing, and never after the
    presentation. The first `depth` pictures find none to take over; theirs are `frame_duration`
    apart, before the first presentation. Lost pictures, gaps and a varying frame rate do no harm.

    `depth` is what the parameter sets say (H.264 max_num_reorder_frames, H.265
    sps_max_num_reorder_pics); None assumes `ASSUMED_DEPTH`. It grows when pictures show that it is
    too small. Decoding times increase strictly all the same; only for the few pictures until then,
    or where presentation times go back for another reason, is decoding after presentation.

    All times are in ticks of one clock.
    """

    def __init__(self, depth: int | None, frame_duration: int) -> None:
        self.depth = ASSUMED_DEPTH if depth is None else min(depth, MAX_DEPTH)
        self._frame_duration = max(1, frame_duration)
        self._waiting: list[int] = []  # a heap of the presentation times not given out yet
        self._latest: list[int] = []  # the latest presentation times, ascending
        self._last: int | None = None

    def next(self, pts: int) -> int:
        """The decoding time of the next picture in decoding order, which is shown at `pts`."""
        shown_later = len(self._latest) - bisect_right(self._latest, pts)
        self.depth = max(self.depth, shown_later)
        insort(self._latest, pts)
        del self._latest[:-MAX_DEPTH]

        heappush(self._waiting, pts)
        if self._last is None:
            dts = pts - self.depth * self._frame_duration
        else:
            dts = min(self._last + self._frame_duration, self._waiting[0])
        if len(self._waiting) > self.depth:
            dts = heappop(self._waiting)
        if self._last is not None:
            dts = max(dts, self._last + 1)
        self._last = dts
        return dts
