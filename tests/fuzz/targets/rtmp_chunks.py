"""RTMP's chunk stream: the first byte cuts the rest in two."""

import contextlib

from streamsocket.errors import ParseError
from streamsocket.rtmp.chunks import (
    MAX_CHUNK_STREAMS,
    ChunkReader,
    ChunkWriter,
    Message,
    MessageType,
    control,
)


def _written(*messages: Message, chunk_size: int = 128) -> bytes:
    writer = ChunkWriter()
    data = writer.set_chunk_size(chunk_size)
    parts = [writer.write(each, chunk_stream=3 + index) for index, each in enumerate(messages)]
    return data + b"".join(parts)


SEEDS = [
    b"\x40" + _written(Message(9, bytes(300), 1000, 1), Message(8, b"sound", 0x1000000, 1)),
    b"\x07" + _written(Message(20, bytes(40)), chunk_size=7) + b"\x83\x00\x00\x09" + bytes(40),
    b"\x10" + _written(control(MessageType.ABORT, 3)) + b"\x43" + bytes(6) + b"\x09\xc3\xc3",
    b"\x00\x00\x05"
    + bytes(6)
    + b"\x09"
    + bytes(4)
    + b"\x01\x05\x01"
    + bytes(6)
    + b"\x09"
    + bytes(4),
]


def fuzz_one(data: bytes) -> None:
    """Cut or not, the same messages come, and nothing but ParseError is raised."""
    cut, data = (data[0] if data else 0), data[1:]
    whole = _read(data)
    assert _read(data[:cut], data[cut:]) == whole


def _read(*pieces: bytes) -> list[Message]:
    reader = ChunkReader()
    messages: list[Message] = []
    with contextlib.suppress(ParseError):
        for piece in pieces:
            messages.extend(reader.feed(piece))
    assert len(reader._streams) <= MAX_CHUNK_STREAMS
    return messages
