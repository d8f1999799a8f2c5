"""One publisher's RTMP connection, as the server sees it: bytes in, events out, answers to send.

    handshake ──> connected ──publish──> asked ──publish_started──> publishing
                      ^                    │                            │
                      └───publish_refused──┴───deleteStream, FCUnpublish┘

The commands are those of Adobe's RTMP 1.0, 7.2, and what encoders add to them: releaseStream,
FCPublish, FCUnpublish, _checkbw. Nobody can watch this way.
"""

from __future__ import annotations

import enum
import itertools
from dataclasses import dataclass

from streamsocket.errors import ParseError
from streamsocket.rtmp import flv
from streamsocket.rtmp.address import PublishAddress, parse_publish_address
from streamsocket.rtmp.amf0 import Value
from streamsocket.rtmp.chunks import (
    CONTROL_STREAM,
    MAX_MESSAGE,
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
    STREAM_BEGIN,
    Command,
    command,
    information,
    parse_command,
    parse_user_control,
    parse_values,
    user_control,
)
from streamsocket.rtmp.handshake import Handshake

_WINDOW = 2_500_000
"""After so many bytes each side tells the other that they came, if nothing else is agreed."""
_CHUNK_SIZE = 4096
_DYNAMIC = 2
_STREAM_ID = 1
_MAX_COMMAND = 64 * 1024
"""The longest message before somebody may publish, in bytes."""

# Commands that encoders send and whose answer they may wait for, although it says nothing.
_FORMALITIES = {"releaseStream", "FCPublish", "_checkbw", "getStreamLength", "FCSubscribe"}


@dataclass(frozen=True, slots=True)
class PublishRequested:
    """Answer with `publish_started` or `publish_refused`."""

    address: PublishAddress


@dataclass(frozen=True, slots=True)
class MediaReceived:
    """A message of the stream that is published."""

    kind: flv.Kind
    timestamp: int
    """Milliseconds, 32 bits."""
    body: bytes


@dataclass(frozen=True, slots=True)
class MetadataReceived:
    """What onMetaData announces."""

    announced: flv.Announced


@dataclass(frozen=True, slots=True)
class Unpublished:
    """The publisher has ended its stream; it may begin another."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The protocol has refused something by itself, under a word to count it by."""

    reason: str
    close: bool = False
    """Nothing more can be understood of this connection: send what is to be sent, then close."""


Event = PublishRequested | MediaReceived | MetadataReceived | Unpublished | Refused


class State(enum.Enum):
    """Where a connection is."""

    HANDSHAKE = enum.auto()
    NEW = enum.auto()
    CONNECTED = enum.auto()
    ASKED = enum.auto()
    PUBLISHING = enum.auto()
    OVER = enum.auto()


class ServerProtocol:
    """The rules of one connection. It reads no clock and owns no socket."""

    def __init__(self) -> None:
        self.state = State.HANDSHAKE
        self._handshake = Handshake(is_server=True)
        self._reader = ChunkReader()
        self._reader.max_message = _MAX_COMMAND
        self._writer = ChunkWriter()
        self._out: list[bytes] = []
        self._app = self._tc_url = ""
        self._waiting: list[Message] = []
        """What came while it is asked whether it may publish."""
        self._window = _WINDOW
        self._received = 0
        self._acknowledged = 0

    def data_to_send(self) -> bytes:
        """What is to be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes from the publisher; returns what they mean. Then see `data_to_send`.

        While a `PublishRequested` waits for its answer, give it no more. Afterwards give it at
        least nothing: some publishers send on without waiting.
        """
        if self.state is State.OVER:
            return []
        events: list[Event] = []
        try:
            self._receive(data, events)
        except ParseError:
            self.state = State.OVER
            events.append(Refused("malformed", close=True))
        return events

    def publish_started(self) -> None:
        """The publisher may send."""
        self.state = State.PUBLISHING
        self._send(user_control(STREAM_BEGIN, _STREAM_ID))
        self._status("status", "NetStream.Publish.Start", "Publishing has begun.")

    def publish_refused(self, sentence: str) -> None:
        """The publisher may not send, or not go on, and why."""
        self.state = State.CONNECTED
        self._reader.max_message = _MAX_COMMAND
        self._status("error", "NetStream.Publish.BadName", sentence)

    def _receive(self, data: bytes, events: list[Event]) -> None:
        self._received += len(data)
        if not self._handshake.done:
            answer, data = self._handshake.receive(data)
            self._out.append(answer)
            if self._handshake.done:
                self.state = State.NEW
        waiting, self._waiting = self._waiting, []
        for message in itertools.chain(waiting, self._reader.feed(data)):
            if self.state is State.ASKED:
                self._waiting.append(message)
            else:
                self._take(message, events)
        if self._received - self._acknowledged >= self._window:
            self._acknowledged = self._received
            self._send(control(MessageType.ACKNOWLEDGEMENT, self._received & 0xFFFF_FFFF))

    def _take(self, message: Message, events: list[Event]) -> None:
        match message.type_id:
            case MessageType.AUDIO | MessageType.VIDEO:
                if self.state is State.PUBLISHING:
                    kind: flv.Kind = "audio" if message.type_id == MessageType.AUDIO else "video"
                    events.append(MediaReceived(kind, message.timestamp, message.payload))
            case MessageType.DATA | MessageType.DATA_AMF3:
                if self.state is State.PUBLISHING:
                    self._take_metadata(message, events)
            case MessageType.COMMAND | MessageType.COMMAND_AMF3:
                self._obey(parse_command(message), events)
            case MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                size = int.from_bytes(message.payload[:4], "big")
                # A window of one byte would have every byte answered with sixteen.
                self._window = max(size, _CHUNK_SIZE)
            case MessageType.USER_CONTROL:
                event, value = parse_user_control(message.payload)
                if event == PING_REQUEST:
                    self._send(user_control(PING_RESPONSE, value))
            case _:
                pass  # acknowledgements, bandwidth, shared objects: nothing hangs on them

    def _take_metadata(self, message: Message, events: list[Event]) -> None:
        try:
            values = parse_values(message)
        except ParseError:
            return  # captions and cues in forms of their own are no reason to end a stream
        if announced := flv.parse_metadata(values):
            events.append(MetadataReceived(announced))

    def _obey(self, asked: Command, events: list[Event]) -> None:
        if asked.name == "connect":
            self._connect(asked)
        elif self.state is State.NEW:
            raise ParseError("A command comes before the connection is made.")
        elif asked.name == "createStream":
            self._result(asked, None, float(_STREAM_ID))
        elif asked.name == "publish":
            self._publish(asked, events)
        elif asked.name in ("play", "play2"):
            self._refuse_to_play(asked, events)
        elif asked.name in ("deleteStream", "closeStream", "FCUnpublish"):
            self._end_stream(events)
            if asked.name == "FCUnpublish":
                self._result(asked, None)
        elif asked.name in _FORMALITIES:
            self._result(asked, None)
        elif asked.transaction:
            failure = information(
                "error", "NetConnection.Call.Failed", "This command is not understood."
            )
            self._send(command("_error", asked.transaction, None, failure))

    def _connect(self, asked: Command) -> None:
        if self.state is not State.NEW:
            raise ParseError("A connection is made twice.")
        self.state = State.CONNECTED
        fields = asked.fields(0)
        app, tc_url = fields.get("app"), fields.get("tcUrl")
        self._app = app if isinstance(app, str) else ""
        self._tc_url = tc_url if isinstance(tc_url, str) else ""
        self._send(control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, _WINDOW))
        self._send(control(MessageType.SET_PEER_BANDWIDTH, _WINDOW, _DYNAMIC))
        self._out.append(self._writer.set_chunk_size(_CHUNK_SIZE))
        properties: dict[str, Value] = {"fmsVer": "FMS/3,0,1,123", "capabilities": 31.0}
        success: dict[str, Value] = {
            **information("status", "NetConnection.Connect.Success", "Connected."),
            "objectEncoding": 0.0,
            "fourCcList": list(flv.FOURCC_LIST),
        }
        self._result(asked, properties, success)

    def _publish(self, asked: Command, events: list[Event]) -> None:
        if self.state is not State.CONNECTED:
            self._status(
                "error", "NetStream.Publish.BadName", "This connection publishes a stream already."
            )
            events.append(Refused("not_possible"))
            return
        try:
            address = parse_publish_address(self._app, asked.text(1), self._tc_url)
        except ParseError as error:
            self.publish_refused(str(error))
            events.append(Refused("bad_name"))
            return
        self.state = State.ASKED
        self._reader.max_message = MAX_MESSAGE
        events.append(PublishRequested(address))

    def _refuse_to_play(self, asked: Command, events: list[Event]) -> None:
        try:
            name = parse_publish_address(self._app, asked.text(1)).name
        except ParseError:
            name = "…"
        sentence = f"Nobody can watch over RTMP here: watch rtsp://…/{name} instead."
        self._status("error", "NetStream.Play.StreamNotFound", sentence)
        events.append(Refused("play"))

    def _end_stream(self, events: list[Event]) -> None:
        if self.state is State.PUBLISHING:
            self.state = State.CONNECTED
            self._reader.max_message = _MAX_COMMAND
            self._status("status", "NetStream.Unpublish.Success", "Publishing has ended.")
            events.append(Unpublished())

    def _status(self, level: str, code: str, description: str) -> None:
        told = information(level, code, description)
        self._send(command("onStatus", 0.0, None, told, stream_id=_STREAM_ID))

    def _result(self, asked: Command, properties: Value, *values: Value) -> None:
        if asked.transaction:
            self._send(command("_result", asked.transaction, properties, *values))

    def _send(self, message: Message) -> None:
        is_command = message.type_id == MessageType.COMMAND
        chunk_stream = COMMAND_CHUNK_STREAM if is_command else CONTROL_STREAM
        self._out.append(self._writer.write(message, chunk_stream=chunk_stream))
