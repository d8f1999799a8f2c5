"""AMF0: the values in RTMP's commands (Adobe, Action Message Format – AMF 0, 2007)."""

from __future__ import annotations

import enum
import struct
from collections.abc import Sequence

from streamsocket.errors import ParseError

MAX_BYTES = 64 * 1024
MAX_DEPTH = 8
MAX_VALUES = 2000
"""How many values a message may have, those within others counted."""

Value = float | bool | str | None | list["Value"] | dict[str, "Value"]


class EcmaArray(dict[str, Value]):
    """An associative array (2.10): like an object, and what onMetaData is written as."""


class _Type(enum.IntEnum):
    """Type markers (2.1)."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML_DOCUMENT = 0x0F
    TYPED_OBJECT = 0x10


_DOUBLE = struct.Struct("!d")


def decode(data: bytes) -> list[Value]:
    """All values of a message, one behind the other.

    Dates become numbers (milliseconds since the epoch), typed objects plain ones, `undefined`
    None. Raises ParseError, also for what is larger or deeper than any real command.
    """
    if len(data) > MAX_BYTES:
        raise ParseError(f"{len(data)} bytes of AMF are more than any command has.")
    reader = _Reader(data)
    values = []
    while not reader.at_end:
        values.append(reader.value(0))
    return values


class _Reader:
    """Reads values from the front of bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0
        self._values = 0

    @property
    def at_end(self) -> bool:
        return self._position >= len(self._data)

    def value(self, depth: int) -> Value:
        self._values += 1
        if self._values > MAX_VALUES or depth > MAX_DEPTH:
            raise ParseError("An AMF message has more values within values than any real one.")
        marker = self._take(1)[0]
        match marker:
            case _Type.NUMBER:
                return self._number()
            case _Type.BOOLEAN:
                return self._take(1) != b"\x00"
            case _Type.STRING:
                return self._string(2)
            case _Type.OBJECT:
                return self._members({}, depth)
            case _Type.NULL | _Type.UNDEFINED | _Type.UNSUPPORTED:
                return None
            case _Type.ECMA_ARRAY:
                self._take(4)  # the number of members, which writers get wrong
                return self._members(EcmaArray(), depth)
            case _Type.STRICT_ARRAY:
                # The announced number is believed one value at a time.
                return [self.value(depth + 1) for _ in range(self._size(4))]
            case _Type.DATE:
                milliseconds = self._number()
                self._take(2)  # the time zone, which is reserved
                return milliseconds
            case _Type.LONG_STRING | _Type.XML_DOCUMENT:
                return self._string(4)
            case _Type.TYPED_OBJECT:
                self._string(2)  # the class's name
                return self._members({}, depth)
        raise ParseError(f"AMF0 values of type {marker} are not understood.")

    def _members(self, members: dict[str, Value], depth: int) -> dict[str, Value]:
        while True:
            name = self._string(2)
            if not name and not self.at_end and self._data[self._position] == _Type.OBJECT_END:
                self._position += 1
                return members
            members[name] = self.value(depth + 1)

    def _number(self) -> float:
        return float(_DOUBLE.unpack(self._take(8))[0])

    def _string(self, length_size: int) -> str:
        # Encoders put titles in whatever their system's encoding is: no reason to be turned away.
        return self._take(self._size(length_size)).decode("utf-8", "replace")

    def _size(self, length_size: int) -> int:
        return int.from_bytes(self._take(length_size), "big")

    def _take(self, size: int) -> bytes:
        start = self._position
        self._position = start + size
        if self._position > len(self._data):
            raise ParseError("An AMF message ends in the middle of a value.")
        return self._data[start : self._position]


def encode(*values: Value) -> bytes:
    """The values one behind the other. An `EcmaArray` is written as one, a dict as an object."""
    return b"".join(_encoded(value) for value in values)


def _encoded(value: Value | Sequence[Value]) -> bytes:
    match value:
        case None:
            return bytes((_Type.NULL,))
        case bool():
            return bytes((_Type.BOOLEAN, value))
        case int() | float():
            return bytes((_Type.NUMBER,)) + _DOUBLE.pack(value)
        case str():
            text = value.encode()
            if len(text) > 0xFFFF:
                return bytes((_Type.LONG_STRING,)) + len(text).to_bytes(4, "big") + text
            return bytes((_Type.STRING,)) + _sized(text)
        case EcmaArray():
            size = len(value).to_bytes(4, "big")
            return bytes((_Type.ECMA_ARRAY,)) + size + _encoded_members(value)
        case dict():
            return bytes((_Type.OBJECT,)) + _encoded_members(value)
    size = len(value).to_bytes(4, "big")
    return bytes((_Type.STRICT_ARRAY,)) + size + b"".join(_encoded(each) for each in value)


def _encoded_members(members: dict[str, Value]) -> bytes:
    parts = [_sized(name.encode()) + _encoded(value) for name, value in members.items()]
    return b"".join(parts) + _sized(b"") + bytes((_Type.OBJECT_END,))


def _sized(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text
