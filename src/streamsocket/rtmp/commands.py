"""What RTMP's two sides say to each other in commands: names, results, statuses (7.2)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.rtmp import amf0
from streamsocket.rtmp.amf0 import Value
from streamsocket.rtmp.chunks import Message, MessageType

COMMAND_CHUNK_STREAM = 3

# User control events (7.1.7).
STREAM_BEGIN = 0
PING_REQUEST = 6
PING_RESPONSE = 7


@dataclass(frozen=True, slots=True)
class Command:
    """A command message (7.2)."""

    name: str
    transaction: float
    arguments: tuple[Value, ...]
    """The command object first, which is None in most commands."""

    def text(self, index: int) -> str:
        """The argument of that index, if it is a string; an empty one if not."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, str) else ""

    def fields(self, index: int) -> dict[str, Value]:
        """The argument of that index, if it is an object; an empty one if not."""
        value = self.arguments[index] if index < len(self.arguments) else None
        return value if isinstance(value, dict) else {}


def parse_command(message: Message) -> Command:
    """Read a command message. Raises ParseError."""
    name, transaction, *arguments = (*parse_values(message), None, None)
    if not isinstance(name, str):
        raise ParseError("An RTMP command has no name.")
    number = transaction if isinstance(transaction, float) else 0.0
    return Command(name, number, tuple(arguments))


def parse_values(message: Message) -> list[Value]:
    """The values of a command or data message. Raises ParseError."""
    payload = message.payload
    if message.type_id in (MessageType.COMMAND_AMF3, MessageType.DATA_AMF3):
        # What comes as AMF3 is AMF0 behind a byte that says so, as long as no value switches.
        payload = payload[1:]
    return amf0.decode(payload)


def command(name: str, transaction: float, *arguments: Value, stream_id: int = 0) -> Message:
    """A command message; the command object is the first of the arguments."""
    payload = amf0.encode(name, transaction, *arguments)
    return Message(MessageType.COMMAND, payload, stream_id=stream_id)


def data(*values: Value, stream_id: int = 0) -> Message:
    """A data message (7.1.2)."""
    return Message(MessageType.DATA, amf0.encode(*values), stream_id=stream_id)


def information(level: str, code: str, description: str) -> dict[str, Value]:
    """The object that tells how a command went (7.2.2)."""
    return {"level": level, "code": code, "description": description}


def user_control(event: int, value: int) -> Message:
    """A user control message about a stream, or a ping's time (7.1.7)."""
    return Message(MessageType.USER_CONTROL, struct.pack("!HI", event, value))


def parse_user_control(payload: bytes) -> tuple[int, int]:
    """Event and value. Raises ParseError."""
    if len(payload) < 6:
        raise ParseError("A user control message of RTMP ends too early.")
    event, value = struct.unpack_from("!HI", payload)
    return event, value
