"""What the server and the recorder's process say to each other, without I/O.

Down, to the recorder: messages, each a header (its type, its length), then either an event as JSON
or one batch of RTP packets as plain binary. Up: events.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media.codec import Track
from streamsocket.media.track_json import track_from_json, track_to_json
from streamsocket.rtp.batch import Batch

_MAX_EVENT = 1 << 22
_MAX_BATCH = 1 << 24

_HEADER = struct.Struct("!cI")
_EVENT = b"E"
_BATCH = b"B"

# Both headers in one: type, length, then recording, track, flags, number of packets, timestamp,
# first sequence number, capture time. The packets' sizes follow, then the packets.
_BATCH_HEADER = struct.Struct("!cIIBBHqQd")
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
    head = _BATCH_HEADER.pack(
        _BATCH,
        _BATCH_BODY.size + 2 * count + len(batch.buffer),
        recording,
        track,
        _IS_KEYFRAME if batch.keyframe else 0,
        count,
        batch.timestamp,
        batch.sequence,
        batch.capture_time,
    )
    return head + struct.pack(f"!{count}H", *sizes)


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
    body = json.dumps([type(event).__name__, fields]).encode()
    return _HEADER.pack(_EVENT, len(body)) + body


class Decoder:
    """Cuts bytes into messages, however they arrive."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> Iterator[Event | Packets]:
        """Take more bytes; yield the messages they complete, in order.

        Raises `ParseError` where they make no sense; nothing can be read after that.
        """
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        start, end = 0, len(data)
        self._rest = b""
        while end - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, start)
            if length > (_MAX_BATCH if kind == _BATCH else _MAX_EVENT):
                raise ParseError(f"A message of {length} bytes is too long.")
            begin = start + _HEADER.size
            if end - begin < length:
                break
            start = begin + length
            if kind == _BATCH:
                yield _decode_batch(view[begin:start])
            elif kind == _EVENT:
                yield _decode_event(data[begin:start])
            else:
                raise ParseError(f"A message has the unknown type {kind!r}.")
        self._rest = data[start:]


def _decode_batch(view: memoryview) -> Packets:
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


def _decode_event(body: bytes) -> Event:
    try:
        name, fields = json.loads(body)
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
    except (
        ValueError,  # not JSON, not UTF-8, or not two elements
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        OverflowError,
    ) as error:
        raise ParseError(f"An event cannot be read: {body[:80]!r}.") from error
    raise ParseError(f"An event has the unknown name {str(name)[:80]!r}.")


def _state(fields: dict[str, Any]) -> RecordingState:
    path, message = fields["path"], fields["message"]
    return RecordingState(
        int(fields["recording"]),
        None if path is None else str(path),
        float(fields["seconds"]),
        int(fields["bytes"]),
        None if message is None else str(message),
    )
