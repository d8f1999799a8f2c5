"""Sound as users have it, as encoders take it: checked, resampled, without gaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr  # type: ignore[import-untyped]

from streamsocket.errors import ArgumentError

Samples = npt.NDArray[np.float32]

CODECS = ("opus", "aac", "pcmu", "pcma", "l16")

LONGEST_BLOCK_S = 10.0
"""What is written at once has to be shorter."""

_LONGEST_SILENCE_S = 10.0
_TOLERANCE_S = 0.1
_TOLERANCE_TOLD_S = 0.04
_SILENT_AFTER_S = 0.5
_BLOCKS_KEPT_BACK = 3

_RATES = range(8_000, 192_001)
_DEFAULTS: Mapping[str, Any] = {"rate": 48_000, "channels": 2, "codec": "opus", "bitrate": None}


@dataclass(frozen=True, slots=True)
class AudioOptions:
    """What sound will be written, and what it is coded as; checked."""

    rate: int = 48_000
    """Samples a second, of each channel."""
    channels: int = 2
    codec: str = "opus"
    bit_rate: int | None = None


def audio_options(given: Mapping[str, object] | bool | None) -> AudioOptions | None:
    """What a user declared; None for no sound. Raises ArgumentError for what cannot be meant."""
    if given is None or given is False:
        return None
    if given is True:
        given = {}
    if not isinstance(given, Mapping):
        raise ArgumentError(
            "audio: give what will be written, such as {'rate': 48000, 'channels': 2}, not "
            f"{given!r}."
        )
    if unknown := [str(name) for name in given if name not in _DEFAULTS]:
        raise ArgumentError(f"audio: '{unknown[0]}' is none of {', '.join(_DEFAULTS)}.")
    values = {**_DEFAULTS, **given}
    rate, channels, codec, bitrate = (values[name] for name in _DEFAULTS)
    if not isinstance(rate, int) or rate not in _RATES:
        raise ArgumentError(f"audio: a rate of {rate} is not between 8000 and 192000 Hz.")
    if channels not in (1, 2):
        raise ArgumentError(f"audio: channels are 1 or 2, not {channels}.")
    if codec not in CODECS:
        raise ArgumentError(f"audio: the codec '{codec}' is none of {', '.join(CODECS)}.")
    if bitrate is not None and not 6_000 <= bitrate <= 510_000:
        raise ArgumentError(f"audio: a bitrate of {bitrate} is not between 6,000 and 510,000.")
    return AudioOptions(rate, channels, codec, None if bitrate is None else round(bitrate))


def take_in_sound(samples: object, options: AudioOptions) -> Samples:
    """A copy of a block of sound as (samples, channels) float32 between −1 and 1.

    float32 or int16, (samples,) for one channel or (samples, channels); one channel goes to both
    of two. Raises ArgumentError for anything else.
    """
    if not isinstance(samples, np.ndarray):
        raise ArgumentError(f"samples: a {type(samples).__name__} is no array of numpy.")
    if samples.ndim == 1:
        samples = samples[:, np.newaxis]
    if samples.ndim != 2 or samples.shape[1] not in (1, options.channels):
        raise ArgumentError(
            f"samples: an array of shape {samples.shape}, not (samples,) or "
            f"(samples, {options.channels})."
        )
    if len(samples) > LONGEST_BLOCK_S * options.rate:
        raise ArgumentError(
            f"samples: {len(samples) / options.rate:.0f} s of sound at once; write at most "
            f"{LONGEST_BLOCK_S:.0f} s, when it is time for them."
        )
    if samples.dtype == np.int16:
        block = samples.astype(np.float32) / np.float32(32_768)
    elif samples.dtype == np.float32:
        if not np.isfinite(samples).all():
            raise ArgumentError("samples: some are not finite.")
        block = np.clip(samples, -1.0, 1.0)
    else:
        raise ArgumentError(f"samples: an array of {samples.dtype}, not of float32 or int16.")
    if block.shape[1] != options.channels:
        block = np.repeat(block, options.channels, axis=1)
    return np.ascontiguousarray(block)


class SoundIn:
    """Makes frames of equal size, one after the other without a gap, of blocks of any size.

    Places are seconds of the publisher's time line. What is missing is filled with silence, what
    overlaps is cut off; small differences are the jitter of whoever writes.
    """

    def __init__(self, options: AudioOptions, sample_rate: int, channels: int, size: int) -> None:
        """The encoder's `sample_rate` and `channels`, and the `size` of its frames in samples."""
        self.dropped = 0
        """Samples that came too early for what is still to be played before them, and were cut."""
        self._rate = options.rate
        self._channels = channels
        self._out_rate = sample_rate
        self._size = size
        self._begun_at: float | None = None
        self._taken = 0
        self._block_s = 0.0

    def add(self, block: Samples, place: float, *, told: bool) -> list[tuple[Samples, int]]:
        """Take a block that begins at that place, which was `told` by the user or is a guess.

        Returns the frames that are full, (channels, size) each, with the number of their first
        sample, counted from the time line's beginning.
        """
        self._block_s = len(block) / self._rate
        if self._begun_at is None:
            self._begin(place)
        off = place - self._expected
        tolerance = _TOLERANCE_TOLD_S if told else max(_TOLERANCE_S, 1.5 * self._block_s)
        if off > _LONGEST_SILENCE_S:
            self._begin(place)
        elif off > tolerance:
            return self._silence(off) + self._push(block)
        elif off < -tolerance:
            cut = min(len(block), round(-off * self._rate))
            self.dropped += cut
            block = block[cut:]
        return self._push(block)

    def fill(self, place: float) -> list[tuple[Samples, int]]:
        """Silence for what nobody has written, if by now it is too late for that."""
        late_s = max(_SILENT_AFTER_S, _BLOCKS_KEPT_BACK * self._block_s)
        until = place - late_s / 2
        if self._begun_at is None or until - self._expected > _LONGEST_SILENCE_S:
            self._begin(until)
        if self._expected > place - late_s:
            return []
        return self._silence(until - self._expected)

    @property
    def _expected(self) -> float:
        """Where the next sample belongs."""
        assert self._begun_at is not None
        return self._begun_at + self._taken / self._rate

    def _begin(self, place: float) -> None:
        self._begun_at = place
        self._taken = 0
        self._next = round(place * self._out_rate)
        self._rest = np.empty((0, self._channels), np.float32)
        self._resampler = (
            None
            if self._rate == self._out_rate
            else soxr.ResampleStream(self._rate, self._out_rate, self._channels, "float32")
        )

    def _silence(self, seconds: float) -> list[tuple[Samples, int]]:
        return self._push(np.zeros((round(seconds * self._rate), self._channels), np.float32))

    def _push(self, block: Samples) -> list[tuple[Samples, int]]:
        self._taken += len(block)
        if block.shape[1] != self._channels:
            # Telephone codecs have one channel.
            block = np.ascontiguousarray(block.mean(axis=1, dtype=np.float32, keepdims=True))
        if self._resampler:
            block = self._resampler.resample_chunk(block).reshape(-1, self._channels)
        samples = np.concatenate((self._rest, block))
        whole = len(samples) // self._size
        frames = []
        for number in range(whole):
            piece = samples[number * self._size : (number + 1) * self._size]
            frames.append((np.ascontiguousarray(piece.T), self._next))
            self._next += self._size
        self._rest = samples[whole * self._size :]
        return frames
