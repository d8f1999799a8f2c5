"""The speaker and the microphone."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from streamsocket.desktop.sdl import library
from streamsocket.errors import DeviceError

if TYPE_CHECKING:
    from streamsocket.desktop.backend import Samples

_RATE = 48_000
_BUFFER = 512
"""Samples the device takes at once. SDL itself converts where the device wants something else."""
_SAMPLE_SIZE = 4
_MOST_QUEUED_S = 5.0
"""To be played, at the most; players keep a small part of it."""
_MOST_HEARD_S = 1.0
"""From a microphone, at the most; older sound is of no use to anybody."""

_PULSE_LATENCY = "PULSE_LATENCY_MSEC"
_PULSE_LATENCY_MS = 20
"""What PulseAudio and PipeWire hold ready. SDL asks for one buffer, 11 ms, and a computer that has
something else to do makes holes in the sound, however much is queued."""
_BUFFERS = {b"coreaudio": 4}
_USUAL_BUFFERS = 2
"""How many buffers SDL has the other systems hold ready."""


class _Device:
    """A sound device that is open, in or out, and running."""

    def __init__(self, name: str | None, channels: int, *, recording: bool) -> None:
        self._sdl = sdl = library.load()
        self.rate = _RATE
        self.channels = channels
        self._frame_size = _SAMPLE_SIZE * channels
        kind = "microphone" if recording else "speaker"
        if why := library.start(sdl, sdl.SDL_INIT_AUDIO):
            raise DeviceError(f"No {kind} can be opened: {why}.")
        if why := _is_missing(sdl, kind, name, recording):
            library.stop(sdl, sdl.SDL_INIT_AUDIO)
            raise DeviceError(why)
        wanted = sdl.SDL_AudioSpec(_RATE, sdl.AUDIO_F32SYS, channels, _BUFFER)
        obtained = sdl.SDL_AudioSpec(0, 0, 0, 0)
        self._device = sdl.SDL_OpenAudioDevice(
            name.encode() if name else None, int(recording), wanted, obtained, 0
        )
        if not self._device:
            why = library.error(sdl)
            library.stop(sdl, sdl.SDL_INIT_AUDIO)
            raise DeviceError(f"The {kind} cannot be opened: {why}.")
        self._buffer_s = float(obtained.samples / obtained.freq)
        sdl.SDL_PauseAudioDevice(self._device, 0)

    @property
    def lost(self) -> bool:
        # SDL stops a device that fails. This needs no events, so no window and no main thread.
        status = self._sdl.SDL_GetAudioDeviceStatus(self._device)
        return bool(status == self._sdl.SDL_AUDIO_STOPPED)

    @property
    def queued_s(self) -> float:
        return self._queued / self.rate

    @property
    def _queued(self) -> int:
        """Samples in SDL's queue."""
        return int(self._sdl.SDL_GetQueuedAudioSize(self._device)) // self._frame_size

    def close(self) -> None:
        if self._device:
            self._sdl.SDL_CloseAudioDevice(self._device)
            self._device = 0
            library.stop(self._sdl, self._sdl.SDL_INIT_AUDIO)


class SdlSpeaker(_Device):
    """A `backend.Speaker`, by its name or the default one. Raises DeviceError if there is none."""

    def __init__(self, name: str | None = None, channels: int = 2) -> None:
        # Its library reads this when the device is opened; SDL has nothing to say it by.
        latency_ms = os.environ.setdefault(_PULSE_LATENCY, str(_PULSE_LATENCY_MS))
        super().__init__(name, channels, recording=False)
        driver = self._sdl.SDL_GetCurrentAudioDriver()
        if driver == b"pulseaudio" and latency_ms.isdecimal():
            self._latency_s = int(latency_ms) / 1000
        else:
            self._latency_s = _BUFFERS.get(driver, _USUAL_BUFFERS) * self._buffer_s
        self.dropped = 0
        """Samples that were thrown away because too much was queued."""

    @property
    def latency_s(self) -> float:
        """What the system's sound server, the wire and the loudspeaker add, nobody tells."""
        return self._latency_s

    def queue(self, samples: Samples) -> None:
        room = max(0, round(_MOST_QUEUED_S * self.rate) - self._queued)
        self.dropped += max(0, len(samples) - room)
        flat = samples[:room].astype("float32", order="C", copy=False)
        self._sdl.SDL_QueueAudio(self._device, flat.ctypes.data, flat.nbytes)

    def clear(self) -> None:
        self._sdl.SDL_ClearQueuedAudio(self._device)


class SdlMicrophone(_Device):
    """A `backend.Microphone`, by its name or the default one. Raises DeviceError if there is none.

    What nobody has read within a second is thrown away when the rest is.
    """

    def __init__(self, name: str | None = None, channels: int = 1) -> None:
        super().__init__(name, channels, recording=True)
        self.dropped = 0
        """Samples that were thrown away because they weren't read in time."""

    def read(self) -> Samples:
        # Here and not above: who asks for a list of devices does without numpy.
        import numpy as np

        samples = np.empty((self._queued, self.channels), np.float32)
        got = self._sdl.SDL_DequeueAudio(self._device, samples.ctypes.data, samples.nbytes)
        samples = samples[: got // self._frame_size]
        most = round(_MOST_HEARD_S * self.rate)
        self.dropped += max(0, len(samples) - most)
        return samples[-most:]


def _is_missing(sdl: Any, kind: str, name: str | None, recording: bool) -> str | None:
    """Why that device cannot be opened; None: it is there.

    SDL itself opens another one, or has the system's libraries complain on the terminal.
    """
    count = sdl.SDL_GetNumAudioDevices(int(recording))
    if count == 0:
        return f"There is no {kind} here."
    names = [sdl.SDL_GetAudioDeviceName(at, int(recording)) for at in range(count)]
    if name is None or count < 0 or name.encode() in names:  # below 0: it cannot tell
        return None
    found = ", ".join(f"'{each.decode(errors='replace')}'" for each in names if each)
    return f"There is no {kind} called '{name}': choose one of {found}."
