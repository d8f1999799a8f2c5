"""What the server and the recorder's process say to each other, without I/O.

Down, to the recorder: events and batches. Up: events.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from streamsocket.child_messages import MessageDecoder, event_message
from streamsocket.media.codec import Track
from streamsocket.media.track_json import track_from_json, track_to_json
from streamsocket.taps.packets import Packets, read_batch

_MAX_EVENT = 1 << 22


@dataclass(frozen=True, slots=True)
class Follow:
    """A stream is recorded from now on; or its publisher returned, or another came."""

    recording: int
    """The number by which the two processes call it."""
    stream: str
    rule: int
    tracks: tuple[Track, ...]
    origins: tuple[int, ...]
    """Each track's timestamp at one and the same moment, the stream's beginning."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The stream's publisher left; it may return."""

    recording: int


@dataclass(frozen=True, slots=True)
class Over:
    """The stream has ended."""

    recording: int


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """Up: a new file is due for longer than keyframes should take to come."""

    recording: int


@dataclass(frozen=True, slots=True)
class RecordingState:
    """How one recording is doing."""

    recording: int
    path: str | None
    """The file that is being written; None while there is none."""
    seconds: float
    bytes: int
    """Of that file."""
    message: str | None
    """What is wrong, a sentence."""


@dataclass(frozen=True, slots=True)
class Report:
    """Up: how all recordings are doing."""

    recordings: tuple[RecordingState, ...]


DownEvent = Follow | Lost | Over
UpEvent = KeyframeWanted | Report
Event = DownEvent | UpEvent


def encode_event(event: Event) -> bytes:
    """One message with an event."""
    match event:
        case Follow():
            fields: dict[str, Any] = {
                "recording": event.recording,
                "stream": event.stream,
                "rule": event.rule,
                "tracks": [track_to_json(track) for track in event.tracks],
                "origins": event.origins,
            }
        case _:
            fields = asdict(event)
    return event_message(type(event).__name__, fields)


class Decoder(MessageDecoder[Event, Packets]):
    """Cuts bytes into messages, however they arrive."""

    def __init__(self) -> None:
        super().__init__(_read_event, read_batch, max_event=_MAX_EVENT)


def _read_event(name: str, fields: dict[str, Any]) -> Event | None:
    match name:
        case "Follow":
            return Follow(
                int(fields["recording"]),
                str(fields["stream"]),
                int(fields["rule"]),
                tuple(track_from_json(track) for track in fields["tracks"]),
                tuple(int(origin) for origin in fields["origins"]),
            )
        case "Lost":
            return Lost(int(fields["recording"]))
        case "Over":
            return Over(int(fields["recording"]))
        case "KeyframeWanted":
            return KeyframeWanted(int(fields["recording"]))
        case "Report":
            return Report(tuple(_state(each) for each in fields["recordings"]))
    return None


def _state(fields: dict[str, Any]) -> RecordingState:
    path, message = fields["path"], fields["message"]
    return RecordingState(
        int(fields["recording"]),
        None if path is None else str(path),
        float(fields["seconds"]),
        int(fields["bytes"]),
        None if message is None else str(message),
    )
