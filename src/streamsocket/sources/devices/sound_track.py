"""The sound of a capture: without gaps, muted or not, encoded in short frames."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np
from av.audio.frame import AudioFrame

from streamsocket.codecs.encode import make_audio_encoder
from streamsocket.media.codec import Track
from streamsocket.sources.devices.listener import Listener
from streamsocket.sources.devices.microphone import MicrophoneOpener
from streamsocket.sources.devices.resampler import Samples
from streamsocket.sources.devices.steady_sound import SteadySound
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.link import TrackBatch
from streamsocket.sources.packing import Packer

# A frame's place is where the one before ends, unless the machine slept in between.
_MOST_ROUNDING_S = 0.01


class SoundTrack:
    """Takes what a microphone hears and encodes it; sends silence while there is nothing."""

    def __init__(
        self,
        name: str,
        opener: MicrophoneOpener,
        encoding: Encoding,
        on_news: Callable[[], None],
    ) -> None:
        self._encoding = encoding
        self.listener = Listener(name, opener, on_news)
        self.muted = False

    @property
    def settled(self) -> bool:
        """Whether it is known how the sound is, or that there is none at the moment."""
        return bool(self.listener.channels or self.listener.trouble)

    def begin(self, index: int, origin: float) -> Track:
        """Open the encoder for the track of that index, once it is settled.

        `origin` is the time of `time.monotonic()` that samples' times count from.
        """
        self._encoder = make_audio_encoder(
            self._encoding.audio_codec or "opus",
            min(self.listener.channels or 1, 2),
            bit_rate=self._encoding.audio_bitrate_bps,
            in_a_hurry=True,
        )
        channels = 1 if self._encoder.layout == "mono" else 2
        self._steady = SteadySound(self._encoder.sample_rate, channels)
        self._packer = Packer(self._encoder.codec)
        self._rest: Samples = np.zeros((0, channels), np.float32)
        self._next: int | None = None
        self._device = 0
        self._index = index
        self._origin = origin
        return Track(self._encoder.codec)

    def due(self, now: float) -> list[TrackBatch]:
        """What there is to be sent now, with capture times that count from the origin."""
        batches = []
        for heard in self.listener.take():
            if heard.device != self._device:
                self._device = heard.device
                self._steady.connect(heard.rate)
            batches += self._encoded(self._steady.take(heard.samples, heard.at))
        if self.listener.trouble or self._steady.end is not None:
            batches += self._encoded(self._steady.fill(now))
        return batches

    def _encoded(self, samples: Samples) -> list[TrackBatch]:
        if not len(samples):
            return []
        rate, size = self._encoder.sample_rate, self._encoder.frame_size
        if self.muted:
            samples = np.zeros_like(samples)
        self._rest = np.concatenate((self._rest, samples))
        assert self._steady.end is not None
        begin = round((self._steady.end - self._origin) * rate) - len(self._rest)
        if self._next is None or abs(begin - self._next) > _MOST_ROUNDING_S * rate:
            self._next = begin
        batches = []
        while len(self._rest) >= size:
            planes = np.ascontiguousarray(self._rest[:size].T)
            self._rest = self._rest[size:]
            frame = AudioFrame.from_ndarray(planes, "fltp", self._encoder.layout)
            frame.sample_rate = rate
            frame.pts = self._next
            frame.time_base = Fraction(1, rate)
            self._next += size
            made = (self._packer.pack(coded, coded.pts) for coded in self._encoder.encode(frame))
            batches += [TrackBatch(self._index, batch) for batch in made if batch]
        return batches
