"""A publisher's own time line: from times of capture to times that only go forward. No I/O."""

from __future__ import annotations

START_S = 10.0
"""Where it begins, in seconds: some of what is first may have been captured a little earlier."""

JUMP_S = 3.0
"""Times of capture that leave the time that has passed by more than this have begun anew."""

_LEAST_STEP_S = 0.001


class Timeline:
    """Maps times of capture to seconds of the stream's own, for all of its tracks.

    Irregular intervals stay as they are. A clock that is set, or another film, shifts the mapping
    so that the stream goes on at the pace of real time. `now` is `time.monotonic()`.
    """

    def __init__(self) -> None:
        self.zero: float | None = None
        """The time of capture, seconds since the epoch, that is 0 at present."""
        self._newest = 0.0
        self._newest_at = 0.0
        self._picture = 0.0

    def place(self, capture_time: float, now: float) -> float:
        """Where on the time line something was captured that is written now."""
        if self.zero is None:
            self.zero = capture_time - START_S
            self._newest, self._newest_at = START_S, now
            return START_S
        expected = self.reached(now)
        place = capture_time - self.zero
        if abs(place - expected) > JUMP_S:
            self.zero = capture_time - expected
            place = expected
        if place > self._newest:
            self._newest, self._newest_at = place, now
        return place

    def place_picture(self, capture_time: float, now: float) -> float:
        """The same for a picture: always after the one before."""
        place = self.place(capture_time, now)
        self._picture = max(place, self._picture + _LEAST_STEP_S)
        return self._picture

    def reached(self, now: float) -> float:
        """Where the time line has come to by now, if time has passed as it does."""
        return self._newest + max(0.0, now - self._newest_at)

    def captured(self, place: float) -> float:
        """When what is at that place was captured, in seconds since the epoch."""
        assert self.zero is not None, "place comes first"
        return self.zero + place
