"""How what the server and a child process say is cut into messages, without I/O.

A message is a header, its type and its length, and then either an event as JSON or one batch of RTP
packets as plain binary.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from streamsocket.errors import ParseError

EVENT, BATCH = b"E", b"B"
"""The types."""

MAX_BATCH = 1 << 24

_HEADER = struct.Struct("!cI")

E = TypeVar("E")
B = TypeVar("B")


def message_header(kind: bytes, length: int) -> bytes:
    """What goes before so many bytes of a message."""
    return _HEADER.pack(kind, length)


def event_message(name: str, fields: dict[str, Any]) -> bytes:
    """One message with an event of that name."""
    body = json.dumps([name, fields]).encode()
    return message_header(EVENT, len(body)) + body


class MessageDecoder(Generic[E, B]):
    """Cuts bytes into messages, however they arrive."""

    def __init__(
        self,
        read_event: Callable[[str, dict[str, Any]], E | None],
        read_batch: Callable[[memoryview], B],
        *,
        max_event: int,
    ) -> None:
        """`read_event` returns None for a name that it does not know, and may fail as it likes.

        Whatever comes is passed to it: its fields need not be those that belong to the name.
        """
        self._read_event = read_event
        self._read_batch = read_batch
        self._max_event = max_event
        self._rest = b""

    def feed(self, data: bytes) -> list[E | B]:
        """Take more bytes; return the messages they complete, in order.

        Raises `ParseError` where they make no sense; nothing can be read after that.
        """
        if self._rest:
            data = self._rest + data
        view = memoryview(data)
        messages: list[E | B] = []
        start = 0
        while len(data) - start >= _HEADER.size:
            kind, length = _HEADER.unpack_from(data, start)
            if length > (MAX_BATCH if kind == BATCH else self._max_event):
                raise ParseError(f"A message of {length} bytes is too long.")
            begin = start + _HEADER.size
            if len(data) - begin < length:
                break
            start = begin + length
            if kind == BATCH:
                messages.append(self._read_batch(view[begin:start]))
            elif kind == EVENT:
                messages.append(self._event(data[begin:start]))
            else:
                raise ParseError(f"A message has the unknown type {kind!r}.")
        self._rest = data[start:]
        return messages

    def _event(self, body: bytes) -> E:
        try:
            name, fields = json.loads(body)
            event = self._read_event(name, fields)
        except (
            ValueError,  # not JSON, not UTF-8, or not two elements
            KeyError,
            TypeError,
            AttributeError,
            RecursionError,
            OverflowError,
            ZeroDivisionError,
        ) as error:
            raise ParseError(f"An event cannot be read: {body[:80]!r}.") from error
        if event is None:
            raise ParseError(f"An event has the unknown name {str(name)[:80]!r}.")
        return event
