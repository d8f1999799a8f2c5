"""The bodies of RTMP's audio and video messages."""

from __future__ import annotations

import pytest

from streamsocket.errors import ParseError
from streamsocket.rtmp import flv
from streamsocket.rtmp.amf0 import EcmaArray, Value
from streamsocket.rtmp.flv import Announced, Tag, parse_audio, parse_metadata, parse_video


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        ("17 00 000000 01aabb", Tag("h264", True, "configuration", b"\x01\xaa\xbb", True)),
        ("17 01 000050 aabb", Tag("h264", True, "frame", b"\xaa\xbb", True, 80)),
        ("27 01 ffffd8 aa", Tag("h264", True, "frame", b"\xaa", False, -40)),
        ("17 02 000000", Tag("h264", True, "end", b"", True)),
        ("1c 00 000000 01", Tag("h265", True, "configuration", b"\x01", True)),
        ("2c 01 000001 02", Tag("h265", True, "frame", b"\x02", False, 1)),
        # Enhanced: 1, frame type, packet type, four characters.
        ("90 68766331 01", Tag("h265", True, "configuration", b"\x01", True)),
        ("a1 68766331 000028 02", Tag("h265", True, "frame", b"\x02", False, 40)),
        ("a3 68766331 02", Tag("h265", True, "frame", b"\x02")),
        ("92 61766331", Tag("h264", True, "end", b"", True)),
        ("91 61766331 000000 02", Tag("h264", True, "frame", b"\x02", True)),
        # ModEx: three bytes of nanoseconds, then what they modify.
        ("97 02 00000a 03 61766331 02", Tag("h264", True, "frame", b"\x02", True)),
        ("97 02 00000a 07 00 ff 01 68766331 000000 02", Tag("h265", True, "frame", b"\x02", True)),
        ("97 ff 0000 aa 03 61766331 02", Tag("h264", True, "frame", b"\x02", True)),
        ("90 61763031 81", Tag("AV1", False, "frame", b"")),
        ("14 00", Tag("VP6", False, "frame", b"")),
        ("1e 00", Tag("codec 14", False, "frame", b"")),
        ("90 3c00ff3e", Tag("<??>", False, "frame", b"")),
    ],
)
def test_video(body: str, tag: Tag) -> None:
    assert parse_video(bytes.fromhex(body)) == tag


@pytest.mark.parametrize(
    ("body", "tag"),
    [
        ("af 00 1210", Tag("aac", True, "configuration", b"\x12\x10", True)),
        ("af 01 2110", Tag("aac", True, "frame", b"\x21\x10", True)),
        ("90 4f707573 4f70", Tag("opus", True, "configuration", b"Op", True)),
        ("91 4f707573 fc01", Tag("opus", True, "frame", b"\xfc\x01", True)),
        ("91 6d703461 2110", Tag("aac", True, "frame", b"\x21\x10", True)),
        ("92 4f707573", Tag("opus", True, "end", b"")),
        ("97 02 00000a 01 4f707573 fc", Tag("opus", True, "frame", b"\xfc", True)),
        ("2f ff", Tag("MP3", False, "frame", b"")),
        ("90 664c6143", Tag("FLAC", False, "frame", b"")),
    ],
)
def test_audio(body: str, tag: Tag) -> None:
    assert parse_audio(bytes.fromhex(body)) == tag


@pytest.mark.parametrize("body", ["", "57 00", "94 00", "d0 00", "96 00 61766331 00"])
def test_video_messages_without_a_picture(body: str) -> None:
    """Nothing, commands to a player, colours, further tracks."""
    assert parse_video(bytes.fromhex(body)) is None


@pytest.mark.parametrize("body", ["", "94 00", "95 00", "af 01", "91 4f707573"])
def test_audio_messages_without_sound(body: str) -> None:
    assert parse_audio(bytes.fromhex(body)) is None


@pytest.mark.parametrize("body", ["17", "17 01 0000", "17 03 000000", "90 6176", "97", "97 02 00"])
def test_broken_video_is_refused(body: str) -> None:
    with pytest.raises(ParseError):
        parse_video(bytes.fromhex(body))


@pytest.mark.parametrize("body", ["af", "af 02", "90 4f", "97", "97 ff"])
def test_broken_audio_is_refused(body: str) -> None:
    with pytest.raises(ParseError):
        parse_audio(bytes.fromhex(body))


@pytest.mark.parametrize("codec", ["h264", "h265"])
@pytest.mark.parametrize("composition", [0, 80, -40])
def test_written_video_is_read(codec: str, composition: int) -> None:
    assert parse_video(flv.video_configuration(codec, b"record")) == Tag(
        codec, True, "configuration", b"record", True
    )
    for keyframe in (True, False):
        body = flv.video_frame(codec, b"units", keyframe=keyframe, composition_ms=composition)
        assert parse_video(body) == Tag(codec, True, "frame", b"units", keyframe, composition)


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_written_audio_is_read(codec: str) -> None:
    assert parse_audio(flv.audio_configuration(codec, b"record")) == Tag(
        codec, True, "configuration", b"record", True
    )
    assert parse_audio(flv.audio_frame(codec, b"frame")) == Tag(
        codec, True, "frame", b"frame", True
    )


_BOTH = EcmaArray(
    videocodecid=7.0, audiocodecid=10.0, width=1920.0, framerate=25.0, audiosamplerate=48000.0
)


@pytest.mark.parametrize(
    ("values", "announced"),
    [
        (["@setDataFrame", "onMetaData", _BOTH], Announced(True, True, 25.0)),
        (["onMetaData", {"videocodecid": "avc1", "width": 640.0}], Announced(True, False)),
        (["onMetaData", {"audiocodecid": 10.0}], Announced(False, True)),
        (["onMetaData", {"audiocodecid": 10.0, "videocodecid": 0.0}], Announced(False, True)),
        (["onMetaData", {"hasVideo": True, "hasAudio": False}], Announced(True, False)),
        (["onMetaData", {"framerate": 1e9}], Announced()),
        (["onMetaData", {"framerate": True}], Announced()),
        (["onMetaData"], None),
        (["onTextData", {"text": "…"}], None),
        ([None, {}], None),
    ],
)
def test_metadata_announces_the_tracks(values: list[Value], announced: Announced | None) -> None:
    assert parse_metadata(values) == announced
