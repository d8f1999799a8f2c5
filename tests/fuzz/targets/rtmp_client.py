"""What another RTMP server answers to a push, after the handshake."""

from streamsocket.rtmp.address import parse_push_url
from streamsocket.rtmp.chunks import ChunkReader, ChunkWriter, MessageType, control
from streamsocket.rtmp.client_protocol import ClientProtocol, Rejected
from streamsocket.rtmp.commands import COMMAND_CHUNK_STREAM, command, information, user_control

_HANDSHAKE = b"\x03" + bytes(2 * 1536)


def _answers(*, good: bool) -> bytes:
    writer = ChunkWriter()
    started = information("status", "NetStream.Publish.Start", "Go on.")
    failed = information("error", "NetStream.Publish.BadName", "No.")
    messages = [
        control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, 2_500_000),
        control(MessageType.SET_PEER_BANDWIDTH, 2_500_000, 2),
        command("_result", 1.0, {"fmsVer": "x"}, {"code": "NetConnection.Connect.Success"}),
        command("_result", 4.0, None, 1.0),
        command("onStatus", 0.0, None, started if good else failed),
        user_control(6, 1),
        command("close", 0.0, None),
    ]
    return b"".join(writer.write(each, chunk_stream=COMMAND_CHUNK_STREAM) for each in messages)


SEEDS = [_answers(good=True), _answers(good=False)]


def fuzz_one(data: bytes) -> None:
    """Nothing is raised, what is said can be shown, and after a refusal nothing more comes."""
    client = ClientProtocol(parse_push_url("rtmp://host/live/x"))
    client.data_to_send()
    client.receive(_HANDSHAKE)
    reader = ChunkReader()
    list(reader.feed(client.data_to_send()[1536:]))
    events = client.receive(data[: len(data) // 2]) + client.receive(data[len(data) // 2 :])
    list(reader.feed(client.data_to_send()))
    for event in events:
        assert not isinstance(event, Rejected) or event.reason.isprintable()
    if any(isinstance(event, Rejected) for event in events):
        assert not client.publishing
        assert client.receive(data) == []
