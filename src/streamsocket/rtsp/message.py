"""RTSP messages on the wire: requests, responses and interleaved frames (RFC 2326, 4 to 10.12).

Forgiving where real peers are careless (bare LF, blank lines between messages, folded headers),
strict where it is a question of safety: every part of a message has a limit.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import overload

from streamsocket.errors import ParseError

VERSION = "RTSP/1.0"

MAX_LINE = 8 * 1024
MAX_HEAD = 32 * 1024
MAX_HEADERS = 100
MAX_BODY = 256 * 1024

_DOLLAR = 0x24
_FRAME_HEADER = struct.Struct("!BBH")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_VERSION = re.compile(r"RTSP/[0-9]\.[0-9]", re.IGNORECASE)
_STATUS_LINE = re.compile(r"RTSP/[0-9]\.[0-9][ \t]+([1-5][0-9][0-9])(?:[ \t]+(.*))?", re.IGNORECASE)
_HTTP_LINE = re.compile(r"HTTP/[0-9]|\S+ .*\bHTTP/[0-9]", re.IGNORECASE)


class Headers:
    """Header fields in order; names compare without regard to case and may repeat."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, str] | Iterable[tuple[str, str]] = ()) -> None:
        self._items = list(items.items() if isinstance(items, Mapping) else items)

    @overload
    def get(self, name: str) -> str | None: ...

    @overload
    def get(self, name: str, default: str) -> str: ...

    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value under this name."""
        wanted = name.lower()
        return next((value for key, value in self._items if key.lower() == wanted), default)

    def get_all(self, name: str) -> list[str]:
        """Every value under this name, in order."""
        wanted = name.lower()
        return [value for key, value in self._items if key.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a field, whether or not the name is there already."""
        self._items.append((name, value))

    def items(self) -> list[tuple[str, str]]:
        """Names and values in order."""
        return list(self._items)

    def __setitem__(self, name: str, value: str) -> None:
        wanted = name.lower()
        self._items = [item for item in self._items if item[0].lower() != wanted]
        self._items.append((name, value))

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Headers):
            return NotImplemented
        return [(k.lower(), v) for k, v in self._items] == [(k.lower(), v) for k, v in other._items]

    __hash__ = None  # type: ignore[assignment]  # it can change

    def __repr__(self) -> str:
        """The names alone: values can be secrets."""
        return f"Headers({', '.join(name for name, _ in self._items)})"


@dataclass(slots=True)
class Request:
    """A request (RFC 2326, 6). `url` is as the peer wrote it, not decoded."""

    method: str
    url: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""
    version: str = VERSION

    def serialise(self) -> bytes:
        """The bytes to send; Content-Length is added where there is a body."""
        return _serialise(f"{self.method} {self.url} {self.version}", self.headers, self.body)


@dataclass(slots=True)
class Response:
    """A response (RFC 2326, 7)."""

    status: int
    reason: str
    headers: Headers = field(default_factory=Headers)
    body: bytes = b""

    def serialise(self) -> bytes:
        """The bytes to send; Content-Length is added where there is a body."""
        return _serialise(f"{VERSION} {self.status} {self.reason}", self.headers, self.body)


@dataclass(slots=True)
class Frames:
    """RTP and RTCP packets between the messages of a connection (RFC 2326, 10.12)."""

    frames: list[tuple[int, bytes]]
    """Channel and packet of each, in order; as many as came together."""

    def serialise(self) -> bytes:
        """The frames as they are sent."""
        return b"".join(
            _FRAME_HEADER.pack(_DOLLAR, channel, len(data)) + data for channel, data in self.frames
        )


Message = Request | Response | Frames


class Parser:
    """Cuts a connection's bytes into messages, however the network has chopped them.

    Holds one unfinished message at most, thus never more than the limits above. After a
    `ParseError` the place in the stream is lost: the connection is of no more use.
    """

    __slots__ = ("_body_length", "_buffer", "_head", "_head_size", "_scanned", "_unfinished")

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._scanned = 0  # bytes of the buffer known to hold no line end
        self._head: list[str] = []
        self._head_size = 0
        self._unfinished: Request | Response | None = None  # only its body is missing
        self._body_length = 0

    def feed(self, data: bytes | bytearray | memoryview) -> Iterator[Message]:
        """Take bytes and yield the messages they complete.

        What comes before a fault is yielded before `ParseError` is raised.
        """
        self._buffer += data
        return self._messages()

    def _messages(self) -> Iterator[Message]:
        while True:
            message = self._next_message()
            if message is None:
                return
            yield message

    def _next_message(self) -> Message | None:
        buffer = self._buffer
        while self._unfinished is None:
            if buffer and buffer[0] == _DOLLAR and not self._head:
                return self._next_frames()
            line = self._next_line()
            if line is None:
                return None
            if line:
                self._head.append(line)
            elif self._head:  # else a blank line between messages (RFC 2326, 4)
                self._unfinished, self._body_length = _parse_head(self._head)
                self._head = []
                self._head_size = 0
        if len(buffer) < self._body_length:
            return None
        message = self._unfinished
        self._unfinished = None
        message.body = bytes(buffer[: self._body_length])
        del buffer[: self._body_length]
        return message

    def _next_frames(self) -> Frames | None:
        """All frames that are here whole, up to the next message."""
        data = bytes(self._buffer)
        end = len(data)
        frames: list[tuple[int, bytes]] = []
        position = 0
        while position + 4 <= end and data[position] == _DOLLAR:
            following = position + 4 + (data[position + 2] << 8 | data[position + 3])
            if following > end:
                break
            frames.append((data[position + 1], data[position + 4 : following]))
            position = following
        del self._buffer[:position]
        return Frames(frames) if frames else None

    def _next_line(self) -> str | None:
        buffer = self._buffer
        end = buffer.find(b"\n", self._scanned)
        if end > MAX_LINE or (end < 0 and len(buffer) > MAX_LINE):
            raise ParseError(f"A line of the message's head is longer than {MAX_LINE} bytes.")
        if end < 0:
            self._scanned = len(buffer)
            return None
        line = bytes(buffer[:end]).removesuffix(b"\r")
        del buffer[: end + 1]
        self._scanned = 0
        self._head_size += end + 1 if line or self._head else 0
        if self._head_size > MAX_HEAD:
            raise ParseError(f"The message's head is larger than {MAX_HEAD} bytes.")
        if line and len(self._head) > MAX_HEADERS:
            raise ParseError(f"The message has more than {MAX_HEADERS} lines of headers.")
        text = line.decode("utf-8", "replace")
        if _CONTROL.search(text):
            raise ParseError("The message's head has control characters in it.")
        if not self._head and text:
            _check_start_line(text)  # at once: a peer of another protocol may send no blank line
        return text


def _serialise(start_line: str, headers: Headers, body: bytes) -> bytes:
    lines = [start_line, *(f"{name}: {value}" for name, value in headers.items())]
    if body and "Content-Length" not in headers:
        lines.append(f"Content-Length: {len(body)}")
    if any(_CONTROL.search(line) for line in lines):
        raise ValueError("a header with control characters in it cannot be sent")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


def _check_start_line(line: str) -> None:
    words = line.split()
    is_request = len(words) >= 3 and _TOKEN.fullmatch(words[0]) and _VERSION.fullmatch(words[-1])
    if is_request or _STATUS_LINE.fullmatch(line):
        return
    if _HTTP_LINE.match(line):
        raise ParseError("The peer speaks HTTP, but RTSP is spoken here: is it the wrong port?")
    raise ParseError(f"{line[:60]!r} is no line that an RTSP message begins with.")


def _parse_head(lines: list[str]) -> tuple[Request | Response, int]:
    """The message without its body, and how long the body is."""
    headers = Headers(_unfold(lines[1:]))
    message: Request | Response
    if status_line := _STATUS_LINE.fullmatch(lines[0]):
        message = Response(int(status_line[1]), (status_line[2] or "").rstrip(), headers)
    else:
        method, *url, version = lines[0].split()
        message = Request(method, " ".join(url), headers, version=version.upper())
    return message, _content_length(headers)


def _unfold(lines: list[str]) -> list[tuple[str, str]]:
    """Header lines as names and values; a line that begins with space continues the last one."""
    fields: list[tuple[str, str]] = []
    for line in lines:
        if line[0] in " \t":
            if not fields:
                raise ParseError("The first header line is a continuation of nothing.")
            name, value = fields[-1]
            fields[-1] = name, f"{value} {line.strip()}".strip()
            continue
        name, colon, value = line.partition(":")
        name = name.rstrip()
        if not colon or not _TOKEN.fullmatch(name):
            raise ParseError(f"{line[:60]!r} is no header line.")
        fields.append((name, value.strip()))
    return fields


def _content_length(headers: Headers) -> int:
    values = set(headers.get_all("Content-Length"))
    if not values:
        return 0
    value = values.pop()
    if values:
        raise ParseError("The message has two Content-Length headers that differ.")
    if not re.fullmatch(r"[0-9]{1,10}", value):
        raise ParseError(f"Content-Length {value[:20]!r} is no number of bytes.")
    length = int(value)
    if length > MAX_BODY:
        raise ParseError(f"The message's body would be larger than {MAX_BODY} bytes.")
    return length
