"""What a user asks of a source's encoding."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from streamsocket.errors import ParseError, SettingsError, SourceError
from streamsocket.sources.encoding import (
    AS_IT_IS,
    AUDIO_CODECS,
    VIDEO_CODECS,
    Encoding,
    encoding_from_json,
    encoding_to_json,
    parse_encoding,
)
from streamsocket.sources.spec import (
    FileSpec,
    SourceSpec,
    TestSpec,
    parse_source,
    spec_from_json,
    spec_to_json,
)

_ALL = Encoding((640, 360), Fraction(30_000, 1001), 2_500_000, 128_000, "h265", "opus")


@pytest.mark.parametrize(
    ("options", "encoding"),
    [
        ({}, AS_IT_IS),
        ({"size": "1280x720"}, Encoding(size=(1280, 720))),
        ({"fps": "25"}, Encoding(fps=Fraction(25))),
        ({"fps": "29.97"}, Encoding(fps=Fraction(30_000, 1001))),
        ({"fps": "24000/1001"}, Encoding(fps=Fraction(24_000, 1001))),
        ({"fps": "12.5"}, Encoding(fps=Fraction(25, 2))),
        ({"video_bitrate": "2.5M"}, Encoding(video_bitrate_bps=2_500_000)),
        ({"video_bitrate": "800K"}, Encoding(video_bitrate_bps=800_000)),
        ({"video_bitrate": "800000"}, Encoding(video_bitrate_bps=800_000)),
        ({"audio_bitrate": "128k"}, Encoding(audio_bitrate_bps=128_000)),
        ({"codec": "h265"}, Encoding(video_codec="h265")),
        ({"codec": "opus"}, Encoding(audio_codec="opus")),
        ({"codec": "opus+VP8"}, Encoding(video_codec="vp8", audio_codec="opus")),
        (
            {"codec": "mjpeg+pcma", "size": "640x360"},
            Encoding((640, 360), video_codec="mjpeg", audio_codec="pcma"),
        ),
    ],
)
def test_options_are_read(options: dict[str, str], encoding: Encoding) -> None:
    assert parse_encoding(**options) == encoding


@pytest.mark.parametrize("codec", VIDEO_CODECS + AUDIO_CODECS)
def test_every_codec_can_be_asked_for(codec: str) -> None:
    assert codec in (
        parse_encoding(codec=codec).video_codec,
        parse_encoding(codec=codec).audio_codec,
    )


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"size": "large"}, "--size: 'large' is no size: write width x height"),
        ({"size": "1280x"}, "is no size"),
        ({"size": "641x360"}, "must be even, from 160x90 to 7680x4320"),
        ({"size": "64x48"}, "must be even, from 160x90"),
        ({"size": "99999x90"}, "must be even, from 160x90"),
        ({"fps": "fast"}, "--fps: 'fast' is no number"),
        ({"fps": "-1"}, "is no number"),
        ({"fps": "1/0"}, "is no number"),
        ({"fps": "0.5"}, "choose 1 to 240"),
        ({"fps": "1000"}, "choose 1 to 240"),
        ({"video_bitrate": "much"}, "--video-bitrate: 'much' is no bitrate"),
        ({"video_bitrate": "2.5Mbit"}, "is no bitrate"),
        ({"video_bitrate": "2"}, "choose 50k to 200M"),
        ({"video_bitrate": "1000M"}, "choose 50k to 200M"),
        ({"audio_bitrate": "4k"}, "--audio-bitrate: .* choose 8k to 512k"),
        ({"codec": "h266"}, "--codec: 'h266' is no codec .* h264, h265, vp8, vp9, av1 or mjpeg"),
        ({"codec": "h264+"}, "'' is no codec"),
        ({"codec": "h264+vp8"}, "names two codecs for the same"),
        ({"codec": "aac+opus"}, "names two codecs for the same"),
        ({"codec": "h264+aac+opus"}, "names two codecs for the same"),
        ({"codec": "mjpeg", "size": "2048x1152"}, "multiples of 8, up to 2040"),
        ({"codec": "mjpeg", "size": "320x180"}, "multiples of 8, up to 2040"),
        ({"codec": "pcmu", "audio_bitrate": "32k"}, "pcmu has the bitrate that its samples have"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(options: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        parse_encoding(**options)
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize("encoding", [AS_IT_IS, _ALL])
def test_it_travels_as_json(encoding: Encoding) -> None:
    assert encoding_from_json(encoding_to_json(encoding)) == encoding
    for spec in (FileSpec("movie.mp4", True, encoding), TestSpec(encoding=encoding)):
        assert spec_from_json(spec_to_json(spec)) == spec


@pytest.mark.parametrize(
    "change",
    [
        {"size": [640]},
        {"size": "640"},
        {"size": 640},
        {"fps": "1/0"},
        {"fps": []},
        {"video_bitrate_bps": "much"},
        {"video_codec": "h266"},
        {"audio_codec": ["aac"]},
    ],
)
def test_json_that_is_no_encoding_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(ParseError):
        encoding_from_json({**encoding_to_json(_ALL), **change})
    with pytest.raises(ParseError):
        encoding_from_json({})


def test_a_source_has_its_encoding(tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    path.touch()
    assert parse_source(str(path), encoding=_ALL) == ("movie", FileSpec(str(path), True, _ALL))
    assert parse_source("test:640x480@25", encoding=_ALL) == (
        "test",
        TestSpec(640, 480, Fraction(25), _ALL),
    )


def test_the_test_pattern_is_not_as_slow_as_a_file_can_be() -> None:
    with pytest.raises(SourceError, match="choose 5 to 240"):
        parse_source("test", encoding=Encoding(fps=Fraction(1)))


def test_another_servers_stream_is_passed_on_as_it_is() -> None:
    with pytest.raises(SourceError, match="is passed on as it is") as caught:
        parse_source("camera=rtsp://user:secret@127.0.0.1/stream", encoding=_ALL)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "spec",
    [TestSpec(encoding=_ALL), TestSpec()],
)
def test_a_spec_is_told_without_its_encoding(spec: SourceSpec) -> None:
    assert spec.text == "test"
