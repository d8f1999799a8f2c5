"""What the server and a transcoder's process say to each other, without I/O.

Down, to the transcoder: events, and the batches of the track. Up: events, and batches of what was
made. Timestamps count from the stream's beginning, in ticks of each track's own clock.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from streamsocket.child_messages import MessageDecoder, event_message
from streamsocket.matching.target import Target
from streamsocket.media.codec import Track
from streamsocket.media.track_json import track_from_json, track_to_json
from streamsocket.taps.packets import Packets, read_batch

_MAX_EVENT = 1 << 16


@dataclass(frozen=True, slots=True)
class Begin:
    """Down: batches of this track follow, the first publisher's or another's."""

    track: Track


@dataclass(frozen=True, slots=True)
class MakeKeyframe:
    """Down: a keyframe is wanted soon."""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Down: so many pictures were left out, because the process was too far behind."""

    pictures: int


@dataclass(frozen=True, slots=True)
class Made:
    """Up: batches of this track follow; its codec has the parameters of the encoder."""

    track: Track


@dataclass(frozen=True, slots=True)
class KeyframeWanted:
    """Up: nothing can be decoded until a keyframe comes."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Up: what is wrong, a sentence; None when it is over."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Failed:
    """Up: the process ends, because of this."""

    text: str


Event = Begin | MakeKeyframe | Skipped | Made | KeyframeWanted | Trouble | Failed


def encode_event(event: Event) -> bytes:
    """One message with an event."""
    match event:
        case Begin(track) | Made(track):
            fields: dict[str, Any] = {"track": track_to_json(track)}
        case _:
            fields = asdict(event)
    return event_message(type(event).__name__, fields)


class Decoder(MessageDecoder[Event, Packets]):
    """Cuts bytes into messages, however they arrive."""

    def __init__(self) -> None:
        super().__init__(_read_event, read_batch, max_event=_MAX_EVENT)


def task_to_json(stream: str, target: Target) -> str:
    """What the process is for, as its argument."""
    return json.dumps([stream, asdict(target)])


def task_from_json(text: str) -> tuple[str, Target]:
    """The reverse of `task_to_json`."""
    stream, target = json.loads(text)
    return stream, Target(**target)


def _read_event(name: str, fields: dict[str, Any]) -> Event | None:
    match name:
        case "Begin":
            return Begin(track_from_json(fields["track"]))
        case "MakeKeyframe":
            return MakeKeyframe()
        case "Skipped":
            return Skipped(int(fields["pictures"]))
        case "Made":
            return Made(track_from_json(fields["track"]))
        case "KeyframeWanted":
            return KeyframeWanted()
        case "Trouble":
            text = fields["text"]
            return Trouble(None if text is None else str(text))
        case "Failed":
            return Failed(str(fields["text"]))
    return None
