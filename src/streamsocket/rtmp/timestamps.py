"""Timestamps that go wrong, put right: a publisher is not thrown out for its clock.

RTMP's timestamps are milliseconds in 32 bits. Encoders begin again at 0 when they switch scenes,
jump when a laptop wakes, and wrap after 49.7 days.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Kind = Literal["video", "audio"]

JUMP_MS = 1500
"""A step forward that is longer, and further ahead than arrival explains, is a jump."""
BACKWARD_MS = 500
"""A step back that is longer is a jump; a shorter one is disorder, and held back."""
APART_MS = 5000
"""Tracks that begin further apart have different bases."""

_STEADY_MS = 300
"""A jump without a pause: what follows is placed by the track's own pace, to the millisecond."""
_LEAD_DECAY = 0.001
"""By how much the best lead ages, in seconds a second: more than any clock drifts."""
_MAX_STEP_MS = 200


@dataclass(slots=True)
class _Timeline:
    """One track's repaired timestamps."""

    offset: int
    """What is added to the publisher's unwrapped timestamps."""
    raw: int
    """The publisher's last timestamp, unwrapped."""
    last: int
    """The last repaired timestamp."""
    arrival: float
    """When that came, in milliseconds."""
    lead: float
    """By how much timestamps have been ahead of arrival at best."""
    step: int = 0
    """The last ordinary step between two timestamps."""
    owed: int = 0
    """By how much the other track was moved since this one was."""


class TimestampRepair:
    """Repairs the timestamps of one connection's two tracks, in milliseconds.

    Where both tracks jump by the same amount, both are moved by the same offset, which keeps them
    in sync to the millisecond. Where one jumps alone, it goes on at its own pace.
    """

    def __init__(self) -> None:
        self.repairs = 0
        """How many jumps were taken out."""
        self.held_back = 0
        """How many timestamps were a little before the one before."""
        self._tracks: dict[Kind, _Timeline] = {}

    def repair(self, kind: Kind, timestamp: int, arrival_s: float) -> int:
        """The repaired timestamp, which never goes back, of a message that arrived then.

        `timestamp` has 32 bits and is the decoding time; `arrival_s` is of a steady clock.
        """
        arrival = arrival_s * 1000
        track = self._tracks.get(kind)
        other = self._tracks.get("audio" if kind == "video" else "video")
        if track is None:
            return self._begin(kind, timestamp, arrival, other)
        raw = track.raw + _signed(timestamp - track.raw)
        track.lead -= _LEAD_DECAY * max(0.0, arrival - track.arrival)
        if not self._plausible(track, other, raw + track.offset, arrival):
            moved = track.offset + track.owed
            if not track.owed or not self._plausible(track, other, raw + moved, arrival):
                moved = self._continuation(track, arrival) - raw
                self.repairs += 1
                if other:
                    other.owed += moved - track.offset
            track.offset, track.owed = moved, 0
        repaired = raw + track.offset
        if repaired < track.last:
            self.held_back += 1
            repaired = track.last
        elif 0 < repaired - track.last <= _MAX_STEP_MS:
            track.step = repaired - track.last
        track.raw, track.last, track.arrival = raw, repaired, arrival
        track.lead = max(track.lead, repaired - arrival)
        return repaired

    def _begin(self, kind: Kind, timestamp: int, arrival: float, other: _Timeline | None) -> int:
        """A track's first message: its base is the other track's, if that can be."""
        raw, offset = timestamp, 0
        if other:
            raw, offset = other.raw + _signed(timestamp - other.raw), other.offset
            if abs(raw + offset - (other.last + arrival - other.arrival)) > APART_MS:
                offset = round(arrival + other.lead) - raw
                self.repairs += 1
        repaired = raw + offset
        self._tracks[kind] = _Timeline(offset, raw, repaired, arrival, repaired - arrival)
        return repaired

    @staticmethod
    def _plausible(
        track: _Timeline, other: _Timeline | None, repaired: int, arrival: float
    ) -> bool:
        step = repaired - track.last
        if step < -BACKWARD_MS:
            return False
        return (
            step <= JUMP_MS
            or repaired - arrival <= track.lead + JUMP_MS
            # Somebody sends faster than real time; the other track has been there already.
            or (other is not None and repaired <= other.last + JUMP_MS)
        )

    @staticmethod
    def _continuation(track: _Timeline, arrival: float) -> int:
        """Where a track that jumped goes on."""
        steady, by_arrival = track.last + max(track.step, 1), arrival + track.lead
        if abs(steady - by_arrival) <= _STEADY_MS:
            return steady
        return max(steady, round(by_arrival))


class SoundClock:
    """Exact timestamps, in ticks, for frames of sound that came with rounded milliseconds.

    Frames follow each other without a gap. What the milliseconds say is followed where it differs
    for long or by much.
    """

    def __init__(self, clock_rate: int) -> None:
        self._clock_rate = clock_rate
        self._gap = clock_rate // 10
        self._drift_bound = clock_rate * 3 // 1000
        self._expected: int | None = None
        self._drift = 0.0

    def stamp(self, milliseconds: int, duration: int) -> int:
        """The timestamp of a frame of `duration` ticks, after that of the frame before."""
        told = round(Fraction(milliseconds * self._clock_rate, 1000))
        expected = told if self._expected is None else self._expected
        off = told - expected
        self._drift += (off - self._drift) / 32
        if abs(off) > self._gap:
            expected = max(told, expected - duration + 1)
            self._drift = 0.0
        elif abs(self._drift) > self._drift_bound:
            expected += round(self._drift)
            self._drift = 0.0
        self._expected = expected + duration
        return expected


def _signed(difference: int) -> int:
    """The nearest of the numbers that are the same in 32 bits."""
    return (difference + (1 << 31)) % (1 << 32) - (1 << 31)
