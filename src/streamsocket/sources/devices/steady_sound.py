"""Sound without gaps from a device that has a clock of its own, stalls, and goes away."""

from __future__ import annotations

import numpy as np

from streamsocket.sources.devices.clocks import LeastDelay
from streamsocket.sources.devices.resampler import Resampler, Samples

# So long a device is listened to before it is believed when its samples were heard.
_CALIBRATION_S = 0.3

# A device that brings nothing for so long is replaced by silence.
_STALL_S = 0.1

# Crystals are off by up to 0.02%. Nobody hears a tenth of a percent.
_MOST_CORRECTION = 0.001
_CORRECTION_TIME_S = 5.0

# More than this is no drift: samples are missing, or what was thought to be missing has come.
_MOST_DRIFT_S = 0.04

# Nobody was there to hear it: the machine slept.
_LONGEST_SILENCE_S = 5.0


class SteadySound:
    """One stretch of samples that follows the monotonic clock.

    Samples are counted, and the least delayed of the reads say when they were heard. What the
    device's clock is off by is made up for by playing a little faster or slower, at most 0.1%; a
    hole becomes silence. Times are of `time.monotonic()` and arguments.
    """

    def __init__(self, rate: int, channels: int) -> None:
        """What comes out: samples a second and channels, 1 or 2."""
        self.rate = rate
        self.channels = channels
        self._begin: float | None = None
        self._made = 0
        self._device_rate = rate
        self._resampler = Resampler(rate, rate, channels)
        self._heard = 0
        self._delay = LeastDelay()
        self._listening_since: float | None = None
        self._offset = 0.0

    @property
    def end(self) -> float | None:
        """When the last sample that came out ends; None before there is any."""
        return None if self._begin is None else self._begin + self._made / self.rate

    def connect(self, device_rate: int) -> None:
        """Samples of a device (another, or again) come from now on, so many a second."""
        self._device_rate = device_rate
        self._resampler = Resampler(device_rate, self.rate, self.channels)
        self._heard = 0
        self._delay.clear()
        self._listening_since = None

    def take(self, samples: Samples, now: float) -> Samples:
        """Take what the device has heard up to `now`; return what comes out."""
        if not len(samples):
            return self._nothing()
        samples = _with_channels(samples, self.channels)
        self._heard += len(samples)
        self._offset = self._delay.add(now - self._heard / self._device_rate, now)
        if self._listening_since is None:
            self._listening_since = now
        if now - self._listening_since < _CALIBRATION_S:
            return self._nothing()
        ahead = self._ahead(len(samples))
        if ahead < -_MOST_DRIFT_S:
            # Silence stands in its place already.
            dropped = min(len(samples), round(-ahead * self._device_rate))
            samples = samples[dropped:]
            ahead = self._ahead(len(samples))
        filling = self._nothing()
        if ahead > _MOST_DRIFT_S:
            filling = self._silence(ahead)
            ahead = 0.0
        speed = 1 - max(-_MOST_CORRECTION, min(ahead / _CORRECTION_TIME_S, _MOST_CORRECTION))
        made = self._resampler.push(samples, speed)
        self._made += len(made)
        return np.concatenate((filling, made)) if len(filling) else made

    def fill(self, now: float) -> Samples:
        """Silence, if nothing has come for so long that it has to be; call it now and then."""
        if self._begin is None:
            self._begin = now
        missing = now - _STALL_S - (self._begin + self._made / self.rate)
        return self._silence(missing) if missing > 0 else self._nothing()

    def _ahead(self, count: int) -> float:
        """How much later the next sample was heard than it would be put, seconds.

        `count` samples, the last ones heard, have yet to go into the resampler.
        """
        position = self._heard - count - self._resampler.held_back
        heard_at = self._offset + position / self._device_rate
        if self._begin is None:
            self._begin = heard_at
        return heard_at - self._begin - self._made / self.rate

    def _silence(self, seconds: float) -> Samples:
        assert self._begin is not None
        if seconds > _LONGEST_SILENCE_S:
            self._begin += seconds
            return self._nothing()
        silence = np.zeros((round(seconds * self.rate), self.channels), np.float32)
        self._made += len(silence)
        return silence

    def _nothing(self) -> Samples:
        return np.zeros((0, self.channels), np.float32)


def _with_channels(samples: Samples, channels: int) -> Samples:
    """The same sound in one channel or two; of more than two, their mean."""
    if samples.shape[1] == channels:
        return samples
    mean = samples.mean(axis=1, keepdims=True, dtype=np.float32)
    return mean if channels == 1 else np.repeat(mean, channels, axis=1)
