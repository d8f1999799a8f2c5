"""Which recordings are to be deleted: pure rules over what the index says.

Nothing else is ever deleted: no file that is not in the index, and none that is being written.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from streamsocket.record.index import Recorded

_DAY_S = 86_400.0
_SPARE = 1.05


@dataclass(frozen=True, slots=True)
class Retention:
    """What is kept of a rule's recordings."""

    seconds: float | None = None
    """For how long after their end; None is for ever."""
    bytes: int | None = None
    """How much of them, those being written included."""
    min_free_bytes: int = 0
    """What is to stay free on their disk."""

    @classmethod
    def from_settings(
        cls, keep_days: float | None, keep_gb: float | None, min_free_gb: float
    ) -> Retention:
        """From the units that settings have."""
        return cls(
            None if keep_days is None else keep_days * _DAY_S,
            None if keep_gb is None else round(keep_gb * 1e9),
            round(min_free_gb * 1e9),
        )

    @property
    def resume_bytes(self) -> int:
        """What has to be free before recording goes on: somewhat more than what made it pause."""
        return round(self.min_free_bytes * _SPARE)

    @property
    def deletes(self) -> bool:
        """Whether anything may be deleted at all: only where a bound was set on what is kept."""
        return self.seconds is not None or self.bytes is not None

    def expired(
        self, recordings: Iterable[Recorded], *, now: float, writing_bytes: int, free_bytes: int
    ) -> list[Recorded]:
        """The recordings to delete, the oldest first. Those without an end are left alone.

        `now` is in seconds since the epoch; `writing_bytes` is the size of the files being written,
        `free_bytes` what the disk has left.
        """
        if not self.deletes:
            return []
        finished = sorted(
            (each for each in recordings if each.ended is not None), key=lambda each: each.began
        )
        total = writing_bytes + sum(each.bytes for each in finished)
        missing = self.resume_bytes - free_bytes
        chosen = []
        for each in finished:
            assert each.ended is not None
            too_old = self.seconds is not None and now - each.ended > self.seconds
            too_much = self.bytes is not None and total > self.bytes
            if too_old or too_much or missing > 0:
                chosen.append(each)
                total -= each.bytes
                missing -= each.bytes
        return chosen
