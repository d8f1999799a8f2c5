"""Joining: from the newest keyframe to live without a leap, in pictures and in timestamps.

A viewer who joins is sent the group of pictures so far, faster than it was made. Its timestamps are
squeezed by the same line that paces it, so that to the viewer's player everything arrives just on
time, from the first picture on: it shows the group quickly and then is as live as everybody.
"""

from __future__ import annotations

from dataclasses import dataclass


def catch_up_seconds(behind_s: float, longest_s: float) -> float:
    """How long catching up shall take.

    At 0.3 s + 40% a group of two seconds is sent at three times the stream's own rate, which is
    kind to receive buffers, to links and to decoders; only a long one has to go faster.
    """
    return min(longest_s, 0.3 + 0.4 * behind_s)


@dataclass(frozen=True, slots=True)
class CatchUp:
    """One viewer's line from the keyframe to live.

    Something that arrived `x` before the line's end leaves `x * ratio` before it, and its timestamp
    lies as much nearer to the end's.
    """

    end: float
    """When the viewer is live, in seconds of `time.monotonic()`."""
    end_timestamp: int
    """The timestamp that is live then; later ones stay as they are."""
    ratio: float
    squeezes: bool = True
    """Timestamps are squeezed, too; otherwise they stay as they are, and arrive too early."""

    @classmethod
    def start(
        cls,
        *,
        now: float,
        keyframe_arrived: float,
        live_timestamp: int,
        clock_rate: int,
        longest_s: float,
        squeezes: bool = True,
    ) -> CatchUp:
        """Draw the line for a viewer who joins now, the keyframe having arrived some time ago."""
        behind = max(0.0, now - keyframe_arrived)
        duration = catch_up_seconds(behind, longest_s)
        return cls(
            end=now + duration,
            end_timestamp=live_timestamp + round(duration * clock_rate),
            ratio=duration / (behind + duration),
            squeezes=squeezes,
        )

    def due(self, arrived: float) -> float:
        """When a batch that arrived then is to be sent."""
        return self.end - (self.end - arrived) * self.ratio if arrived < self.end else arrived

    def timestamp(self, timestamp: int) -> int:
        """The timestamp this viewer gets for that of the stream."""
        if not self.squeezes:
            return timestamp
        ahead = self.end_timestamp - timestamp
        return self.end_timestamp - round(ahead * self.ratio) if ahead > 0 else timestamp
