"""RTMP's chunk stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamsocket.errors import ParseError
from streamsocket.rtmp.chunks import (
    MAX_CHUNK_STREAMS,
    MAX_EMPTY,
    MAX_HELD,
    MAX_MESSAGE,
    ChunkReader,
    ChunkWriter,
    Message,
    MessageType,
    control,
)

_MESSAGES = st.builds(
    Message,
    type_id=st.sampled_from([8, 9, 18, 20]),
    payload=st.binary(max_size=600),
    timestamp=st.integers(0, 0xFFFF_FFFF) | st.sampled_from([0xFFFFFE, 0xFFFFFF, 0x1000000]),
    stream_id=st.integers(0, 0xFFFF_FFFF),
)


def _header(
    number: int, timestamp: int, length: int, type_id: int = 9, stream_id: int = 1
) -> bytes:
    """A chunk's header of format 0."""
    parts = (bytes((number,)), timestamp.to_bytes(3, "big"), length.to_bytes(3, "big"))
    return b"".join((*parts, bytes((type_id,)), stream_id.to_bytes(4, "little")))


def test_the_specifications_first_example() -> None:
    """5.3.2.1: four messages of sound, the later ones with ever shorter headers."""
    reader = ChunkReader()
    data = _header(3, 1000, 32, 8, 12345) + bytes(32)
    data += bytes((2 << 6 | 3,)) + (20).to_bytes(3, "big") + bytes(32)
    data += bytes((3 << 6 | 3,)) + bytes(32)
    data += bytes((3 << 6 | 3,)) + bytes(32)
    assert list(reader.feed(data)) == [
        Message(8, bytes(32), timestamp, 12345) for timestamp in (1000, 1020, 1040, 1060)
    ]


def test_the_specifications_second_example() -> None:
    """5.3.2.2: a message of 307 bytes in three chunks of 128 bytes at most."""
    payload = bytes(range(256)) + bytes(51)
    data = _header(4, 1000, 307, 9, 12346) + payload[:128]
    data += b"\xc4" + payload[128:256] + b"\xc4" + payload[256:]
    assert len(data) == 140 + 129 + 52
    message = Message(9, payload, 1000, 12346)
    assert list(ChunkReader().feed(data)) == [message]
    assert ChunkWriter().write(message, chunk_stream=4) == data


@given(st.lists(_MESSAGES, max_size=5), st.integers(1, 700), st.data())
def test_messages_survive_any_chunk_size_and_any_cuts(
    messages: list[Message], chunk_size: int, draw: st.DataObject
) -> None:
    writer, reader = ChunkWriter(), ChunkReader()
    data = writer.set_chunk_size(chunk_size)
    data += b"".join(
        writer.write(message, chunk_stream=3 + index) for index, message in enumerate(messages)
    )
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    received: list[Message] = []
    for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        received += list(reader.feed(data[start:end]))
    assert received == messages


def test_chunks_of_several_messages_may_take_turns() -> None:
    first, second = bytes(200), b"\x01" * 150
    data = _header(4, 0, 200, 8) + first[:128] + _header(6, 5, 150, 9) + second[:128]
    data += b"\xc4" + first[128:] + b"\xc6" + second[128:]
    assert list(ChunkReader().feed(data)) == [Message(8, first, 0, 1), Message(9, second, 5, 1)]


@pytest.mark.parametrize(
    ("basic_header", "next_header"),
    [(b"\x00\x00", b"\xc0\x00"), (b"\x01\x00\x01", b"\xc1\x00\x01")],
)
def test_chunk_stream_numbers_may_have_two_or_three_bytes(
    basic_header: bytes, next_header: bytes
) -> None:
    data = basic_header + _header(0, 7, 130)[1:] + bytes(128) + next_header + bytes(2)
    assert list(ChunkReader().feed(data)) == [Message(9, bytes(130), 7, 1)]


@pytest.mark.parametrize("is_repeated", [True, False])
def test_extended_timestamps_are_read_whether_repeated_or_not(is_repeated: bool) -> None:
    """5.3.1.3 wants them in every chunk of the message; old senders disagree."""
    extended = (0x01020304).to_bytes(4, "big")
    data = _header(4, 0xFFFFFF, 130) + extended + bytes(128)
    data += b"\xc4" + (extended if is_repeated else b"") + b"ab"
    # A new message in format 3 always has it; here it is the step, too.
    data += b"\xc4" + extended + bytes(128) + b"\xc4" + extended + b"cd"
    messages = list(ChunkReader().feed(data))
    assert [message.timestamp for message in messages] == [0x01020304, 0x02040608]
    assert [message.payload[-2:] for message in messages] == [b"ab", b"cd"]


def test_the_timestamp_wraps() -> None:
    data = _header(4, 0xFFFFFF, 0) + b"\xff" * 4
    data += bytes((1 << 6 | 4,)) + b"\x00\x00\x05" + b"\x00\x00\x00" + b"\x09"
    assert [message.timestamp for message in list(ChunkReader().feed(data))] == [0xFFFF_FFFF, 4]


def test_an_aborted_message_is_forgotten() -> None:
    abort = ChunkWriter().write(control(MessageType.ABORT, 4), chunk_stream=2)
    data = _header(4, 0, 200) + bytes(128) + abort + _header(4, 9, 2) + b"hi"
    assert list(ChunkReader().feed(data)) == [Message(9, b"hi", 9, 1)]


def test_a_message_of_no_bytes_is_one() -> None:
    assert list(ChunkReader().feed(_header(4, 3, 0))) == [Message(9, b"", 3, 1)]


def test_librtmps_first_chunk_of_format_1_is_taken() -> None:
    data = bytes((1 << 6 | 2,)) + bytes(3) + (6).to_bytes(3, "big") + b"\x04" + bytes(6)
    assert list(ChunkReader().feed(data)) == [Message(4, bytes(6), 0, 0)]


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x83\x00\x00\x00", id="begins with format 2"),
        pytest.param(b"\xc3", id="begins with format 3"),
        pytest.param(_header(3, 0, MAX_MESSAGE + 1), id="too long"),
        pytest.param(_header(3, 0, 200) + bytes(128) + _header(3, 0, 1), id="message in message"),
        pytest.param(_header(2, 0, 4, 1) + bytes(4), id="chunks of no bytes"),
        pytest.param(_header(2, 0, 4, 1) + b"\xff" * 4, id="chunk size of 32 bits"),
        pytest.param(_header(2, 0, 2, 1) + b"\x10\x00", id="chunk size cut off"),
        pytest.param(
            b"".join(bytes((0, n)) + _header(0, 0, 0)[1:] for n in range(1 + MAX_CHUNK_STREAMS)),
            id="too many chunk streams",
        ),
        pytest.param(_header(3, 0, 0) + b"\xc3" * MAX_EMPTY, id="nothing, many times"),
    ],
)
def test_what_breaks_the_rules_is_refused(data: bytes) -> None:
    with pytest.raises(ParseError):
        list(ChunkReader().feed(data + bytes(32)))


def test_messages_that_have_begun_are_bounded_together() -> None:
    reader, writer = ChunkReader(), ChunkWriter()
    list(reader.feed(writer.set_chunk_size(MAX_MESSAGE - 1)))
    list(reader.feed(_header(3, 0, MAX_MESSAGE) + bytes(MAX_MESSAGE - 1)))
    with pytest.raises(ParseError, match="hold more"):
        list(reader.feed(_header(4, 0, MAX_MESSAGE) + bytes(MAX_HELD - MAX_MESSAGE + 2)))


def test_a_giant_chunk_size_reserves_nothing_and_messages_still_arrive() -> None:
    reader, writer = ChunkReader(), ChunkWriter()
    data = writer.set_chunk_size(0x7FFF_FFFF)
    message = Message(9, bytes(100_000))
    data += writer.write(message, chunk_stream=5)
    received = [
        each
        for byte in range(0, len(data), 999)
        for each in list(reader.feed(data[byte : byte + 999]))
    ]
    assert received == [message]


def test_a_lower_bound_on_messages_holds() -> None:
    reader = ChunkReader()
    reader.max_message = 100
    with pytest.raises(ParseError, match="longer than the 100"):
        list(reader.feed(_header(3, 0, 101)))
