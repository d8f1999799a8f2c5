"""RTMP's chunk stream: messages cut into chunks, several at a time (Adobe's RTMP 1.0, 5.3, 5.4)."""

from __future__ import annotations

import enum
from collections.abc import Iterator
from dataclasses import dataclass, field

from streamsocket.errors import ParseError

DEFAULT_CHUNK_SIZE = 128
MAX_CHUNK_SIZE = 0xFFFFFF
"""No message is longer, so larger chunks mean the same (5.4.1)."""
MAX_MESSAGE = 8 << 20
MAX_HELD = 12 << 20
"""Bytes of messages that have begun and are not complete."""
MAX_CHUNK_STREAMS = 64

MAX_EMPTY = 100
"""Messages of no bytes, one after another: who sends more only keeps us busy."""

CONTROL_STREAM = 2
"""The chunk stream of protocol control messages (5.4)."""

_EXTENDED = 0xFFFFFF
_HEADER_SIZES = (11, 7, 3, 0)
"""Of the message header, by format (5.3.1.2)."""


class MessageType(enum.IntEnum):
    """Message type ids (5.4, 7.1)."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20


@dataclass(frozen=True, slots=True)
class Message:
    """One whole message."""

    type_id: int
    payload: bytes
    timestamp: int = 0
    """Milliseconds, 32 bits: it wraps after 49.7 days."""
    stream_id: int = 0


@dataclass(slots=True)
class _ChunkStream:
    """What the next chunk's header may leave out, and the message that is under way."""

    timestamp: int = 0
    delta: int = 0
    extended: int | None = None
    """The extended timestamp as it was sent; None where there was none."""
    length: int = 0
    type_id: int = 0
    stream_id: int = 0
    payload: bytearray = field(default_factory=bytearray)
    """What has come of the message under way."""
    under_way: bool = False


class ChunkReader:
    """Chunks in, messages out. Set Chunk Size and Abort are obeyed and not passed on."""

    def __init__(self) -> None:
        self.max_message = MAX_MESSAGE
        """The longest message that is taken, in bytes."""
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._streams: dict[int, _ChunkStream] = {}
        self._header = b""
        """A chunk's header that is not all there."""
        self._current: _ChunkStream | None = None
        """The chunk stream whose chunk is being read."""
        self._remaining = 0
        """Bytes of that chunk's payload that have not come."""
        self._held = 0
        self._empty = 0

    def feed(self, data: bytes) -> Iterator[Message]:
        """Take bytes; yields the messages that are complete now, to the last, please.

        What is changed between two of them, such as `max_message`, holds for the next. Raises
        ParseError for bytes that break the rules; nothing can be understood after that.
        """
        data = self._header + data
        position = 0
        while self._current or position < len(data):
            if self._current is None:
                size = self._read_header(data, position)
                if not size:
                    break
                position += size
            piece = data[position : position + self._remaining]
            position += len(piece)
            message = self._take(piece)
            if message is None:
                if self._remaining:
                    break
            elif message.type_id == MessageType.SET_CHUNK_SIZE:
                self._set_chunk_size(message.payload)
            elif message.type_id == MessageType.ABORT:
                self._abort(message.payload)
            else:
                yield message
        self._header = data[position:]

    def _read_header(self, data: bytes, start: int) -> int:
        """Begin the chunk that starts there; returns its header's size, 0 if it's not all there."""
        chunk_format, number = data[start] >> 6, data[start] & 0x3F
        position = start + 1
        if number < 2:  # one or two more bytes have the number (5.3.1.1)
            more = data[position : position + 1 + number]
            position += 1 + number
            number = 64 + int.from_bytes(more, "little")
        header = data[position : position + _HEADER_SIZES[chunk_format]]
        position += _HEADER_SIZES[chunk_format]
        if position > len(data):
            return 0

        stream = self._streams.get(number) or self._new_stream(chunk_format)
        if stream.under_way and chunk_format != 3:
            raise ParseError("A message begins before the one before it has ended.")
        length = stream.length
        if chunk_format <= 1:
            length = int.from_bytes(header[3:6], "big")
            if length > self.max_message:
                raise ParseError(
                    f"A message of {length} bytes is longer than the {self.max_message} allowed."
                )
        step = int.from_bytes(header[:3], "big") if chunk_format < 3 else stream.delta
        extended = stream.extended if chunk_format == 3 else None
        if extended is not None or (chunk_format < 3 and step == _EXTENDED):
            if position + 4 > len(data):
                return 0
            sent = int.from_bytes(data[position : position + 4], "big")
            # Some senders don't repeat it (5.3.1.3) within a message: then this is payload.
            if not stream.under_way or sent == extended:
                step = extended = sent
                position += 4

        self._streams[number] = stream
        if not stream.under_way:
            stream.under_way = True
            before = 0 if chunk_format == 0 else stream.timestamp
            stream.timestamp = (before + step) & 0xFFFF_FFFF
            stream.delta, stream.extended = step, extended
            stream.length = length
            if chunk_format <= 1:
                stream.type_id = header[6]
            if chunk_format == 0:
                stream.stream_id = int.from_bytes(header[7:11], "little")
        self._current = stream
        self._remaining = min(stream.length - len(stream.payload), self._chunk_size)
        return position - start

    def _new_stream(self, chunk_format: int) -> _ChunkStream:
        # Format 1 would refer to a message before it too, but librtmp begins with it.
        if chunk_format > 1:
            raise ParseError("A chunk stream begins with a chunk that refers to one before it.")
        if len(self._streams) >= MAX_CHUNK_STREAMS:
            raise ParseError(f"There are more than {MAX_CHUNK_STREAMS} chunk streams.")
        return _ChunkStream()

    def _take(self, piece: bytes) -> Message | None:
        """Take payload of the current chunk; returns the message if that is its end."""
        stream = self._current
        assert stream is not None
        self._remaining -= len(piece)
        if not self._remaining:
            self._current = None
        payload = stream.payload
        if len(payload) + len(piece) == stream.length:
            stream.under_way = False
            self._empty = 0 if stream.length else self._empty + 1
            if self._empty > MAX_EMPTY:
                raise ParseError("The peer sends nothing but empty messages.")
            self._held -= len(payload)
            whole = bytes(payload) + piece if payload else piece
            payload.clear()
            return Message(stream.type_id, whole, stream.timestamp, stream.stream_id)
        payload += piece
        self._held += len(piece)
        if self._held > MAX_HELD:
            raise ParseError("The messages that have begun hold more than is allowed.")
        return None

    def _set_chunk_size(self, payload: bytes) -> None:
        size = int.from_bytes(payload[:4], "big")
        if len(payload) < 4 or not 1 <= size < 1 << 31:
            raise ParseError("The peer sets a chunk size that cannot be.")
        self._chunk_size = min(size, MAX_CHUNK_SIZE)

    def _abort(self, payload: bytes) -> None:
        """The rest of a message under way will not come (5.4.2)."""
        stream = self._streams.get(int.from_bytes(payload[:4], "big"))
        if stream:
            self._held -= len(stream.payload)
            stream.payload.clear()
            stream.under_way = False


class ChunkWriter:
    """Messages in, chunks out: each message with its full header, so that it needs none before."""

    def __init__(self) -> None:
        self._chunk_size = DEFAULT_CHUNK_SIZE

    def write(self, message: Message, *, chunk_stream: int) -> bytes:
        """The chunks of a message. `chunk_stream` is 2 to 63."""
        payload, timestamp = message.payload, message.timestamp & 0xFFFF_FFFF
        extended = timestamp.to_bytes(4, "big") if timestamp >= _EXTENDED else b""
        parts = [
            bytes((chunk_stream,)),
            min(timestamp, _EXTENDED).to_bytes(3, "big"),
            len(payload).to_bytes(3, "big"),
            bytes((message.type_id,)),
            message.stream_id.to_bytes(4, "little"),
            extended,
            payload[: self._chunk_size],
        ]
        for start in range(self._chunk_size, len(payload), self._chunk_size):
            parts += (bytes((0xC0 | chunk_stream,)), extended)
            parts.append(payload[start : start + self._chunk_size])
        return b"".join(parts)

    def set_chunk_size(self, size: int) -> bytes:
        """The message that announces chunks of `size` bytes; what is written next has them."""
        announcement = control(MessageType.SET_CHUNK_SIZE, size)
        data = self.write(announcement, chunk_stream=CONTROL_STREAM)
        self._chunk_size = size
        return data


def control(type_id: MessageType, value: int, *more: int) -> Message:
    """A protocol control message (5.4): a number of 32 bits, and bytes after it."""
    return Message(type_id, value.to_bytes(4, "big") + bytes(more))
