"""RTSP messages and interleaved frames."""

from streamsocket.errors import ParseError
from streamsocket.rtsp.message import Frames, Message, Parser

SEEDS = [
    b"OPTIONS rtsp://h/a RTSP/1.0\r\nCSeq: 1\r\nX-Long: a\r\n b\r\n\r\n$\x00\x00\x02hi",
    b"\r\n\nRTSP/1.0 200 OK\ncseq:1\nContent-Length: 4\n\nbody$\x01\x00\x00RTSP/1.0 404 \r\n\r\n",
    b"SET_PARAMETER rtsp://h/a?b=c RTSP/1.0\r\nCSeq: 2\r\nContent-Length: 3\r\n\r\na:b",
    b"$\x00\x00\x01a$\x01\x00\x00$\x00\x00\x01b",
]


def _parse(chunks: list[bytes]) -> tuple[list[Message], bool]:
    """The messages, frame by frame: how many come in one `Frames` is how many came together."""
    parser = Parser()
    messages: list[Message] = []
    try:
        for chunk in chunks:
            for message in parser.feed(chunk):
                if isinstance(message, Frames):
                    messages.extend(Frames([frame]) for frame in message.frames)
                else:
                    messages.append(message)
    except ParseError:
        return messages, False
    return messages, True


def fuzz_one(data: bytes) -> None:
    """However the bytes are chopped they mean the same, and so does what is written of them."""
    messages, is_valid = _parse([data])
    assert _parse([data[at : at + 1] for at in range(len(data))]) == (messages, is_valid)
    written = b"".join(message.serialise() for message in messages)
    assert _parse([written]) == (messages, True)
