"""Keeping a speaker fed so that every sample is heard when it is due; threads are elsewhere."""

from __future__ import annotations

from math import inf, isnan, nan
from typing import TYPE_CHECKING

import numpy as np

from streamsocket.player.sound_clock import DeviceClock, Written
from streamsocket.player.sound_queue import FADE_S, Run, SoundQueue
from streamsocket.player.stretch import AFTER, stretch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from streamsocket.desktop.backend import Samples, Speaker

SPEED_LIMIT = 0.005
"""How much faster or slower sound is played to be on time: 9 cents, which nobody hears."""

_BLOCK_S = 0.01
"""What is made at a time: half of the work is there whatever the block's length."""
_QUEUED_S = 0.035
_QUEUED_MOST_S = 0.1
_QUEUED_STEP_S = 0.01
_WAITS_DOWN_TO = 0.5
"""Sound that isn't there yet is waited for until no more than this part of it is queued: a block of
the device's (10.7 ms), and who feeds it may be late by a turn."""
_QUEUE_SHRINKS_AFTER_S = 120.0

_JUMP_S = 0.06
"""Who is further off than this doesn't get there by playing faster: that would take 12 s."""
_FIRST_JUMP_S, _FIRST_S = 0.02, 3.0
"""In the beginning, while the device and the delay settle, one cut is better than being late."""
_PULL = 0.5
"""By what part of the error the speed is changed, a second: what is left of it after 2 s is 1/e."""
_LEARNING = _PULL**2 / 4
"""How fast a lasting drift is learnt. Just as much as doesn't oscillate."""
_SMOOTHED = 0.05
"""What part a block's error has in the one that counts: timestamps in milliseconds jitter."""

_GOES_ON_S = 0.5
"""For so long after the sound the clock goes on without it."""
_RAMP_PER_S = 40.0
"""How fast the volume changes: from nothing to all of it in 25 ms."""


class SoundOutput:
    """Keeps a speaker fed, and says what is heard. To be used by one thread.

    Times are in seconds: `now` by a clock that never steps, capture times by the source's, which
    may be another and may drift.
    """

    def __init__(self, speaker: Speaker, *, offset_s: float = 0.0) -> None:
        self.volume = 1.0
        """From 0 to 1.5."""
        self.muted = False
        self.offset_s = offset_s
        """By how much the sound is heard later than the picture is seen."""
        self.underruns = 0
        """How often sound wasn't there when it was due, or the device ran dry."""
        self.jumps = 0
        """How often the sound was so far off that a piece was left out, or silence put in."""
        self.speed = 1.0
        """How fast it is played now, to be on time."""
        self._speaker = speaker
        self._rate = speaker.rate
        self._block = round(_BLOCK_S * speaker.rate)
        self._queue = SoundQueue(speaker.rate, speaker.channels)
        self._clock = DeviceClock()
        self._written = Written()
        self._written_samples = 0
        self._queued_s = 0.0
        self._target_s = _QUEUED_S
        self._target_changed_at = 0.0
        self._latency_s = speaker.latency_s
        self._delay_s = nan
        self._playing: Run | None = None
        self._first_sound_s = inf
        self._late_s = 0.0  # smoothed
        self._drift = 0.0
        self._gain = 0.0
        fade = round(FADE_S * speaker.rate)
        self._fading = np.linspace(0, 1, fade, dtype=np.float32)
        self._faded = 0  # how many samples of the fade in are done
        self._heard: float | None = None
        self._sound_heard_at: float | None = None

    @property
    def lead_s(self) -> float:
        """How long before it is due a sample has to be here, or nothing is heard in its place."""
        queued_s = _WAITS_DOWN_TO * self._target_s
        return queued_s + _BLOCK_S + AFTER / self._rate + self._latency_s

    @property
    def buffered_s(self) -> float:
        """How much sound waits here and in the speaker's queue."""
        return self._queue.waiting_s + self._queued_s

    @property
    def dropped_s(self) -> float:
        """How much sound was dropped because more than 2 s of it waited."""
        return self._queue.dropped_s

    def put(self, samples: Samples, capture_time: float) -> None:
        """Take in sound at the speaker's rate and channels, captured from `capture_time` on."""
        dropped_s = self._queue.dropped_s
        self._queue.put(np.ascontiguousarray(samples.T), capture_time)
        if self._queue.dropped_s != dropped_s:
            self._playing = None

    def feed(self, now: float, delay_s: float) -> None:
        """Top up the speaker. To be called about every 4 ms.

        What was captured at `c` is to be heard at `c + delay_s + offset_s`. While that isn't known
        (not a number), it goes by what it was.
        """
        if not isnan(delay_s):
            self._delay_s = delay_s
        self._latency_s = self._speaker.latency_s
        queued_s = self._speaker.queued_s
        if queued_s <= 0:
            self._ran_dry(now)
        elif self._target_s > _QUEUED_S and now - self._target_changed_at > _QUEUE_SHRINKS_AFTER_S:
            self._target_s = max(self._target_s - _QUEUED_STEP_S / 2, _QUEUED_S)
            self._target_changed_at = now
        self._clock.update(now, self._written_s - queued_s)
        while queued_s < self._target_s and self._write(queued_s):
            queued_s += _BLOCK_S
        self._queued_s = queued_s

    def heard(self, now: float) -> float | None:
        """The capture time of the picture that belongs to what is heard now; None: nothing is.

        It never goes back while sound plays; where it has to (the source's clock went back, or the
        delay grew) it stands still, unless that would take more than a second.
        """
        position = self._clock.position(now - self._latency_s)
        captured = None if position is None else self._written.capture_time(position)
        if captured is not None:
            captured += self.offset_s
            self._sound_heard_at = now
        elif self._sound_heard_at is not None and now - self._sound_heard_at <= _GOES_ON_S:
            captured = now - self._delay_s
        else:
            self._heard = self._sound_heard_at = None
            return None
        if self._heard is not None and captured > self._heard - 1.0:
            captured = max(captured, self._heard)
        self._heard = captured
        return captured

    @property
    def _written_s(self) -> float:
        return self._written_samples / self._rate

    def _ran_dry(self, now: float) -> None:
        self._clock.restart()
        self._faded = 0
        if self._playing is not None:
            self.underruns += 1
            self._target_s = min(self._target_s + _QUEUED_STEP_S, _QUEUED_MOST_S)
            self._target_changed_at = now

    def _write(self, queued_s: float) -> bool:
        """Queue a block; return False if its sound can still be waited for."""
        run = self._playing
        if run is not None and run.end is None and self._queue.playable(run) < self._needed(0):
            if queued_s > _WAITS_DOWN_TO * self._target_s:
                return False
            self.underruns += 1
            self._queue.end_run()
        block = np.zeros((self._speaker.channels, self._block), np.float32)
        heard_at = self._clock.taken_at(self._written_s) + self._latency_s
        at = 0
        while at < self._block:
            if self._playing is None:
                at = self._begin(at, heard_at + at / self._rate)
            else:
                at = self._play(block, at, heard_at + at / self._rate)
        self._apply_volume(block)
        self._speaker.queue(np.ascontiguousarray(block.T))
        self._written_samples += self._block
        return True

    def _needed(self, at: int) -> int:
        """How many samples of sound the rest of a block may take."""
        return int((self._block - at) * (1 + SPEED_LIMIT)) + 1

    def _due(self, run: Run) -> float:
        return run.capture_time(run.position) + self._delay_s + self.offset_s

    def _begin(self, at: int, heard_at: float) -> int:
        """Begin the next run if it is due in the block; return where its sound starts there."""
        runs = self._queue.runs
        while runs and not isnan(self._delay_s):
            run = runs[0]
            late = (heard_at - self._due(run)) * self._rate
            start = at + max(0, round(-late))
            if start >= self._block:
                break
            run.position += min(max(0.0, late), self._queue.playable(run))
            available = self._queue.playable(run)
            if run.end is None:
                if available < self._needed(start):
                    break
            elif available <= len(self._fading):
                runs.popleft()
                continue
            self._playing = run
            self._first_sound_s = min(self._first_sound_s, self._written_s)
            self._late_s = 0.0
            self._faded = 0
            return start
        return self._block

    def _play(self, block: NDArray[np.float32], at: int, heard_at: float) -> int:
        """Put the run's sound into the block from `at` on; return where it ends there."""
        run = self._playing
        assert run is not None
        late_s = heard_at - self._due(run)
        settles = self._written_s - self._first_sound_s < _FIRST_S
        jumps = abs(late_s) > (_FIRST_JUMP_S if settles else _JUMP_S)
        if at == 0 and not jumps:
            self._steer(late_s)
        count = len(self._fading) if jumps else self._block
        count = min(count, self._block - at, int(self._queue.playable(run) / self.speed))
        if count:
            window, position = self._queue.window(run, run.position + count * self.speed)
            sound = stretch(window, position, self.speed, count)
            self._fade_in(sound)
            if jumps:
                sound *= np.linspace(1, 0, count, dtype=np.float32)
            block[:, at : at + count] = sound
            begin = self._written_s + at / self._rate
            captured = run.capture_time(run.position)
            self._written.note(begin, begin + count / self._rate, captured, self.speed)
            run.position += count * self.speed
        if jumps:
            self.jumps += 1
            self._playing = None
        elif at + count < self._block:
            self._queue.runs.popleft()
            self._playing = None
        return at + count

    def _steer(self, late_s: float) -> None:
        """Choose the speed that brings the sound back in time, and keeps it there."""
        self._late_s += (late_s - self._late_s) * _SMOOTHED
        wanted = 1 + _PULL * self._late_s + self._drift
        self.speed = min(max(wanted, 1 - SPEED_LIMIT), 1 + SPEED_LIMIT)
        if self.speed == wanted:
            self._drift += _LEARNING * self._late_s * _BLOCK_S

    def _fade_in(self, sound: NDArray[np.float32]) -> None:
        part = self._fading[self._faded : self._faded + sound.shape[1]]
        sound[:, : len(part)] *= part
        self._faded += len(part)

    def _apply_volume(self, block: NDArray[np.float32]) -> None:
        wanted = 0.0 if self.muted else self.volume
        before = self._gain
        if wanted == before == 1.0:
            return
        step = _RAMP_PER_S * _BLOCK_S
        self._gain = min(max(wanted, before - step), before + step)
        block *= np.linspace(before, self._gain, self._block, dtype=np.float32)
        if self._gain > 1 or before > 1:
            np.clip(block, -1, 1, out=block)
