"""A speaker, a source and the time between them, all of them simulated."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from streamsocket.player.sound import SoundOutput

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Samples

EPOCH = 1_000_000.0
"""When every simulation begins."""


class FakeSpeaker:
    """Takes blocks by a crystal of its own, and remembers what was heard when.

    The first sample of a block is heard `latency_s` after it was taken, less half a block: a
    speaker's latency is that of its samples on average.
    """

    def __init__(
        self,
        rate: int = 48_000,
        channels: int = 2,
        *,
        ppm: float = 0.0,
        buffer: int = 512,
        latency_s: float = 0.02,
        keep: bool = True,
    ) -> None:
        self.rate = rate
        self.channels = channels
        self.latency_s = latency_s
        self.lost = False
        self.stalls: list[tuple[float, float]] = []
        """From when to when it takes nothing."""
        self.dry = 0
        """How often it had nothing to take, since it began."""
        self.most_queued_s = 0.0
        self.heard: list[Samples] = []
        self.heard_at: list[float] = []
        self._true_rate = rate * (1 + ppm * 1e-6)
        self._buffer = buffer
        self._keep = keep
        self._queue: list[Samples] = []
        self._queued = 0
        self._begun = False
        self._next_take = EPOCH + 0.0037

    @property
    def queued_s(self) -> float:
        return self._queued / self.rate

    def queue(self, samples: Samples) -> None:
        assert samples.shape[1] == self.channels
        assert samples.dtype == np.float32
        self._queue.append(samples)
        self._queued += len(samples)
        self._begun = True
        self.most_queued_s = max(self.most_queued_s, self.queued_s)

    def clear(self) -> None:
        self._queue.clear()
        self._queued = 0

    def close(self) -> None:
        self.lost = True

    def run_until(self, now: float) -> None:
        """Take what is due by then."""
        period = self._buffer / self._true_rate
        while self._next_take <= now:
            at = self._next_take
            if stall := next((end for begin, end in self.stalls if begin <= at < end), None):
                self._next_take = stall
                continue
            self._take(at)
            self._next_take += period

    def _take(self, at: float) -> None:
        taken: list[Samples] = []
        missing = self._buffer
        while missing and self._queue:
            head = self._queue[0]
            taken.append(head[:missing])
            if len(head) > missing:
                self._queue[0] = head[missing:]
            else:
                self._queue.pop(0)
            missing -= len(taken[-1])
        self._queued -= self._buffer - missing
        if missing and self._begun:
            self.dry += 1
        if self._keep:
            taken.append(np.zeros((missing, self.channels), np.float32))
            self.heard.append(np.concatenate(taken))
            self.heard_at.append(at + self.latency_s - self._buffer / 2 / self._true_rate)

    def sound(self) -> Samples:
        """All that was heard."""
        return np.concatenate(self.heard)

    def times(self) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """When each of its samples was heard."""
        within = np.arange(self._buffer) / self._true_rate
        return np.concatenate([at + within for at in self.heard_at])


RAMP_S = 200.0
"""The second channel says when it was captured: it rises by 1 in that time, from this on:"""
RAMP_FROM = 0.25


@dataclass
class Source:
    """Frames of sound: a sine on the left, on the right when they were captured."""

    rate: int = 48_000
    channels: int = 2
    frame: int = 960
    ppm: float = 0.0
    """How fast its sampling clock runs, by its own timestamps."""
    frequency: float = 1000.0
    samples: int = 0

    def next(self) -> tuple[Samples, float]:
        """The next frame, and its capture time in seconds since `EPOCH`."""
        at = np.arange(self.samples, self.samples + self.frame)
        begin = self.samples / (self.rate * (1 + self.ppm * 1e-6))
        self.samples += self.frame
        sine = 0.5 * np.sin(2 * np.pi * self.frequency * at / self.rate)
        captured = RAMP_FROM + at / (self.rate * (1 + self.ppm * 1e-6)) / RAMP_S
        return np.stack([sine, captured][: self.channels], axis=1).astype(np.float32), begin


@dataclass
class Simulation:
    """Runs a source, a network and a speaker against each other in virtual time."""

    speaker: FakeSpeaker = field(default_factory=FakeSpeaker)
    source: Source = field(default_factory=Source)
    delay: Callable[[float], float] = lambda _: 0.15
    """The schedule, by the time since the beginning."""
    network: Callable[[float], float | None] = lambda _: 0.02
    """How long a frame captured then is on its way; None: it is lost."""
    slew: Callable[[float], float] = lambda _: 0.0
    """What is added to a capture time: how the source's clock is mapped."""
    tick_s: float = 0.004
    jitter_s: float = 0.001
    offset_s: float = 0.0
    seed: int = 1

    def __post_init__(self) -> None:
        self.output = SoundOutput(self.speaker, offset_s=self.offset_s)
        self.t = 0.0
        self.errors: list[tuple[float, float]] = []
        """(time, heard − due in seconds) of what was heard, as the output itself says."""
        self.heards: list[tuple[float, float | None]] = []
        self._random = random.Random(self.seed)
        self._pending: list[tuple[float, Samples, float]] = []
        self._captured = -math.inf

    def run(self, until: float) -> Simulation:
        """Go on until that time."""
        while self.t < until:
            self.t += self.tick_s + self._random.random() * self.jitter_s
            self._receive()
            now = EPOCH + self.t
            self.speaker.run_until(now)
            self.output.feed(now, self.delay(self.t))
            heard = self.output.heard(now)
            self.heards.append((self.t, None if heard is None else heard - EPOCH))
        return self

    def _receive(self) -> None:
        source = self.source
        true_period = source.frame / source.rate / (1 + source.ppm * 1e-6)
        while (source.samples / source.frame + 1) * true_period <= self.t:
            samples, captured = source.next()
            way = self.network(captured)
            if way is not None:
                captured_at = captured + self.slew(captured)
                arrival = captured + true_period + way
                self._pending.append((arrival, samples, captured_at))
        while self._pending and self._pending[0][0] <= self.t:
            _, samples, captured = self._pending.pop(0)
            self.output.put(samples, EPOCH + captured)

    def lateness(self, begin: float, end: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        """How late each sample heard between these times was by the ramp, in seconds.

        Silence is left out. It is heard's end of the wire: nothing the output says is believed.
        """
        times = self.speaker.times() - EPOCH
        ramp = self.speaker.sound()[:, 1].astype(np.float64)
        chosen = (times >= begin) & (times < end) & (ramp >= RAMP_FROM)
        times, captured = times[chosen], (ramp[chosen] - RAMP_FROM) * RAMP_S
        slewed = (
            captured
            + np.array([self.slew(t) for t in captured[::480]]).repeat(480)[: len(captured)]
        )
        delays = np.array([self.delay(t) for t in times[::480]]).repeat(480)[: len(times)]
        return times - (slewed + delays + self.output.offset_s)
