"""When what a source holds leaves: a picture when it is due, sound with the nearest picture."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamsocket.media.codec import Kind
from streamsocket.rtp.batch import Batch

# Sound waits for a picture, or goes ahead with one, by no more than this. In return it shares
# the picture's way through the hub: one wakeup, one send a viewer.
_NEAR_S = 0.020

# Frames of sound shorter than this are gathered until it has passed.
_SHORT_S = 0.010


@dataclass(slots=True)
class Unit:
    """A picture or a frame of sound, ready to be sent."""

    kind: Kind
    track: int
    due_s: float
    """When it leaves, by itself, in seconds of the source's time line."""
    batch: Batch
    """Its `capture_time` is still a time of the source's time line."""
    duration_s: float
    position_s: float = 0.0
    """Where in the file it comes from."""
    loops: int = 0
    """How many times the file had begun again."""


class Schedule:
    """Pictures and sound of one source, each in order, and which of them leave together.

    Not thread-safe by itself; holds what it is given until it is popped, the caller bounds that.
    """

    def __init__(self) -> None:
        self._video: deque[Unit] = deque()
        self._audio: deque[Unit] = deque()
        self.bytes = 0

    def push(self, unit: Unit) -> None:
        """Add a unit; each kind comes in order."""
        (self._video if unit.kind == "video" else self._audio).append(unit)
        self.bytes += len(unit.batch.buffer)

    def span_s(self, kind: Kind) -> float:
        """How many seconds of that kind there are."""
        queue = self._video if kind == "video" else self._audio
        return queue[-1].due_s - queue[0].due_s if queue else 0.0

    def units(self, kind: Kind) -> list[Unit]:
        """What there is of that kind."""
        return list(self._video if kind == "video" else self._audio)

    def pop(self) -> tuple[float, list[Unit]] | None:
        """The units that leave next and when, in seconds of the source's time line.

        A frame of sound goes with the picture that is nearest to the time it is due, where that
        is within 20 ms; it never goes before its first sample was due. None when all is empty.
        """
        video_s = self._video[0].due_s if self._video else None
        if self._audio:
            first_s = self._audio[0].due_s
            if video_s is None or first_s < video_s - _NEAR_S:
                if self._audio[0].duration_s < _SHORT_S:
                    first_s += _SHORT_S
                return first_s, self._take_audio(first_s)
        if video_s is None:
            return None
        group = self._take_video(video_s)
        until_s = video_s + _NEAR_S
        if self._video:
            until_s = min(until_s, (video_s + self._video[0].due_s) / 2)
        return video_s, self._take_audio(until_s, leaves_s=video_s) + group

    def _take_video(self, due_s: float) -> list[Unit]:
        taken = []
        while self._video and self._video[0].due_s <= due_s:
            taken.append(self._video.popleft())
        self.bytes -= sum(len(unit.batch.buffer) for unit in taken)
        return taken

    def _take_audio(self, until_s: float, leaves_s: float | None = None) -> list[Unit]:
        taken = []
        while self._audio and self._audio[0].due_s <= until_s:
            unit = self._audio[0]
            if leaves_s is not None and unit.due_s - unit.duration_s > leaves_s:
                break  # its first sample is not due yet
            taken.append(self._audio.popleft())
        self.bytes -= sum(len(unit.batch.buffer) for unit in taken)
        return taken
