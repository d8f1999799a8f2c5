"""What waits to be pushed to a server that is slow."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from streamsocket.media.codec import Kind

MAX_AGE_S = 2.0
"""What has waited longer is not sent any more."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message of media."""

    kind: Kind
    timestamp: int
    """Milliseconds."""
    body: bytes
    keyframe: bool = False
    """Decoding can begin here; of a configuration, too."""
    configuration: bool = False


class SendQueue:
    """Messages in order, bounded by age: past it, the picture goes on at the next keyframe."""

    def __init__(self) -> None:
        self.dropped = 0
        """How many pictures and frames of sound were left out."""
        self._waiting: deque[tuple[float, Outgoing]] = deque()
        self._needs_keyframe = False

    def put(self, message: Outgoing, now: float) -> None:
        """Queue a message; `now` is of a steady clock."""
        if self._waiting and now - self._waiting[0][0] > MAX_AGE_S:
            self._drop(now)
        if message.kind == "video" and not message.configuration:
            if self._needs_keyframe and not message.keyframe:
                self.dropped += 1
                return
            self._needs_keyframe = False
        self._waiting.append((now, message))

    def take(self) -> Outgoing | None:
        """The next message to be sent."""
        return self._waiting.popleft()[1] if self._waiting else None

    def _drop(self, now: float) -> None:
        kept: dict[Kind, tuple[float, Outgoing]] = {}
        for _, message in self._waiting:
            if message.configuration:
                kept[message.kind] = (now, message)
            else:
                self.dropped += 1
                self._needs_keyframe |= message.kind == "video"
        self._waiting = deque(kept.values())
