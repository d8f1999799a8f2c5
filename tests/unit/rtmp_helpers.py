"""Publishers and hubs for the tests of RTMP."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamsocket.errors import StreamSocketError
from streamsocket.media.aac import build_audio_specific_config
from streamsocket.media.codec import H264, H265, Aac, Opus, Track
from streamsocket.rtmp import flv
from streamsocket.rtmp.amf0 import Value
from streamsocket.rtmp.chunks import ChunkReader, ChunkWriter, Message, MessageType
from streamsocket.rtmp.commands import Command, command, parse_command
from streamsocket.rtmp.records import build_record
from streamsocket.rtp.batch import Batch

# Parameter sets as x264 and x265 write them for pictures of 320 by 180.
AVC = H264(
    bytes.fromhex("6764000cacd941419f9f01100000030010000003032 0f1429960".replace(" ", "")),
    bytes.fromhex("68ebe3cb22c0"),
)
HEVC = H265(
    bytes.fromhex("40010c01ffff01600000030090000003000003003c959409"),
    bytes.fromhex(
        "42010101600000030090000003000003003ca00a080c1f3e595952930b9a020000030002000003003210"
    ),
    bytes.fromhex("4401c073c189"),
)
SOUND = Aac(build_audio_specific_config(44_100, 2))
OPUS = Opus(2)

IDR = b"\x65\x88\x84\x00"
DELTA = b"\x41\x9a\x00\x01"


def picture(*units: bytes, keyframe: bool = False, composition_ms: int = 0) -> bytes:
    """A video message of H.264."""
    data = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    return flv.video_frame("h264", data, keyframe=keyframe, composition_ms=composition_ms)


def video_header(codec: H264 | H265 = AVC) -> bytes:
    """The message that begins a video track."""
    return flv.video_configuration(codec.name, build_record(codec))


def audio_header(codec: Aac | Opus = SOUND) -> bytes:
    """The message that begins an audio track."""
    return flv.audio_configuration(codec.name, build_record(codec))


@dataclass
class Published:
    """What somebody published."""

    name: str
    tracks: list[Track]
    on_replaced: Callable[[], None] | None = None
    batches: list[list[Batch]] = field(default_factory=list)
    flushes: int = 0
    jumps: int = 0
    closed: bool = False

    def write(self, track: int, batch: Batch) -> None:
        assert not self.closed
        self.batches[track].append(batch)

    def note_jumps(self, count: int) -> None:
        self.jumps += count

    def flush(self) -> None:
        self.flushes += 1

    def close(self) -> None:
        self.closed = True


class FakeHub:
    """Collects what is published."""

    def __init__(self) -> None:
        self.published: list[Published] = []
        self.taken: StreamSocketError | None = None
        """What `publish` raises, if anything."""

    def publish(
        self,
        name: str,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
        *,
        on_replaced: Callable[[], None] | None = None,
    ) -> Published:
        if self.taken:
            raise self.taken
        published = Published(name, list(tracks), on_replaced, [[] for _ in tracks])
        self.published.append(published)
        return published


class Encoder:
    """What an encoder sends and hears, without the handshake's randomness."""

    def __init__(self) -> None:
        self._writer = ChunkWriter()
        self._reader = ChunkReader()
        self._to_skip = 1 + 2 * 1536

    @staticmethod
    def handshake() -> bytes:
        return b"\x03" + bytes(2 * 1536)

    def message(self, message: Message) -> bytes:
        return self._writer.write(message, chunk_stream=3)

    def call(self, name: str, transaction: float, *arguments: Value) -> bytes:
        return self.message(command(name, transaction, *arguments))

    def video(self, timestamp: int, body: bytes) -> bytes:
        return self.message(Message(MessageType.VIDEO, body, timestamp, 1))

    def audio(self, timestamp: int, body: bytes) -> bytes:
        return self.message(Message(MessageType.AUDIO, body, timestamp, 1))

    def beginning(self, app: str = "live", key: str = "lobby") -> bytes:
        """Everything up to `publish`, as FFmpeg sends it."""
        return b"".join(
            [
                self.handshake(),
                self.call("connect", 1.0, {"app": app, "tcUrl": f"rtmp://h/{app}"}),
                self.call("releaseStream", 2.0, None, key),
                self.call("FCPublish", 3.0, None, key),
                self.call("createStream", 4.0, None),
                self.call("publish", 5.0, None, key, "live"),
            ]
        )

    def heard(self, data: bytes) -> list[Command]:
        """The commands in what the server sent."""
        skipped, data = data[: self._to_skip], data[self._to_skip :]
        self._to_skip -= len(skipped)
        messages = list(self._reader.feed(data))
        return [parse_command(each) for each in messages if each.type_id == MessageType.COMMAND]


def codes(commands: Sequence[Command]) -> list[str]:
    """Their names, and of statuses their codes."""
    return [str(each.fields(1).get("code", each.name)) for each in commands]
