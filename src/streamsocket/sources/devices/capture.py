"""The `camera`, `screen` and `mic` sources: devices, live."""

from __future__ import annotations

import time
from contextlib import closing
from functools import partial

from streamsocket.media.codec import Track
from streamsocket.sources.devices.camera import open_camera, open_virtual
from streamsocket.sources.devices.errors import DeviceAwayError
from streamsocket.sources.devices.microphone import open_microphone
from streamsocket.sources.devices.picture_device import Opener, Wish
from streamsocket.sources.devices.picture_track import DEFAULT_RATE, PictureTrack
from streamsocket.sources.devices.screen import open_screen
from streamsocket.sources.devices.sound_track import SoundTrack
from streamsocket.sources.devices.spec import CaptureSpec
from streamsocket.sources.link import Live, Note, TrackBatch, Tracks, Waiting
from streamsocket.sources.outlet import Outlet
from streamsocket.sources.timeline import START_S
from streamsocket.sources.waker import Waker

_CAMERA_SIZE = (1280, 720)
_LARGEST_SCREEN = (1920, 1080)

# Stalls, silence and dark pictures are looked after so often, if nothing else happens.
_LOOK_AROUND_S = 0.02

# The wall clock is off by so much only once it was set, or the machine has slept.
_CLOCK_STEP_S = 0.1


def run_capture(spec: CaptureSpec, outlet: Outlet) -> None:
    """Stream the devices for ever, that is until `StoppedError`.

    Raises `SourceError` where they will never be had.
    """
    with closing(Waker()) as waker, closing(_Capture(spec, outlet, waker)) as capture:
        capture.run()


class _Capture:
    def __init__(self, spec: CaptureSpec, outlet: Outlet, waker: Waker) -> None:
        self._outlet = outlet
        self._waker = waker
        self._told = ""
        self._shift = time.time() - time.monotonic()
        # What was said before it began: a camera that is hidden from the start is never opened.
        outlet.wait_until(time.monotonic())
        self._picture: PictureTrack | None = None
        self._sound: SoundTrack | None = None
        if spec.picture:
            opener, wish = _pictures(spec)
            self._picture = PictureTrack(
                opener, wish, spec.encoding, waker.wake, hidden=outlet.hidden
            )
        if spec.sound:
            microphone = partial(open_microphone, spec.sound.which)
            self._sound = SoundTrack(spec.sound.text, microphone, spec.encoding, waker.wake)

    def close(self) -> None:
        if self._picture:
            self._picture.grabber.close()
        if self._sound:
            self._sound.listener.close()

    def run(self) -> None:
        self._wait()
        # One origin for both: the sound stays with the picture.
        origin = time.monotonic() - float(START_S)
        self._begin(origin)
        while True:
            now = time.monotonic()
            batches = self._due(now)
            if batches:
                since_epoch = origin + self._wall_clock_shift()
                for _, batch in batches:
                    batch.capture_time += since_epoch
                self._outlet.batches(batches)
            self._tell_troubles()
            self._outlet.wait_for(self._waker, now + _LOOK_AROUND_S)

    def _wall_clock_shift(self) -> float:
        """From the monotonic clock to the wall clock: the same, unless one of them was set."""
        shift = time.time() - time.monotonic()
        if abs(shift - self._shift) > _CLOCK_STEP_S:
            self._shift = shift
        return self._shift

    def _wait(self) -> None:
        """Wait for the devices, of two for one of them."""
        while True:
            tracks = [track for track in (self._picture, self._sound) if track]
            if all(track.settled for track in tracks):
                if len(self._troubles()) < len(tracks):
                    return
                self._tell_troubles()
            self._mind_commands()
            self._outlet.wait_for(self._waker, time.monotonic() + _LOOK_AROUND_S)

    def _begin(self, origin: float) -> None:
        tracks: list[Track] = []
        if self._picture:
            tracks.append(self._picture.begin(len(tracks), origin))
        if self._sound:
            tracks.append(self._sound.begin(len(tracks), origin))
        self._outlet.event(Tracks(tuple(tracks), makes_keyframes=self._picture is not None))
        device = self._picture and self._picture.grabber.device
        if device and device.note:
            self._outlet.event(Note(device.note))
        self._told = ""

    def _due(self, now: float) -> list[TrackBatch]:
        self._mind_commands()
        # Sound first: a picture takes a while to be encoded.
        batches = self._sound.due(now) if self._sound else []
        if self._picture:
            batches += self._picture.due(now, self._outlet.keyframe_wanted())
        return batches

    def _mind_commands(self) -> None:
        if self._sound:
            self._sound.muted = self._outlet.muted
        if self._picture:
            self._picture.hide(self._outlet.hidden)

    def _troubles(self) -> list[str]:
        """What keeps devices away, in sentences. Raises what will do so for ever."""
        holders = [
            self._picture.grabber if self._picture and not self._picture.hidden else None,
            self._sound.listener if self._sound else None,
        ]
        errors = [error for holder in holders if holder and (error := holder.trouble)]
        for error in errors:
            if not isinstance(error, DeviceAwayError):
                raise error
        return [str(error) for error in errors]

    def _tell_troubles(self) -> None:
        """Say what is missing, or that nothing is any more."""
        troubles = self._troubles()
        text = " ".join(troubles)
        if text == self._told:
            return
        self._told = text
        nothing_left = len(troubles) == len([each for each in (self._picture, self._sound) if each])
        self._outlet.event(Waiting(text) if nothing_left else Live(text or None))


def _pictures(spec: CaptureSpec) -> tuple[Opener, Wish]:
    assert spec.picture
    size = _LARGEST_SCREEN if spec.picture.kind == "screen" else _CAMERA_SIZE
    wish = Wish(spec.encoding.size or size, spec.encoding.fps or DEFAULT_RATE)
    return partial(_OPENERS[spec.picture.kind], spec.picture.which), wish


_OPENERS = {"camera": open_camera, "screen": open_screen, "lavfi": open_virtual}
