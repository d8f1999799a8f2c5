"""What a source's process and the server say to each other, without I/O.

Up, from the source: messages with events and batches. Down, to the source: single bytes.
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

KEYFRAME = b"K"
"""Down: make a keyframe soon."""
STOP = b"S"
"""Down: end now. The end of the connection means the same."""

MUTE, UNMUTE = b"M", b"U"
"""Down: send silence, or the sound again. Time goes on."""
HIDE, SHOW = b"H", b"V"
"""Down: close the camera and send a dark picture, or the camera's again."""

_MAX_EVENT = 1 << 16

# Track, flags, number of packets, timestamp, capture time.
_BATCH_HEADER = struct.Struct("!BBHQd")
_IS_KEYFRAME = 1
_IS_COMPLETE = 2


@dataclass(frozen=True, slots=True)
class Tracks:
    """The source is live from now on, with these tracks."""

    tracks: tuple[Track, ...]
    makes_keyframes: bool
    """It answers `KEYFRAME`."""


@dataclass(frozen=True, slots=True)
class Note:
    """What is being done to the source, a sentence for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Nothing comes to the source at the moment; a sentence for the user."""

    text: str


@dataclass(frozen=True, slots=True)
class Live:
    """What was waited for is here, once `Tracks` were told; a sentence about what is missing."""

    text: str | None


@dataclass(frozen=True, slots=True)
class Progress:
    """Where in its file the source is."""

    position_s: float
    duration_s: float | None
    loops: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The source came to its end, as it should."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The source cannot go on; a sentence for the user."""

    text: str
    final: bool
    """Another try would fail as well: the file is missing, not a bug of ours."""


Event = Tracks | Note | Waiting | Live | Progress | Ended | Failed


class TrackBatch(NamedTuple):
    """A batch and the index of the track it belongs to."""

    track: int
    batch: Batch


def encode_batch(track: int, batch: Batch) -> bytes:
    """One message with a batch of the track with that index."""
    sizes = batch.sizes
    count = len(sizes)
    flags = (_IS_KEYFRAME if batch.keyframe else 0) | (_IS_COMPLETE if batch.complete else 0)
    head = _BATCH_HEADER.pack(track, flags, count, batch.timestamp, batch.capture_time)
    length = _BATCH_HEADER.size + 2 * count + len(batch.buffer)
    return b"".join(
        (message_header(BATCH, length), head, struct.pack(f"!{count}H", *sizes), batch.buffer)
    )


def encode_event(event: Event) -> bytes:
    """One message with an event."""
    match event:
        case Tracks(tracks, makes_keyframes):
            fields: dict[str, Any] = {
                "tracks": [track_to_json(track) for track in tracks],
                "makes_keyframes": makes_keyframes,
            }
        case _:
            fields = asdict(event)
    return event_message(type(event).__name__, fields)


class Decoder(MessageDecoder[Event, TrackBatch]):
    """Cuts the bytes a source sends into messages, however they arrive."""

    def __init__(self) -> None:
        super().__init__(_read_event, _read_batch, max_event=_MAX_EVENT)


def _read_batch(view: memoryview) -> TrackBatch:
    try:
        track, flags, count, timestamp, capture_time = _BATCH_HEADER.unpack_from(view)
        sizes = struct.unpack_from(f"!{count}H", view, _BATCH_HEADER.size)
    except struct.error:
        raise ParseError("A batch ends inside its header.") from None
    packets = bytes(view[_BATCH_HEADER.size + 2 * count :])
    if sum(sizes) != len(packets) or not count:
        raise ParseError("A batch is not as long as its packets.")
    return TrackBatch(
        track,
        Batch(
            packets,
            sizes,
            timestamp,
            capture_time,
            bool(flags & _IS_KEYFRAME),
            bool(flags & _IS_COMPLETE),
        ),
    )


def _read_event(name: str, fields: dict[str, Any]) -> Event | None:
    match name:
        case "Tracks":
            tracks = tuple(track_from_json(track) for track in fields["tracks"])
            return Tracks(tracks, bool(fields["makes_keyframes"]))
        case "Note":
            return Note(str(fields["text"]))
        case "Waiting":
            return Waiting(str(fields["text"]))
        case "Live":
            text = fields["text"]
            return Live(None if text is None else str(text))
        case "Progress":
            duration_s = fields["duration_s"]
            return Progress(
                float(fields["position_s"]),
                None if duration_s is None else float(duration_s),
                int(fields["loops"]),
            )
        case "Ended":
            return Ended()
        case "Failed":
            return Failed(str(fields["text"]), bool(fields["final"]))
    return None
