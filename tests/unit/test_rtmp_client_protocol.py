"""Publishing to another server, without a network."""

from __future__ import annotations

import pytest
from rtmp_helpers import Encoder

from streamsocket.rtmp import flv
from streamsocket.rtmp.address import PublishAddress, parse_push_url
from streamsocket.rtmp.amf0 import Value
from streamsocket.rtmp.chunks import ChunkWriter, Message, MessageType
from streamsocket.rtmp.client_protocol import Accepted, ClientProtocol, Event, Rejected
from streamsocket.rtmp.commands import PING_REQUEST, PING_RESPONSE, command, user_control
from streamsocket.rtmp.server_protocol import Event as ServerEvent
from streamsocket.rtmp.server_protocol import (
    MediaReceived,
    MetadataReceived,
    PublishRequested,
    ServerProtocol,
    Unpublished,
)


class Server:
    """The other end: a real server's rules, or messages that the test makes up."""

    def __init__(self, url: str = "rtmp://eva:secret@host/live/lobby") -> None:
        self.client = ClientProtocol(parse_push_url(url))
        self.server = ServerProtocol()
        self._writer = ChunkWriter()

    def talk(self) -> tuple[list[Event], list[ServerEvent]]:
        """Carry everything to and fro until nobody says any more."""
        heard: list[Event] = []
        asked: list[ServerEvent] = []
        while data := self.client.data_to_send():
            asked += self.server.receive(data)
            heard += self.client.receive(self.server.data_to_send())
        return heard, asked

    def say(self, name: str, transaction: float, *arguments: Value) -> list[Event]:
        message = command(name, transaction, *arguments)
        return self.client.receive(self._writer.write(message, chunk_stream=3))

    def shake_hands(self) -> None:
        self.client.data_to_send()
        self.client.receive(Encoder.handshake())
        self.client.data_to_send()


def test_a_whole_session_against_our_own_server() -> None:
    both = Server()
    heard, asked = both.talk()
    assert asked == [PublishRequested(PublishAddress("live/lobby", "eva", "secret"))]
    both.server.publish_started()
    assert both.client.receive(both.server.data_to_send()) == [Accepted()]

    sent = both.client.metadata({"videocodecid": 7.0})
    sent += both.client.media("video", 0xFFFFFF, b"\x17" + bytes(9000))
    sent += both.client.media("audio", 21, b"\xaf\x01")
    assert both.server.receive(sent) == [
        MetadataReceived(flv.Announced(True, False)),
        MediaReceived("video", 0xFFFFFF, b"\x17" + bytes(9000)),
        MediaReceived("audio", 21, b"\xaf\x01"),
    ]
    assert both.server.receive(both.client.goodbye()) == [Unpublished()]
    assert heard == []


def test_a_refusal_in_our_servers_words() -> None:
    both = Server()
    both.talk()
    both.server.publish_refused("Somebody publishes 'live/lobby' already.")
    assert both.client.receive(both.server.data_to_send()) == [
        Rejected("Somebody publishes 'live/lobby' already")
    ]
    assert both.client.goodbye() == b""


@pytest.mark.parametrize(
    ("name", "transaction"), [("_error", 1.0), ("_error", 4.0), ("onStatus", 0.0), ("close", 0.0)]
)
def test_refusals_at_every_step(name: str, transaction: float) -> None:
    other = Server()
    other.shake_hands()
    info: Value = {"level": "error", "code": "X", "description": "No\x00 room."}
    assert other.say(name, transaction, None, info) == [Rejected("No  room")]
    assert other.say("_result", 1.0, None, None) == []


def test_formalities_may_be_refused() -> None:
    other = Server()
    other.shake_hands()
    assert other.say("_error", 2.0, None, {"code": "NetConnection.Call.Failed"}) == []
    assert other.say("_error", 3.0, None, None) == []


def test_a_stream_without_a_number_is_refused() -> None:
    other = Server()
    other.shake_hands()
    other.say("_result", 1.0, None, None)
    for _ in range(2):
        (event,) = other.say("_result", 4.0, None, "one") or [Rejected("")]
        assert isinstance(event, Rejected)


@pytest.mark.parametrize("answer", [b"HTTP/1.1 400 Bad Request", Encoder.handshake() + b"\xc3\xc3"])
def test_another_protocol_is_a_refusal(answer: bytes) -> None:
    client = ClientProtocol(parse_push_url("rtmp://host/live/x"))
    (event,) = client.receive(answer)
    assert isinstance(event, Rejected)


def test_pings_are_answered_and_bytes_acknowledged() -> None:
    other = Server()
    other.shake_hands()
    writer = ChunkWriter()
    other.client.receive(writer.write(user_control(PING_REQUEST, 7), chunk_stream=2))
    assert other.client.data_to_send()[-6:] == bytes((0, PING_RESPONSE, 0, 0, 0, 7))
    window = Message(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, (5000).to_bytes(4, "big"))
    other.client.receive(writer.write(window, chunk_stream=2))
    other.client.receive(writer.write(Message(99, bytes(6000)), chunk_stream=3))
    assert other.client.data_to_send()[7] == MessageType.ACKNOWLEDGEMENT
