"""The sound's way from what arrived to the speaker: a thread that decodes it and plays it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

import numpy as np

from streamsocket.client.decode import Decoder
from streamsocket.desktop.backend import Speaker
from streamsocket.errors import StreamSocketError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec
from streamsocket.player.sound import SoundOutput

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame

    from streamsocket.desktop.backend import Samples

MAX_WAITING = 4096
"""Coded frames of sound that wait: many seconds of them, and little memory."""
_AHEAD_S = 0.5
"""So much is decoded before it is due; the rest waits as it came, which is smaller."""
_TURN_S = 0.004
_RETRY_S = 2.0
_CLOSE_S = 2.0
_LAYOUTS = {1: "mono", 2: "stereo"}


class SoundTrack:
    """Decodes a track in a thread of its own, and plays it.

    Without a sound device everything else goes on: what comes is thrown away, and the device is
    tried again every 2 s.
    """

    def __init__(
        self,
        codec: Codec,
        open_speaker: Callable[[], Speaker],
        *,
        clock: Callable[[], float],
        on_ready: Callable[[float, float], None],
        delay_s: Callable[[], float],
        volume: float = 1.0,
        muted: bool = False,
        offset_s: float = 0.0,
    ) -> None:
        """`clock` is steady, in seconds; `delay_s` says how long after its capture sound is due.

        `on_ready(capture_time, at)` is told when sound could be heard at the earliest. It,
        `delay_s` and `open_speaker`, which raises a StreamSocketError where there is no device,
        are called by the thread.
        """
        self.volume = volume
        """From 0 to 1.5. May be changed at any time, as the next two."""
        self.muted = muted
        self.offset_s = offset_s
        """By how much the sound is heard later than the picture is seen, in seconds."""
        self.error: str | None = None
        """Why nothing is heard, for the user; None while there is a sound device."""
        self.dropped = 0
        """Frames of sound that were left out because too many waited."""
        self._codec = codec
        self._open_speaker = open_speaker
        self._clock = clock
        self._on_ready = on_ready
        self._delay_s = delay_s
        self._decoder = SamplesDecoder(codec)
        # A condition would cost the thread twice as much as all of its waiting does with this.
        self._arrived: SimpleQueue[AccessUnit | None] = SimpleQueue()
        self._coded: deque[AccessUnit] = deque()  # what the schedule knows of
        self._closed = False
        self._output: SoundOutput | None = None
        self._output_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._thread.start()

    @property
    def output(self) -> SoundOutput | None:
        """How it is played, for the display; None without a sound device."""
        return self._output

    @property
    def errors(self) -> int:
        """Frames of sound that the decoder refused."""
        return self._decoder.errors

    def put(self, unit: AccessUnit) -> None:
        """Have a frame of sound played; never waits. For any thread."""
        self._arrived.put(unit)
        if self._arrived.qsize() + len(self._coded) > MAX_WAITING and self._next(0.0):
            self.dropped += 1

    def heard(self) -> float | None:
        """The capture time of the picture that belongs to what is heard now; None: nothing is.

        For any thread.
        """
        with self._output_lock:
            return self._output.heard(self._clock()) if self._output else None

    def close(self) -> None:
        """End the thread, and give the sound device back."""
        self._closed = True
        self._arrived.put(None)
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        speaker: Speaker | None = None
        retry_at = self._clock()
        while not self._closed:
            arrived = []
            unit = self._next(_TURN_S)
            while unit:
                arrived.append(unit)
                unit = self._next(0.0)
            if speaker is not None and speaker.lost:
                self.error = "The sound device is gone; it is tried again every 2 seconds."
                self._set_output(None)
                speaker.close()
                speaker = None
                retry_at = self._clock() + _RETRY_S
            if speaker is None and self._clock() >= retry_at:
                speaker = self._open()
                retry_at = self._clock() + _RETRY_S
            if self._output is not None:
                self._play(self._output, arrived)
        self._set_output(None)
        if speaker is not None:
            speaker.close()

    def _next(self, timeout_s: float) -> AccessUnit | None:
        try:
            return self._arrived.get(timeout=timeout_s) if timeout_s else self._arrived.get_nowait()
        except Empty:
            return None

    def _open(self) -> Speaker | None:
        try:
            speaker = self._open_speaker()
        except StreamSocketError as error:
            self.error = str(error)
            return None
        self.error = None
        self._coded.clear()
        self._decoder = SamplesDecoder(self._codec, speaker.rate, speaker.channels)
        self._set_output(SoundOutput(speaker, offset_s=self.offset_s))
        return speaker

    def _set_output(self, output: SoundOutput | None) -> None:
        with self._output_lock:
            self._output = output

    def _play(self, output: SoundOutput, arrived: list[AccessUnit]) -> None:
        for unit in arrived:
            if unit.damaged or unit.capture_time is None:
                continue
            self._on_ready(unit.capture_time, self._clock() + output.lead_s)
            self._coded.append(unit)
        delay_s = self._delay_s()
        # In turns, so that a burst of sound doesn't keep the speaker waiting.
        while True:
            with self._output_lock:
                output.volume, output.muted = self.volume, self.muted
                output.offset_s = self.offset_s
                output.feed(self._clock(), delay_s)
            if not self._coded or output.buffered_s > _AHEAD_S:
                break
            for samples, capture_time in self._decoder.decode(self._coded.popleft()):
                output.put(samples, capture_time)


class SamplesDecoder:
    """Decodes a track's sound to one rate and number of channels (1 or 2)."""

    def __init__(self, codec: Codec, rate: int = 48_000, channels: int = 2) -> None:
        import av

        self._decoder = Decoder(codec)
        self._clock_rate = codec.clock_rate
        self._make_resampler = av.AudioResampler
        self._rate = rate
        self._channels = channels
        self._form: tuple[str, str, int] | None = None
        self._resampler: Any = None

    @property
    def errors(self) -> int:
        """Frames that the decoder refused."""
        return self._decoder.errors

    def decode(self, unit: AccessUnit) -> list[tuple[Samples, float]]:
        """Return what is ready now, and when the first sample of each was captured."""
        assert unit.capture_time is not None
        ready: list[tuple[Samples, float]] = []
        for frame in self._decoder.decode(unit):
            ready += self._convert(frame, unit)  # type: ignore[arg-type]
        return ready

    def _convert(self, frame: AudioFrame, unit: AccessUnit) -> list[tuple[Samples, float]]:
        assert unit.capture_time is not None
        # One channel is doubled here: FFmpeg would make it 3 dB softer.
        channels = 1 if frame.layout.nb_channels == 1 else self._channels
        form = (frame.format.name, frame.layout.name, frame.sample_rate)
        if form != self._form:
            self._form = form
            self._resampler = self._make_resampler("flt", _LAYOUTS[channels], self._rate)
        ready = []
        for converted in self._resampler.resample(frame):
            if converted.pts is None:
                continue
            samples = converted.to_ndarray().reshape(-1, channels)
            if channels != self._channels:
                samples = np.repeat(samples, self._channels, axis=1)
            since_unit = converted.pts * converted.time_base - unit.timestamp / self._clock_rate
            ready.append((samples, unit.capture_time + float(since_unit)))
        return ready
