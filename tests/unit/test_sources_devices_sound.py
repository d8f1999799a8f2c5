"""Sound of devices whose clocks are off, which stall and go away, in simulated time."""

from __future__ import annotations

import random

import numpy as np
import pytest
from numpy.typing import NDArray

from streamsocket.sources.devices.resampler import Resampler
from streamsocket.sources.devices.steady_sound import SteadySound

_RATE = 48_000
_TONE_HZ = 1000.0


def _tone(times: NDArray[np.float64], hz: float = _TONE_HZ) -> NDArray[np.float32]:
    return np.sin(2 * np.pi * hz * times).astype(np.float32)[:, np.newaxis]


@pytest.mark.parametrize(
    ("in_rate", "out_rate"), [(48_000, 48_000), (44_100, 48_000), (48_000, 8_000), (16_000, 48_000)]
)
def test_a_tone_stays_the_same_at_another_rate(in_rate: int, out_rate: int) -> None:
    resampler = Resampler(in_rate, out_rate, 1)
    sound = _tone(np.arange(in_rate) / in_rate)
    blocks = [resampler.push(sound[at : at + 441]) for at in range(0, len(sound), 441)]
    made = np.concatenate(blocks)
    held_s = resampler.held_back / in_rate
    assert len(made) / out_rate == pytest.approx(1 - held_s, abs=1 / out_rate)
    assert held_s <= 17 / min(in_rate, out_rate)
    expected = _tone(np.arange(len(made)) / out_rate)
    after_the_beginning = slice(100, None)
    error = np.abs(made - expected)[after_the_beginning].max()
    assert error < 0.003


def test_a_high_tone_survives_a_slightly_other_speed() -> None:
    resampler = Resampler(_RATE, _RATE, 2)
    sound = _tone(np.arange(_RATE) / _RATE, 12_000).repeat(2, axis=1)
    made = np.concatenate(
        [resampler.push(sound[at : at + 480], 1.0005) for at in range(0, len(sound), 480)]
    )
    expected = _tone(np.arange(len(made)) * 1.0005 / _RATE, 12_000)
    assert np.abs(made - expected)[100:].max() < 0.003


def test_what_the_lower_rate_cannot_hold_is_gone() -> None:
    resampler = Resampler(_RATE, 8_000, 1)
    made = resampler.push(_tone(np.arange(_RATE) / _RATE, 6_000))
    assert np.abs(made[50:-50]).max() < 0.01


class _Device:
    """A microphone that hears a tone, and somebody who reads it."""

    def __init__(
        self,
        *,
        rate: int = _RATE,
        drift: float = 0.0,
        chunk_s: float = 0.0107,
        tone_hz: float = _TONE_HZ,
    ) -> None:
        self.rate = rate
        self.tone_hz = tone_hz
        self._true_rate = rate * (1 + drift)
        self._chunk_s = chunk_s
        self._read = 0

    def read(self, now: float) -> NDArray[np.float32]:
        """What it has heard until its last chunk's end."""
        available = int((now // self._chunk_s) * self._chunk_s * self._true_rate)
        return self._samples(available)

    def lose(self, until: float) -> None:
        """Nobody hears what is before that time."""
        self._read = int(until * self._true_rate)

    def _samples(self, until: int) -> NDArray[np.float32]:
        numbers = np.arange(self._read, max(until, self._read))
        self._read = max(until, self._read)
        return _tone(numbers / self._true_rate, self.tone_hz)


class _Listening:
    """Reads a device every 5 ms or so, and keeps what comes out."""

    def __init__(self, device: _Device, steady: SteadySound, now: float = 1000.0) -> None:
        self.device, self.steady, self.now = device, steady, now
        device.lose(now)
        steady.connect(device.rate)
        self.blocks: list[NDArray[np.float32]] = []
        self._noise = random.Random(3)

    def run(self, seconds: float, *, reading: bool = True) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now += 0.003 + 0.004 * self._noise.random()
            if reading:
                self.blocks.append(self.steady.take(self.device.read(self.now), self.now))
            if self.steady.end is not None:
                self.blocks.append(self.steady.fill(self.now))

    @property
    def sound(self) -> NDArray[np.float32]:
        return np.concatenate(self.blocks)

    @property
    def late_s(self) -> float:
        """How much later than it was heard the sound is put, by the last second's phase."""
        assert self.steady.end is not None
        times = self.steady.end - np.arange(_RATE, 0, -1) / _RATE
        turn = 2 * np.pi * self.device.tone_hz
        spectrum = (self.sound[-_RATE:, 0] * np.exp(-1j * turn * times)).sum()
        assert abs(spectrum) > 0.45 * _RATE  # there is a tone at all
        return float(-(np.angle(spectrum) + np.pi / 2) / turn)


@pytest.mark.parametrize("drift", [0.0, 200e-6, -200e-6])
@pytest.mark.parametrize("rate", [48_000, 44_100])
def test_a_drifting_clock_is_followed_without_a_gap(drift: float, rate: int) -> None:
    listening = _Listening(_Device(rate=rate, drift=drift), SteadySound(_RATE, 1))
    listening.run(1)
    assert listening.steady.end is not None
    begin = listening.steady.end - len(listening.sound) / _RATE
    listening.run(20)
    assert listening.steady.end == pytest.approx(begin + len(listening.sound) / _RATE)
    assert listening.now - 0.06 < listening.steady.end < listening.now + 0.001
    steps = np.abs(np.diff(listening.sound[100:, 0]))
    assert steps.max() < 1.05 * 2 * np.pi * _TONE_HZ / _RATE  # no click anywhere
    length = listening.now - begin
    assert len(listening.sound) / _RATE == pytest.approx(length, abs=0.06)


@pytest.mark.parametrize("drift", [0.0, 200e-6, -200e-6])
@pytest.mark.parametrize("chunk_s", [0.002, 0.0107])
def test_the_sound_is_put_where_it_was_heard(drift: float, chunk_s: float) -> None:
    device = _Device(drift=drift, chunk_s=chunk_s, tone_hz=20)  # errors of up to 25 ms are seen
    listening = _Listening(device, SteadySound(_RATE, 1))
    listening.run(20)
    for _ in range(2):
        listening.run(10)  # such a clock is off by 4 ms until then, and by 8
        assert -0.0015 < listening.late_s < 0.004


def test_late_reads_lose_nothing() -> None:
    listening = _Listening(_Device(), SteadySound(_RATE, 1))
    listening.run(2)
    for _ in range(5):
        listening.now += 0.08  # the machine was busy
        listening.run(0.5)
    steps = np.abs(np.diff(listening.sound[100:, 0]))
    assert steps.max() < 1.05 * 2 * np.pi * _TONE_HZ / _RATE


@pytest.mark.parametrize("lost", [True, False])
def test_a_stall_becomes_silence_and_the_sound_returns_to_its_place(lost: bool) -> None:
    listening = _Listening(_Device(), SteadySound(_RATE, 1))
    listening.run(3)
    before = len(listening.sound)
    listening.run(0.5, reading=False)
    assert listening.steady.end is not None
    filled = listening.sound[before:]
    assert len(filled) / _RATE == pytest.approx(0.45, abs=0.06)
    assert not filled.any()
    if lost:
        listening.device.lose(listening.now)
    listening.run(5)
    assert listening.now - 0.06 < listening.steady.end < listening.now + 0.001
    last = listening.sound[-_RATE:, 0]
    assert np.abs(last).max() == pytest.approx(1, abs=0.01)
    silent = (np.abs(listening.sound[before:, 0]) < 1e-6).sum() / _RATE
    # What was only late is heard at once; that something was lost has to be noticed.
    assert silent < (1.4 if lost else 0.55)


def test_missing_samples_are_made_up_for() -> None:
    listening = _Listening(_Device(), SteadySound(_RATE, 1))
    listening.run(3)
    listening.device.lose(listening.now + 0.09)  # too short for a stall
    listening.run(5)
    assert listening.steady.end is not None
    assert listening.steady.end > listening.now - 0.06


def test_another_device_takes_over() -> None:
    steady = SteadySound(_RATE, 2)
    first = _Listening(_Device(), steady)
    first.run(2)
    second = _Listening(_Device(rate=44_100), steady, first.now)
    second.run(2)
    assert steady.end is not None
    assert second.now - 0.06 < steady.end < second.now + 0.001
    assert np.abs(second.sound[-4800:]).max() == pytest.approx(1, abs=0.01)
    assert second.sound.shape[1] == 2


def test_without_any_device_there_is_silence_and_after_a_sleep_no_rush() -> None:
    steady = SteadySound(_RATE, 1)
    assert len(steady.fill(50.0)) == 0
    made = sum(len(steady.fill(50 + step / 100)) for step in range(101))
    assert made / _RATE == pytest.approx(0.9, abs=0.01)
    assert len(steady.fill(3600.0)) == 0
    assert steady.end == pytest.approx(3599.9)


def test_many_channels_become_as_many_as_there_are() -> None:
    steady = SteadySound(_RATE, 1)
    steady.connect(_RATE)
    for step in range(100):
        sound = np.zeros((480, 4), np.float32)
        sound[:, 2] = 1
        made = steady.take(sound, step / 100)
    assert made.shape[1] == 1
    assert made.mean() == pytest.approx(0.25, abs=0.01)
