"""Publishing to another RTMP server, without I/O: bytes in, events out, bytes to send.

handshake ──connect──> connected ──createStream──> ready to ask ──publish──> publishing
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.rtmp import flv
from streamsocket.rtmp.address import PushAddress
from streamsocket.rtmp.amf0 import EcmaArray, Value
from streamsocket.rtmp.chunks import (
    CONTROL_STREAM,
    ChunkReader,
    ChunkWriter,
    Message,
    MessageType,
    control,
)
from streamsocket.rtmp.commands import (
    COMMAND_CHUNK_STREAM,
    PING_REQUEST,
    PING_RESPONSE,
    Command,
    command,
    data,
    parse_command,
    parse_user_control,
    user_control,
)
from streamsocket.rtmp.handshake import Handshake

_CHUNK_SIZE = 4096
_WINDOW = 2_500_000
_MAX_MESSAGE = 64 * 1024
_MAX_REASON = 200

_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH, _UNPUBLISH, _DELETE = range(1, 8)
"""Transactions; the first is `connect` by the rules (7.2.1.1)."""

_MEDIA_CHUNK_STREAMS: dict[flv.Kind, int] = {"audio": 4, "video": 6}


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server takes the stream: media may be sent."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The server doesn't take the stream, or no longer; nothing more will come."""

    reason: str
    """What it said, in its own words."""


Event = Accepted | Rejected


class ClientProtocol:
    """The rules of one connection to a server that is published to."""

    def __init__(self, address: PushAddress) -> None:
        self.publishing = False
        self._address = address
        self._handshake = Handshake(is_server=False)
        self._reader = ChunkReader()
        self._reader.max_message = _MAX_MESSAGE
        self._writer = ChunkWriter()
        self._out = [self._handshake.begin()]
        self._stream_id = 0
        self._over = False
        self._window = _WINDOW
        self._received = 0
        self._acknowledged = 0

    def data_to_send(self) -> bytes:
        """What is to be sent now; at first, the beginning of the handshake."""
        waiting = b"".join(self._out)
        self._out.clear()
        return waiting

    def receive(self, received: bytes) -> list[Event]:
        """Take bytes from the server; returns what they mean. Then see `data_to_send`."""
        if self._over:
            return []
        events: list[Event] = []
        try:
            self._receive(received, events)
        except ParseError as error:
            events.append(Rejected(str(error)))
        if any(isinstance(event, Rejected) for event in events):
            self._over = True
            self.publishing = False
        return events

    def metadata(self, fields: Mapping[str, Value]) -> bytes:
        """onMetaData, as it is to be sent."""
        message = data("@setDataFrame", "onMetaData", EcmaArray(fields), stream_id=self._stream_id)
        return self._writer.write(message, chunk_stream=_MEDIA_CHUNK_STREAMS["audio"])

    def media(self, kind: flv.Kind, timestamp: int, body: bytes) -> bytes:
        """An audio or video message, as it is to be sent. `timestamp` is in milliseconds."""
        type_id = MessageType.AUDIO if kind == "audio" else MessageType.VIDEO
        message = Message(type_id, body, timestamp, self._stream_id)
        return self._writer.write(message, chunk_stream=_MEDIA_CHUNK_STREAMS[kind])

    def goodbye(self) -> bytes:
        """What ends the stream, as it is to be sent."""
        self._over = True
        if self.publishing:
            self.publishing = False
            self._call("FCUnpublish", _UNPUBLISH, None, self._address.key)
            self._call("deleteStream", _DELETE, None, float(self._stream_id))
        return self.data_to_send()

    def _receive(self, received: bytes, events: list[Event]) -> None:
        self._received += len(received)
        if not self._handshake.done:
            answer, received = self._handshake.receive(received)
            self._out.append(answer)
            if self._handshake.done:
                self._connect()
        for message in self._reader.feed(received):
            self._take(message, events)
        if self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._send(control(MessageType.ACKNOWLEDGEMENT, self._received & 0xFFFF_FFFF))

    def _take(self, message: Message, events: list[Event]) -> None:
        match message.type_id:
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._hear(parse_command(message), events)
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                self._window = max(int.from_bytes(message.payload[:4], "big"), _CHUNK_SIZE)
            case MessageType.SET_PEER_BANDWIDTH:
                self._send(control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, _WINDOW))
            case MessageType.USER_CONTROL:
                event, value = parse_user_control(message.payload)
                if event == PING_REQUEST:
                    self._send(user_control(PING_RESPONSE, value))
            case _:
                pass

    def _hear(self, said: Command, events: list[Event]) -> None:
        match said.name, said.transaction:
            case "_result", 1.0 if not self._stream_id:
                self._out.append(self._writer.set_chunk_size(_CHUNK_SIZE))
                key = self._address.key
                self._call("releaseStream", _RELEASE, None, key)
                self._call("FCPublish", _FC_PUBLISH, None, key)
                self._call("createStream", _CREATE, None)
            case "_result", 4.0 if not self._stream_id:
                number = said.arguments[1] if len(said.arguments) > 1 else None
                if not isinstance(number, float) or not 0 < number < 1 << 32:
                    raise ParseError("The server created a stream without a number.")
                self._stream_id = int(number)
                self._call("publish", _PUBLISH, None, self._address.key, "live")
            case "_error", 1.0 | 4.0 | 5.0:
                events.append(Rejected(_reason(said)))
            case "onStatus", _:
                status = said.fields(1)
                if status.get("level") == "error":
                    events.append(Rejected(_reason(said)))
                elif status.get("code") == "NetStream.Publish.Start" and self._stream_id:
                    self.publishing = True
                    events.append(Accepted())
            case "close", _:
                events.append(Rejected(_reason(said)))

    def _connect(self) -> None:
        fields: dict[str, Value] = {
            "app": self._address.app,
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; StreamSocket)",
            "tcUrl": self._address.tc_url,
            "fourCcList": list(flv.FOURCC_LIST),
        }
        self._call("connect", _CONNECT, fields)

    def _call(self, name: str, transaction: int, *arguments: Value) -> None:
        stream_id = self._stream_id if name == "publish" else 0
        self._send(command(name, float(transaction), *arguments, stream_id=stream_id))

    def _send(self, message: Message) -> None:
        is_command = message.type_id == MessageType.COMMAND
        chunk_stream = COMMAND_CHUNK_STREAM if is_command else CONTROL_STREAM
        self._out.append(self._writer.write(message, chunk_stream=chunk_stream))


def _reason(said: Command) -> str:
    """What the server says about its refusal, made fit to be shown."""
    status = said.fields(1) or said.fields(0)
    told = status.get("description") or status.get("code")
    text = told if isinstance(told, str) else "it gave no reason"
    return "".join(char if char.isprintable() else " " for char in text[:_MAX_REASON]).strip(" .")
