"""When a recording goes on in a new file: pure rules, no clock."""

from __future__ import annotations

from dataclasses import dataclass

RETURN_S = 10.0
"""A publisher that is away for longer has ended its recording; its return begins another."""

KEYFRAME_PATIENCE_S = 2.0
"""Once a new file is due, how long a keyframe is waited for before the publisher is asked."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a file may hold at most; None is no bound."""

    seconds: float | None = None
    bytes: int | None = None

    def due(self, *, seconds: float, size: int) -> bool:
        """Whether a file of that length and size is full: the next keyframe belongs to another."""
        return (self.seconds is not None and seconds >= self.seconds) or (
            self.bytes is not None and size >= self.bytes
        )

    def overdue(self, *, seconds: float) -> bool:
        """Whether a keyframe has been waited for long enough to ask for one."""
        return self.seconds is not None and seconds >= self.seconds + KEYFRAME_PATIENCE_S
