"""The picture's way from what arrived to what is shown: decoded beside, taken when it is due."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from streamsocket.client.decode import Decoder
from streamsocket.client.receiver import Received
from streamsocket.media.codec import Codec

if TYPE_CHECKING:
    from av.video.frame import VideoFrame

MAX_WAITING = 256
"""Coded pictures that wait for the decoder: a join's burst fits, a slow machine is found out."""
MAX_DECODED = 12
"""Decoded pictures that wait for their time; the others wait as they came, which is smaller."""
_CLOSE_S = 2.0


@dataclass(slots=True)
class Picture:
    """A picture that waits to be shown."""

    frame: VideoFrame
    capture_time: float
    """Seconds since the epoch."""
    intact: bool
    """Nothing that it is made of was lost."""
    pixel_aspect: float = 1.0
    """A pixel's width by its height."""


class PictureTrack:
    """Decodes a track in a thread of its own.

    Where the machine is too slow it goes on with the next keyframe; nothing here ever waits for
    the window, except the decoder for room.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        clock: Callable[[], float],
        on_ready: Callable[[float, float], None],
        on_picture: Callable[[], None],
    ) -> None:
        """`on_ready(capture_time, now)` and `on_picture` are called by the decoding thread."""
        self.dropped = 0
        """Pictures that came too late, or that there was no time to decode."""
        self.decoded = 0
        self._decoder = Decoder(codec)
        self._clock = clock
        self._on_ready = on_ready
        self._on_picture = on_picture
        self._coded: deque[Received] = deque()
        self._broken = False  # something was left out: go on with a keyframe
        self._pictures: deque[Picture] = deque()
        self._origins: OrderedDict[int, tuple[float, bool]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="decode video", daemon=True)
        self._thread.start()

    @property
    def errors(self) -> int:
        """Coded pictures that the decoder refused."""
        return self._decoder.errors

    def put(self, received: Received) -> None:
        """Have a picture decoded; never waits. For any thread."""
        with self._changed:
            if self._broken and not received.unit.keyframe:
                self.dropped += 1
                return
            self._broken = False
            self._coded.append(received)
            if len(self._coded) > MAX_WAITING:
                self.dropped += len(self._coded)
                self._coded.clear()
                self._broken = True
            self._changed.notify_all()

    def take(self, position: float) -> Picture | None:
        """The newest picture that was captured by `position`; those before it are too late."""
        with self._changed:
            due = None
            while self._pictures and self._pictures[0].capture_time <= position:
                if due is not None:
                    self.dropped += 1
                due = self._pictures.popleft()
            if due is not None:
                self._changed.notify_all()
            return due

    def take_first(self) -> Picture | None:
        """The next picture, due or not."""
        with self._changed:
            if not self._pictures:
                return None
            self._changed.notify_all()
            return self._pictures.popleft()

    def next_capture_time(self) -> float | None:
        """When what is shown next was captured; None if nothing waits."""
        with self._changed:
            return self._pictures[0].capture_time if self._pictures else None

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(_CLOSE_S)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._coded or len(self._pictures) >= MAX_DECODED):
                    self._changed.wait()
                if self._closed:
                    return
                received = self._coded.popleft()
            self._decode(received)

    def _decode(self, received: Received) -> None:
        unit = received.unit
        if unit.capture_time is not None:
            self._origins[unit.timestamp] = unit.capture_time, received.intact
            while len(self._origins) > MAX_WAITING:
                self._origins.popitem(last=False)
        for frame in self._decoder.decode(unit):
            origin = self._origins.pop(frame.pts, None) if frame.pts is not None else None
            if origin is None:
                continue
            capture_time, intact = origin
            self.decoded += 1
            self._on_ready(capture_time, self._clock())
            intact = intact and not frame.is_corrupt
            picture = Picture(frame, capture_time, intact, self._decoder.pixel_aspect)  # type: ignore[arg-type]
            with self._changed:
                self._pictures.append(picture)
            self._on_picture()
