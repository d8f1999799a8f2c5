"""What an encoder sends the RTMP server after the handshake: commands, and media."""

from streamsocket.rtmp import flv
from streamsocket.rtmp.amf0 import EcmaArray
from streamsocket.rtmp.chunks import ChunkReader, ChunkWriter, Message, MessageType, control
from streamsocket.rtmp.commands import COMMAND_CHUNK_STREAM, command, data, user_control
from streamsocket.rtmp.server_protocol import PublishRequested, Refused, ServerProtocol, State

_HANDSHAKE = b"\x03" + bytes(2 * 1536)
_HANDSHAKE_ANSWER = 1 + 2 * 1536


def _written(*messages: Message) -> bytes:
    writer = ChunkWriter()
    return b"".join(writer.write(each, chunk_stream=COMMAND_CHUNK_STREAM) for each in messages)


SEEDS = [
    _written(
        command("connect", 1.0, {"app": "live", "tcUrl": "rtmp://h/live?user=a&pass=b"}),
        control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, 5000),
        command("releaseStream", 2.0, None, "lobby"),
        command("createStream", 3.0, None),
        command("publish", 4.0, None, "lobby?user=eva&pass=secret", "live"),
        data("@setDataFrame", "onMetaData", EcmaArray(videocodecid=7.0, framerate=25.0)),
        Message(MessageType.VIDEO, flv.video_configuration("h264", b"\x01\x64\x00\x0c"), 0, 1),
        Message(MessageType.AUDIO, flv.audio_frame("aac", b"\x21\x10"), 0xFFFFFF, 1),
        user_control(6, 1),
        command("deleteStream", 5.0, None, 1.0),
        command("publish", 6.0, None, "again", "live"),
    ),
    _written(
        command("connect", 1.0, {"app": "live"}),
        command("play", 2.0, None, "lobby"),
        control(MessageType.ABORT, 3),
        control(MessageType.SET_CHUNK_SIZE, 4096),
        command("publish", 3.0, None, "a b"),
    ),
]


def fuzz_one(data: bytes) -> None:
    """Nothing is raised, and whatever is answered can be read."""
    protocol = ServerProtocol()
    protocol.receive(_HANDSHAKE)
    reader = ChunkReader()
    list(reader.feed(protocol.data_to_send()[_HANDSHAKE_ANSWER:]))
    halves = (data[: len(data) // 2], data[len(data) // 2 :])
    for piece in halves:
        events = protocol.receive(piece)
        while protocol.state is State.ASKED:
            assert isinstance(events[-1], PublishRequested)
            protocol.publish_started()
            events = protocol.receive(b"")
        for event in events:
            assert not isinstance(event, Refused) or not event.close or event is events[-1]
        list(reader.feed(protocol.data_to_send()))
