"""The bodies of RTMP's audio and video messages, which are those of FLV's tags.

Adobe's Flash Video File Format 10.1, E.4.2 and E.4.3, and Enhanced RTMP v2 (Veovera), whose
four-character codes name what came later: H.265 and Opus.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streamsocket.errors import ParseError
from streamsocket.media.codec import Kind as Kind
from streamsocket.rtmp.amf0 import Value

FOURCC_LIST = ("avc1", "hvc1", "Opus", "mp4a")
"""What is said to be understood in the answer to `connect`."""

_EX_HEADER = 0x80
_EX_AUDIO = 9
_COMMAND_FRAME = 5
_KEYFRAME = 1

# Packet types of Enhanced RTMP. Sound has no CodedFramesX, and other numbers after it.
_SEQUENCE_START = 0
_CODED_FRAMES = 1
_SEQUENCE_END = 2
_CODED_FRAMES_X = 3
_MOD_EX = 7

_VIDEO_FOURCCS = {b"avc1": "h264", b"hvc1": "h265"}
_AUDIO_FOURCCS = {b"mp4a": "aac", b"Opus": "opus"}
_VIDEO_IDS = {7: "h264", 12: "h265"}
"""12 is no number of Adobe's: encoders from before Enhanced RTMP write H.265 with it."""
_AUDIO_IDS = {10: "aac"}
_FOREIGN_VIDEO: dict[int | bytes, str] = {
    2: "Sorenson H.263",
    3: "Screen Video",
    4: "VP6",
    5: "VP6",
    6: "Screen Video",
    b"av01": "AV1",
    b"vp08": "VP8",
    b"vp09": "VP9",
    b"vvc1": "H.266",
}
_FOREIGN_AUDIO: dict[int | bytes, str] = {
    0: "PCM",
    1: "ADPCM",
    2: "MP3",
    3: "PCM",
    4: "Nellymoser",
    5: "Nellymoser",
    6: "Nellymoser",
    7: "G.711",
    8: "G.711",
    11: "Speex",
    14: "MP3",
    b"ac-3": "AC-3",
    b"ec-3": "E-AC-3",
    b".mp3": "MP3",
    b"fLaC": "FLAC",
}

Part = Literal["configuration", "frame", "end"]


@dataclass(frozen=True, slots=True)
class Tag:
    """What an audio or video message holds."""

    codec: str
    """`h264`, `h265`, `aac` or `opus`; for what we can't take, its name as people know it."""
    supported: bool
    part: Part
    """The codec's configuration (`avcC`, `hvcC`, AudioSpecificConfig, OpusHead), a coded picture
    or frame of sound, or word that the sequence has ended."""
    data: bytes
    keyframe: bool = False
    composition_ms: int = 0
    """By how much a picture is shown after its decoding time, which is the message's timestamp."""


def parse_video(body: bytes) -> Tag | None:
    """Read a video message; None for what carries no picture. Raises ParseError."""
    if not body:
        return None  # encoders fill silence with empty messages
    frame_type = body[0] >> 4 & 7
    if body[0] & _EX_HEADER:
        return _parse_ex_video(body, frame_type)
    codec_id = body[0] & 0x0F
    if frame_type == _COMMAND_FRAME:
        return None
    codec = _VIDEO_IDS.get(codec_id)
    if codec is None:
        return _foreign(_FOREIGN_VIDEO.get(codec_id, f"codec {codec_id}"))
    if len(body) < 5:
        raise ParseError("An FLV video tag ends within its header.")
    parts: dict[int, Part] = {0: "configuration", 1: "frame", 2: "end"}
    if body[1] not in parts:
        raise ParseError(f"There is no AVC packet of type {body[1]} in FLV.")
    return Tag(codec, True, parts[body[1]], body[5:], frame_type == _KEYFRAME, _si24(body[2:5]))


def parse_audio(body: bytes) -> Tag | None:
    """Read an audio message; None for what carries no sound. Raises ParseError."""
    if not body:
        return None
    sound_format = body[0] >> 4
    if sound_format == _EX_AUDIO:
        return _parse_ex_audio(body)
    codec = _AUDIO_IDS.get(sound_format)
    if codec is None:
        return _foreign(_FOREIGN_AUDIO.get(sound_format, f"codec {sound_format}"))
    if len(body) < 2 or body[1] > 1:
        raise ParseError("An FLV audio tag has an AAC packet type that does not exist.")
    return _sound(codec, _SEQUENCE_START if body[1] == 0 else _CODED_FRAMES, body[2:])


def _parse_ex_video(body: bytes, frame_type: int) -> Tag | None:
    packet_type, position = _skip_mod_ex(body)
    known = (_SEQUENCE_START, _CODED_FRAMES, _SEQUENCE_END, _CODED_FRAMES_X)
    if packet_type not in known or frame_type == _COMMAND_FRAME:
        return None  # metadata, MPEG-2 TS, further tracks (6): the first is sent the plain way
    fourcc, data = _fourcc(body, position)
    codec = _VIDEO_FOURCCS.get(fourcc)
    if codec is None:
        return _foreign(_FOREIGN_VIDEO.get(fourcc, _readable(fourcc)))
    keyframe = frame_type == _KEYFRAME
    if packet_type == _SEQUENCE_START:
        return Tag(codec, True, "configuration", data, keyframe)
    if packet_type == _SEQUENCE_END:
        return Tag(codec, True, "end", data, keyframe)
    if packet_type == _CODED_FRAMES_X:
        return Tag(codec, True, "frame", data, keyframe)
    if len(data) < 3:
        raise ParseError("An FLV video tag ends within its header.")
    return Tag(codec, True, "frame", data[3:], keyframe, _si24(data[:3]))


def _parse_ex_audio(body: bytes) -> Tag | None:
    packet_type, position = _skip_mod_ex(body)
    if packet_type not in (_SEQUENCE_START, _CODED_FRAMES, _SEQUENCE_END):
        return None  # the channels' places (4), further tracks (5)
    fourcc, data = _fourcc(body, position)
    codec = _AUDIO_FOURCCS.get(fourcc)
    if codec is None:
        return _foreign(_FOREIGN_AUDIO.get(fourcc, _readable(fourcc)))
    return _sound(codec, packet_type, data)


def _sound(codec: str, packet_type: int, data: bytes) -> Tag | None:
    if packet_type == _SEQUENCE_END:
        return Tag(codec, True, "end", data)
    if not data:
        return None  # a silence that some encoders fill with nothing
    part: Part = "configuration" if packet_type == _SEQUENCE_START else "frame"
    return Tag(codec, True, part, data, keyframe=True)


def _skip_mod_ex(body: bytes) -> tuple[int, int]:
    """The packet type behind what modifies the packet (nanoseconds), and where the rest begins."""
    packet_type, position = body[0] & 0x0F, 1
    while packet_type == _MOD_EX:
        size = 1 + int.from_bytes(body[position : position + 1], "big")
        position += 1
        if size == 256:
            size = 1 + int.from_bytes(body[position : position + 2], "big")
            position += 2
        position += size
        if position >= len(body):
            raise ParseError("An FLV tag ends within its header.")
        packet_type = body[position] & 0x0F
        position += 1
    return packet_type, position


def _fourcc(body: bytes, position: int) -> tuple[bytes, bytes]:
    if position + 4 > len(body):
        raise ParseError("An FLV tag ends within its four-character code.")
    return body[position : position + 4], body[position + 4 :]


def _foreign(name: str) -> Tag:
    return Tag(name, False, "frame", b"")


def _readable(fourcc: bytes) -> str:
    return "".join(chr(byte) if 0x20 < byte < 0x7F else "?" for byte in fourcc)


def _si24(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


# Writing.


def video_configuration(codec: str, record: bytes) -> bytes:
    """The message that begins H.264 (`avcC`) or, enhanced, H.265 (`hvcC`)."""
    if codec == "h264":
        return b"\x17\x00\x00\x00\x00" + record
    return bytes((_EX_HEADER | _KEYFRAME << 4 | _SEQUENCE_START,)) + b"hvc1" + record


def video_frame(codec: str, data: bytes, *, keyframe: bool, composition_ms: int) -> bytes:
    """A picture, its NAL units after lengths of four bytes."""
    frame_type = 1 if keyframe else 2
    composition = (composition_ms & 0xFFFFFF).to_bytes(3, "big")
    if codec == "h264":
        return bytes((frame_type << 4 | 7, 1)) + composition + data
    first = _EX_HEADER | frame_type << 4
    if not composition_ms:
        return bytes((first | _CODED_FRAMES_X,)) + b"hvc1" + data
    return bytes((first | _CODED_FRAMES,)) + b"hvc1" + composition + data


def audio_configuration(codec: str, record: bytes) -> bytes:
    """The message that begins AAC (AudioSpecificConfig) or, enhanced, Opus (OpusHead)."""
    if codec == "aac":
        return b"\xaf\x00" + record  # for AAC always 44 kHz, 16 bits, stereo (E.4.2.1)
    return bytes((_EX_AUDIO << 4 | _SEQUENCE_START,)) + b"Opus" + record


def audio_frame(codec: str, data: bytes) -> bytes:
    """A frame of sound."""
    if codec == "aac":
        return b"\xaf\x01" + data
    return bytes((_EX_AUDIO << 4 | _CODED_FRAMES,)) + b"Opus" + data


# onMetaData.


@dataclass(frozen=True, slots=True)
class Announced:
    """What onMetaData says is to come; None where it does not say."""

    video: bool | None = None
    audio: bool | None = None
    frame_rate: float | None = None


def parse_metadata(values: list[Value]) -> Announced | None:
    """What the values of a data message announce; None for one that is not onMetaData."""
    names = [value for value in values[:2] if isinstance(value, str)]
    if "onMetaData" not in names:
        return None
    fields = next((value for value in values if isinstance(value, dict)), None)
    if fields is None:
        return None
    rate = fields.get("framerate")
    is_rate = isinstance(rate, float) and 1 <= rate <= 1000
    return Announced(
        video=_announces(fields, "video", "width"),
        audio=_announces(fields, "audio", "audiosamplerate"),
        frame_rate=rate if is_rate and isinstance(rate, float) else None,
    )


def _announces(fields: Mapping[str, Value], kind: str, sign: str) -> bool | None:
    """Whether there will be such a track: encoders of one track leave out the other's fields."""
    told = fields.get("hasVideo" if kind == "video" else "hasAudio")
    if isinstance(told, bool):
        return told
    codec = fields.get(f"{kind}codecid")
    if codec not in (None, 0.0, ""):
        return True
    others = ("videocodecid", "audiocodecid")
    if any(fields.get(name) not in (None, 0.0, "") for name in others):
        return bool(fields.get(sign)) and codec is None
    return None
