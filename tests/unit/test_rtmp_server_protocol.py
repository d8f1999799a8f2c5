"""A publisher's connection, as the server sees it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rtmp_helpers import Encoder, codes

from streamsocket.rtmp.address import PublishAddress
from streamsocket.rtmp.amf0 import EcmaArray, encode
from streamsocket.rtmp.chunks import ChunkReader, Message, MessageType, control
from streamsocket.rtmp.commands import PING_REQUEST, data, user_control
from streamsocket.rtmp.flv import Announced
from streamsocket.rtmp.server_protocol import (
    Event,
    MediaReceived,
    MetadataReceived,
    PublishRequested,
    Refused,
    ServerProtocol,
    State,
    Unpublished,
)


@pytest.fixture
def encoder() -> Encoder:
    return Encoder()


@pytest.fixture
def protocol() -> ServerProtocol:
    return ServerProtocol()


def _publish(protocol: ServerProtocol, encoder: Encoder) -> None:
    assert protocol.receive(encoder.beginning()) == [PublishRequested(PublishAddress("live/lobby"))]
    protocol.publish_started()
    encoder.heard(protocol.data_to_send())


def test_ffmpegs_way_in(protocol: ServerProtocol, encoder: Encoder) -> None:
    events = protocol.receive(encoder.beginning())
    assert events == [PublishRequested(PublishAddress("live/lobby"))]
    heard = encoder.heard(protocol.data_to_send())
    assert codes(heard) == [
        *("NetConnection.Connect.Success", "_result", "_result", "_result"),
    ]
    assert [each.transaction for each in heard] == [1.0, 2.0, 3.0, 4.0]
    assert heard[0].fields(1)["fourCcList"] == ["avc1", "hvc1", "Opus", "mp4a"]
    assert heard[3].arguments[1] == 1.0  # the stream
    protocol.publish_started()
    (status,) = encoder.heard(protocol.data_to_send())
    assert status.fields(1)["code"] == "NetStream.Publish.Start"
    assert status.fields(1)["level"] == "status"


def test_media_and_metadata(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    fields = EcmaArray(videocodecid=7.0, audiocodecid=10.0)
    sent = encoder.message(data("@setDataFrame", "onMetaData", fields))
    sent += encoder.video(40, b"picture") + encoder.audio(41, b"sound")
    assert protocol.receive(sent) == [
        MetadataReceived(Announced(True, True)),
        MediaReceived("video", 40, b"picture"),
        MediaReceived("audio", 41, b"sound"),
    ]


def test_amf3_messages_with_amf0_in_them(protocol: ServerProtocol, encoder: Encoder) -> None:
    protocol.receive(encoder.handshake())
    payload = b"\x00" + encode("connect", 1.0, {"app": "live"})
    protocol.receive(encoder.message(Message(MessageType.COMMAND_AMF3, payload)))
    assert codes(encoder.heard(protocol.data_to_send())) == ["NetConnection.Connect.Success"]


def test_what_is_sent_without_waiting_is_kept_until_the_answer(
    protocol: ServerProtocol, encoder: Encoder
) -> None:
    large = bytes(200_000)
    sent = encoder.beginning() + encoder.video(0, large) + encoder.audio(0, b"sound")
    assert protocol.receive(sent) == [PublishRequested(PublishAddress("live/lobby"))]
    protocol.publish_started()
    assert protocol.receive(b"") == [
        MediaReceived("video", 0, large),
        MediaReceived("audio", 0, b"sound"),
    ]


@given(st.lists(st.integers(1, 400), min_size=1))
def test_a_session_in_any_pieces_means_the_same(sizes: list[int]) -> None:
    encoder, protocol = Encoder(), ServerProtocol()
    sent = (
        encoder.beginning() + encoder.video(0, bytes(300)) + encoder.call("deleteStream", 6, None)
    )
    events: list[Event] = []
    position = turn = 0
    while position < len(sent):
        size = sizes[turn % len(sizes)]
        events += protocol.receive(sent[position : position + size])
        if protocol.state is State.ASKED:
            protocol.publish_started()
            events += protocol.receive(b"")
        position += size
        turn += 1
    assert events == [
        PublishRequested(PublishAddress("live/lobby")),
        MediaReceived("video", 0, bytes(300)),
        Unpublished(),
    ]


def test_one_stream_after_another(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    ended = encoder.call("FCUnpublish", 6.0, None, "lobby") + encoder.call(
        "deleteStream", 7.0, None
    )
    assert protocol.receive(ended) == [Unpublished()]
    assert codes(encoder.heard(protocol.data_to_send())) == [
        "NetStream.Unpublish.Success",
        "_result",
    ]
    again = encoder.call("createStream", 8.0, None)
    again += encoder.call("publish", 9.0, None, "other")
    assert protocol.receive(again) == [PublishRequested(PublishAddress("live/other"))]


def test_a_refusal_is_told(protocol: ServerProtocol, encoder: Encoder) -> None:
    protocol.receive(encoder.beginning())
    encoder.heard(protocol.data_to_send())
    protocol.publish_refused("Somebody publishes 'live/lobby' already.")
    (status,) = encoder.heard(protocol.data_to_send())
    assert status.fields(1) == {
        "level": "error",
        "code": "NetStream.Publish.BadName",
        "description": "Somebody publishes 'live/lobby' already.",
    }
    assert protocol.receive(encoder.video(0, b"ignored")) == []


def test_a_name_that_cannot_be(protocol: ServerProtocol, encoder: Encoder) -> None:
    assert protocol.receive(encoder.beginning(key="a b")) == [Refused("bad_name")]
    assert codes(encoder.heard(protocol.data_to_send()))[-1] == "NetStream.Publish.BadName"


def test_publishing_twice_at_once_is_refused(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    assert protocol.receive(encoder.call("publish", 6.0, None, "b")) == [Refused("not_possible")]
    assert protocol.state is State.PUBLISHING


def test_who_wants_to_watch_is_told_where(protocol: ServerProtocol, encoder: Encoder) -> None:
    sent = encoder.handshake() + encoder.call("connect", 1.0, {"app": "live"})
    sent += encoder.call("createStream", 2.0, None)
    sent += encoder.call("getStreamLength", 3.0, None, "lobby")
    assert protocol.receive(sent + encoder.call("play", 0.0, None, "lobby")) == [Refused("play")]
    status = encoder.heard(protocol.data_to_send())[-1].fields(1)
    assert status["level"] == "error"
    assert status["code"] == "NetStream.Play.StreamNotFound"
    assert "rtsp://…/live/lobby" in str(status["description"])


def test_an_unknown_command_gets_an_error_if_an_answer_is_waited_for(
    protocol: ServerProtocol, encoder: Encoder
) -> None:
    _publish(protocol, encoder)
    protocol.receive(encoder.call("tellJoke", 6.0, None) + encoder.call("shrug", 0.0, None))
    heard = encoder.heard(protocol.data_to_send())
    assert [(each.name, each.transaction) for each in heard] == [("_error", 6.0)]


def test_checkbw_is_answered(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    protocol.receive(encoder.call("_checkbw", 6.0, None))
    assert codes(encoder.heard(protocol.data_to_send())) == ["_result"]


def test_a_ping_is_answered(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    protocol.receive(encoder.message(user_control(PING_REQUEST, 12345)))
    assert protocol.data_to_send()[-6:] == bytes.fromhex("0007 00003039")


def test_bytes_are_acknowledged_by_the_agreed_window(
    protocol: ServerProtocol, encoder: Encoder
) -> None:
    _publish(protocol, encoder)
    protocol.receive(encoder.message(control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, 10_000)))
    for _ in range(8):
        protocol.receive(encoder.video(0, bytes(3000)))
    messages = list(ChunkReader().feed(protocol.data_to_send()))
    assert [message.type_id for message in messages] == [MessageType.ACKNOWLEDGEMENT] * 2


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="HTTP"),
        pytest.param(Encoder.handshake() + b"\xc3" * 9, id="no message"),
        pytest.param(
            Encoder.handshake() + Encoder().call("publish", 1.0, None, "a"), id="too soon"
        ),
        pytest.param(
            Encoder.handshake()
            + Encoder().call("connect", 1.0, {"app": "a"})
            + Encoder().call("connect", 1.0, {"app": "b"}),
            id="connected twice",
        ),
        pytest.param(
            Encoder.handshake() + Encoder().message(Message(20, b"\x0a" * 50)), id="AMF bomb"
        ),
        pytest.param(Encoder.handshake() + Encoder().message(Message(20, b"\x05")), id="no name"),
        pytest.param(Encoder.handshake() + Encoder().message(Message(20, b"")), id="no command"),
        pytest.param(Encoder.handshake() + Encoder().message(Message(4, b"\x00")), id="no event"),
    ],
)
def test_what_makes_no_sense_ends_the_connection(protocol: ServerProtocol, sent: bytes) -> None:
    assert protocol.receive(sent) == [Refused("malformed", close=True)]
    assert protocol.receive(sent) == []


def test_before_publishing_messages_are_small(protocol: ServerProtocol, encoder: Encoder) -> None:
    protocol.receive(encoder.handshake() + encoder.call("connect", 1.0, {"app": "live"}))
    assert protocol.receive(encoder.video(0, bytes(70_000))) == [Refused("malformed", close=True)]


def test_odd_data_messages_are_no_reason_to_end(protocol: ServerProtocol, encoder: Encoder) -> None:
    _publish(protocol, encoder)
    sent = encoder.message(Message(MessageType.DATA, b"\x11\xff"))
    sent += encoder.message(data("onTextData", {"text": "hi"}))
    assert protocol.receive(sent) == []
    assert protocol.state is State.PUBLISHING
