"""One time line for the tracks of a recording. Pure: nothing here reads a clock.

Each track keeps its own RTP timestamps, so that pictures stay as far apart as they were, to the
tick. Capture times say how the tracks lie to each other, and bridge what timestamps cannot tell.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.media.codec import Track

MAX_GAP_S = 60
"""Where nothing at all comes for longer, the pause is cut down to this."""
DRIFT_BEYOND_S = 0.020
"""By how much two tracks may drift apart before it is corrected: less is neither seen nor heard,
and mostly the uncertainty of the capture times themselves."""

_SETTLED_WITHIN_S = 0.002
_CERTAIN_S = 1.0
_SLEW_RATE = 0.02
_SMOOTHING = 0.01
_PLAUSIBLE_STEP_S = 1.0
_CLOCK_JUMP_S = 0.5
_OVERLAP_S = 10.0


@dataclass(slots=True)
class _Clock:
    """How one track's timestamps lie on the time line."""

    rate: int
    base: int
    """The timestamp at which the recording begins, in ticks."""
    newest: int
    """The newest timestamp."""
    end: int
    """The newest place on the time line, in ticks."""
    captured: float | None
    """The capture time of the newest timestamp."""
    offset: float | None
    """What has to be added to places on the time line, in seconds, for the capture time."""
    drifts_since: int | None = None
    """The timestamp since which it has been off by too much; None if it is not."""
    rejoins: bool = False
    """The next timestamp has nothing to do with the ones before."""
    floor: int | None = None
    """Pictures that belong before this are shown here: they are what was there already."""


class Timeline:
    """Places the access units of all tracks on one time line, in ticks of their own clock rates.

    - The first unit that is placed is at 0; other tracks begin where their capture time says.
    - From then on timestamps count. If the tracks' clocks drift apart, the picture follows the
      sound by at most 20 ms a second, which nobody sees, until they agree within 2 ms; drifts of
      up to `DRIFT_BEYOND_S` are left alone.
    - Timestamps that jump while capture times do not are a source that began anew: it goes on where
      its capture time says. Pictures that are there already, because a server begins with its last
      keyframe, rush by within no time.
    - A pause is kept, up to `MAX_GAP_S`; what a longer one exceeds it by, in whole seconds, is cut
      out of all tracks. A track that pauses alone, such as a screen where nothing moves, is left
      alone.
    """

    def __init__(self, tracks: Sequence[Track]) -> None:
        self._rates = [track.codec.clock_rate for track in tracks]
        self._clocks: list[_Clock | None] = [None] * len(tracks)
        self._is_video = [track.kind == "video" for track in tracks]
        # Sound is heard to stumble, pictures are not seen to: the sound's clock is followed.
        self._leader = next((i for i, track in enumerate(tracks) if track.kind == "audio"), 0)

    @property
    def end_s(self) -> float:
        """The newest place of any track, in seconds."""
        return max((clock.end / clock.rate for clock in self._clocks if clock), default=0.0)

    def place(self, track: int, timestamp: int, captured: float | None) -> int:
        """Where a unit of that track belongs: its presentation time, in ticks of its clock rate.

        `timestamp` is unwrapped; `captured` is in seconds since the epoch, None where not known.
        """
        clock = self._clocks[track]
        if clock is None:
            clock = self._begin(track, timestamp, captured)
        elif clock.rejoins or _has_jumped(clock, timestamp, captured):
            self._begin_anew(clock, timestamp, captured)
        elif captured is not None:
            self._observe(clock, timestamp, captured)
            if track != self._leader:
                self._follow_leader(clock, timestamp)
        place = timestamp - clock.base
        if clock.floor is not None and place <= clock.floor and self._is_video[track]:
            place = clock.floor + 1
        excess = int(place / clock.rate - self.end_s - MAX_GAP_S)
        if excess > 0:
            self._cut(excess)
            place -= excess * clock.rate
        if timestamp > clock.newest:
            clock.newest = timestamp
            clock.captured = captured
        clock.end = max(clock.end, place)
        return place

    def rejoin(self) -> None:
        """What comes next is from another session, with timestamps of its own."""
        for clock in self._clocks:
            if clock:
                clock.rejoins = True

    def _begin(self, track: int, timestamp: int, captured: float | None) -> _Clock:
        rate = self._rates[track]
        offset = next((c.offset for c in self._clocks if c and c.offset is not None), captured)
        if captured is None or offset is None:
            place = round(self.end_s * rate)
        else:
            place = round((captured - offset) * rate)
        clock = _Clock(rate, timestamp - place, timestamp, place, captured, offset)
        self._clocks[track] = clock
        return clock

    def _begin_anew(self, clock: _Clock, timestamp: int, captured: float | None) -> None:
        place = clock.end + 1
        if captured is not None and clock.offset is not None:
            said = round((captured - clock.offset) * clock.rate)
            if said > clock.end - _OVERLAP_S * clock.rate:
                place = said
            clock.offset = captured - place / clock.rate
        clock.base = timestamp - place
        clock.newest = timestamp
        clock.captured = captured
        clock.floor = clock.end
        clock.rejoins = False

    def _observe(self, clock: _Clock, timestamp: int, captured: float) -> None:
        seen = captured - (timestamp - clock.base) / clock.rate
        if clock.offset is None or abs(seen - clock.offset) > _CLOCK_JUMP_S:
            clock.offset = seen
        else:
            clock.offset += _SMOOTHING * (seen - clock.offset)

    def _follow_leader(self, clock: _Clock, timestamp: int) -> None:
        leader = self._clocks[self._leader]
        if leader is None or leader.offset is None or clock.offset is None:
            return
        drift = clock.offset - leader.offset
        if clock.drifts_since is None:
            if abs(drift) > DRIFT_BEYOND_S:
                clock.drifts_since = timestamp
        elif abs(drift) < _SETTLED_WITHIN_S:
            clock.drifts_since = None
        # When a wall clock is set, one track hears of it a moment before the other.
        elif timestamp > clock.drifts_since + _CERTAIN_S * clock.rate:
            most = round(_SLEW_RATE * max(0, timestamp - clock.newest))
            step = max(-most, min(most, round(drift * clock.rate)))
            clock.base -= step
            clock.offset -= step / clock.rate

    def _cut(self, seconds: int) -> None:
        for clock in self._clocks:
            if clock:
                clock.base += seconds * clock.rate
                if clock.offset is not None:
                    clock.offset += seconds


def _has_jumped(clock: _Clock, timestamp: int, captured: float | None) -> bool:
    """Whether a timestamp does not continue the ones before it."""
    step = (timestamp - clock.newest) / clock.rate
    if abs(step) <= _PLAUSIBLE_STEP_S:
        return False
    if step < 0:
        return True
    if captured is None or clock.captured is None:
        return False
    return abs(captured - clock.captured - step) > _PLAUSIBLE_STEP_S
