"""What a source's process and the server say to each other, without I/O.

Up, from the source: messages, each a header (its type, its length), then either an event as JSON
or one batch of RTP packets as plain binary. Down, to the source: single bytes.
"""

from __future__ import annotations

import json
import struct
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media.codec import Track
from streamsocket.media.track_json import track_from_json, track_to_json
from streamsocket.rtp.batch import Batch

KEYFRAME = b"K"
"""Down: make a keyframe soon."""
STOP = b"S"
"""Down: end now. The end of the connection means the same."""

_MAX_EVENT = 1 << 16
_MAX_BATCH = 1 << 24

_HEADER = struct.Struct("!cI")
_EVENT = b"E"
_BATCH = b"B"

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


Event = Tracks | Note | Waiting | Progress | Ended | Failed


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
        (_HEADER.pack(_BATCH, length), head, struct.pack(f"!{count}H", *sizes), batch.buffer)
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
    body = json.dumps([type(event).__name__, fields]).encode()
    return _HEADER.pack(_EVENT, len(body)) + body


class Decoder:
    """Cuts the bytes a source sends into messages, however they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[Event | TrackBatch]:
        """Take more bytes; return the messages they complete, in order.

        Raises `ParseError` where they make no sense; nothing can be read after that.
        """
        if self._rest:
            data = self._rest + data
        messages: list[Event | TrackBatch] = []
        start = 0
        while len(data) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, start)
            if length > (_MAX_BATCH if kind == _BATCH else _MAX_EVENT):
                raise ParseError(f"A source's message of {length} bytes is too long.")
            begin = start + _HEADER.size
            if len(data) - begin < length:
                break
            start = begin + length
            if kind == _BATCH:
                messages.append(_decode_batch(data, begin, start))
            elif kind == _EVENT:
                messages.append(_decode_event(data[begin:start]))
            else:
                raise ParseError(f"A source's message has the unknown type {kind!r}.")
        self._rest = data[start:]
        return messages


def _decode_batch(data: bytes, begin: int, end: int) -> TrackBatch:
    sizes_at = begin + _BATCH_HEADER.size
    if sizes_at > end:
        raise ParseError("A source's batch ends inside its header.")
    track, flags, count, timestamp, capture_time = _BATCH_HEADER.unpack_from(data, begin)
    packets_at = sizes_at + 2 * count
    if packets_at > end:
        raise ParseError("A source's batch ends inside its list of sizes.")
    sizes = struct.unpack_from(f"!{count}H", data, sizes_at)
    if sum(sizes) != end - packets_at or not count:
        raise ParseError("A source's batch is not as long as its packets.")
    return TrackBatch(
        track,
        Batch(
            data[packets_at:end],
            sizes,
            timestamp,
            capture_time,
            bool(flags & _IS_KEYFRAME),
            bool(flags & _IS_COMPLETE),
        ),
    )


def _decode_event(body: bytes) -> Event:
    try:
        name, fields = json.loads(body)
        match name:
            case "Tracks":
                tracks = tuple(track_from_json(track) for track in fields["tracks"])
                return Tracks(tracks, bool(fields["makes_keyframes"]))
            case "Note":
                return Note(str(fields["text"]))
            case "Waiting":
                return Waiting(str(fields["text"]))
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
    except (
        ValueError,  # not JSON, not UTF-8, or not two elements
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
        ZeroDivisionError,
    ) as error:
        raise ParseError(f"A source's event cannot be read: {body[:80]!r}.") from error
    raise ParseError(f"A source's event has the unknown name {str(name)[:80]!r}.")
