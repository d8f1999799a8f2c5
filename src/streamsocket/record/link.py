"""What the server and the recorder's process say to each other, without I/O.

Down, to the recorder: events and batches. Up: events.
"""

from __future__ import annotations

import struct
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from streamsocket.child_messages import BATCH, MessageDecoder, event_message, message_header
from streamsocket.errors import ParseError
from streamsocket.media.codec import Track
from streamsocket.media.track_json import track_from_json, track_to_json
from streamsocket.rtp.batch import Batch

_MAX_EVENT = 1 << 22

# Recording, track, flags, number of packets, timestamp, first sequence number, capture time. The
# packets' sizes follow, then the packets.
_BATCH_BODY = struct.Struct("!IBBHqQd")
_IS_KEYFRAME = 1


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


class Packets(NamedTuple):
    """A batch as the recorder takes it."""

    recording: int
    track: int
    keyframe: bool
    timestamp: int
    sequence: int
    """Of the first packet, unwrapped."""
    capture_time: float
    sizes: tuple[int, ...]
    data: memoryview
    """The packets, header and payload, one behind the other."""


def batch_header(recording: int, track: int, batch: Batch) -> bytes:
    """What goes before the batch's buffer: the two together are one message."""
    sizes = batch.sizes
    count = len(sizes)
    head = message_header(BATCH, _BATCH_BODY.size + 2 * count + len(batch.buffer))
    body = _BATCH_BODY.pack(
        recording,
        track,
        _IS_KEYFRAME if batch.keyframe else 0,
        count,
        batch.timestamp,
        batch.sequence,
        batch.capture_time,
    )
    return head + body + struct.pack(f"!{count}H", *sizes)


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
        super().__init__(_read_event, _read_batch, max_event=_MAX_EVENT)


def _read_batch(view: memoryview) -> Packets:
    try:
        recording, track, flags, count, timestamp, sequence, captured = _BATCH_BODY.unpack_from(
            view
        )
        sizes = struct.unpack_from(f"!{count}H", view, _BATCH_BODY.size)
    except struct.error:
        raise ParseError("A batch ends inside its header.") from None
    data = view[_BATCH_BODY.size + 2 * count :]
    if sum(sizes) != len(data) or not count or min(sizes) < 12:
        raise ParseError("A batch is not as long as its packets.")
    is_keyframe = bool(flags & _IS_KEYFRAME)
    return Packets(recording, track, is_keyframe, timestamp, sequence, captured, sizes, data)


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
