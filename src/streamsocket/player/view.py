"""One stream in a window: which picture is shown when, and how that goes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamsocket.desktop.backend import Slot, Window
from streamsocket.player.picture_track import Picture, PictureTrack
from streamsocket.player.reception import Reception

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

DAMAGE_PATIENCE_S = 1.0
"""The last good picture stands for so long; after that damaged ones are shown, and said to be."""
_REQUEST_EVERY_S = 0.5
_TO_SCREEN_S = 0.008
"""So long before it is due a picture is shown: half of what a screen takes from one picture to the
next, or what drawing without a graphics card takes."""
_SMOOTHING = 0.1


@dataclass(slots=True)
class Showing:
    """How what is seen compares with what was captured."""

    shown: int = 0
    late: int = 0
    """Pictures that were not shown because a newer one was due as well."""
    damaged: int = 0
    """Pictures that lacked something."""
    latency_s: float | None = None
    """From capture to the screen, smoothed."""
    sync_s: float | None = None
    """How much later the sound is heard than its picture is seen, smoothed."""


class View:
    """Shows a reception's pictures in a slot of the window, when they are due."""

    def __init__(
        self, window: Window, slot: Slot, reception: Reception, clock: Callable[[], float]
    ) -> None:
        self.showing = Showing()
        self.frame: VideoFrame | None = None
        """The picture that is shown."""
        self.captured: float | None = None
        """When it was captured, seconds since the epoch."""
        self.pixel_aspect = 1.0
        self.damaged = False
        """Pictures are held back, or shown though they are damaged."""
        self.reception = reception
        self._window = window
        self._slot: Slot = slot
        self._clock = clock
        self._pictures: PictureTrack | None = None
        self._intact_at = 0.0
        self._requested_at = 0.0
        self._fresh: Picture | None = None
        self._first = True

    @property
    def joining(self) -> bool:
        """The stream is live, and its first picture is still to come: another one may be shown."""
        return self.reception.state.kind == "live" and self._first

    @property
    def kind_missing(self) -> bool:
        """The stream is live and has no picture."""
        return self.reception.state.kind == "live" and self.reception.pictures is None

    def update(self, *, paused: bool = False) -> bool:
        """Choose the picture of this moment; whether it is another one than before."""
        pictures = self.reception.pictures
        if pictures is not self._pictures:
            self._pictures = pictures
            self._intact_at = self._clock()
            self._first = True
        if pictures is None or paused:
            return False
        now = self._clock()
        picture = None
        if self._first:
            picture = pictures.take_first()  # a picture at once, whenever it is due
            self._first = picture is None
        picture = picture or pictures.take(self._position(now) + _TO_SCREEN_S)
        if picture is None or not self._is_fit(picture, now):
            return False
        self._fresh = picture
        self.frame, self.captured = picture.frame, picture.capture_time
        self.pixel_aspect = picture.pixel_aspect
        self._window.set_picture(self._slot, picture.frame, picture.pixel_aspect)
        return True

    def presented(self) -> None:
        """Note that the picture has reached the screen."""
        picture, self._fresh = self._fresh, None
        if picture is None:
            return
        now = self._clock()
        showing = self.showing
        showing.shown += 1
        if self._pictures:
            showing.late = self._pictures.dropped
        showing.latency_s = _smoothed(showing.latency_s, now - picture.capture_time)
        sound = self.reception.sound
        heard = sound.heard() if sound else None
        if heard is not None:
            showing.sync_s = _smoothed(showing.sync_s, picture.capture_time - heard)

    def next_due_s(self) -> float | None:
        """In how many seconds the next picture is due; None if none waits."""
        captured = self._pictures.next_capture_time() if self._pictures else None
        return None if captured is None else captured - _TO_SCREEN_S - self._position(self._clock())

    def _position(self, now: float) -> float:
        """The capture time of what is to be seen now: the sound is the master clock."""
        sound = self.reception.sound
        heard = sound.heard() if sound else None
        if heard is not None:
            return heard
        schedule = self.reception.schedule
        return now - schedule.delay_s(now) if schedule.is_known else now

    def _is_fit(self, picture: Picture, now: float) -> bool:
        """Whether it may be shown: what is damaged waits for a whole one, and asks for it."""
        if picture.intact:
            self.damaged = False
            self._intact_at = now
            return True
        self.damaged = True
        self.showing.damaged += 1
        if now - self._requested_at >= _REQUEST_EVERY_S:
            self._requested_at = now
            self.reception.request_keyframe()
        return now - self._intact_at > DAMAGE_PATIENCE_S


def _smoothed(before: float | None, value: float) -> float:
    return value if before is None else before + _SMOOTHING * (value - before)
