"""AAC's AudioSpecificConfig, against what FFmpeg writes and by hand."""

from __future__ import annotations

import av
import pytest
from av.audio.codeccontext import AudioCodecContext

from streamsocket.errors import ParseError
from streamsocket.media.aac import (
    AudioSpecificConfig,
    build_audio_specific_config,
    parse_audio_specific_config,
)


@pytest.mark.parametrize("sample_rate", [96_000, 48_000, 44_100, 22_050, 8_000])
@pytest.mark.parametrize(
    ("layout", "channels"), [("mono", 1), ("stereo", 2), ("5.1", 6), ("6.1", 7), ("7.1", 8)]
)
def test_what_ffmpeg_writes_is_read(sample_rate: int, layout: str, channels: int) -> None:
    encoder = av.CodecContext.create("aac", "w")
    assert isinstance(encoder, AudioCodecContext)
    encoder.sample_rate, encoder.layout, encoder.format = sample_rate, layout, "fltp"
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    assert encoder.extradata
    assert parse_audio_specific_config(encoder.extradata) == AudioSpecificConfig(
        2, sample_rate, channels, 1024
    )


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("1190", AudioSpecificConfig(2, 48_000, 2, 1024)),
        ("1214", AudioSpecificConfig(2, 44_100, 2, 960)),
        ("2b118800", AudioSpecificConfig(2, 24_000, 2, 1024)),  # SBR, told beforehand
        ("eb098800", AudioSpecificConfig(2, 24_000, 1, 1024)),  # SBR and PS
        ("131056e598", AudioSpecificConfig(2, 24_000, 2, 1024)),  # SBR, told behind
        ("1780bb8010", AudioSpecificConfig(2, 24_000 * 4, 2, 1024)),  # a rate in full
        ("b990", AudioSpecificConfig(23, 48_000, 2, 512)),  # low delay
        ("f8e64000", AudioSpecificConfig(39, 48_000, 2, 512)),  # enhanced low delay
        ("f8e65000", AudioSpecificConfig(39, 48_000, 2, 480)),
    ],
)
def test_all_ways_to_say_it_are_read(config: str, expected: AudioSpecificConfig) -> None:
    assert parse_audio_specific_config(bytes.fromhex(config)) == expected


@pytest.mark.parametrize(
    "config",
    [
        "",
        "11",
        "1680",  # a reserved rate
        "1780000010",  # a rate of 0
        "11d0",  # a reserved number of channels
        "1180040000",  # elements for no channel
        "0190",  # no object type
        "f95c4000",  # object type 42, USAC
        "11" * 600,
    ],
)
def test_nonsense_is_refused(config: str) -> None:
    with pytest.raises(ParseError):
        parse_audio_specific_config(bytes.fromhex(config))


@pytest.mark.parametrize("sample_rate", [7_350, 44_100, 48_000, 96_000, 50_000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6, 7, 8])
def test_what_is_built_is_read(sample_rate: int, channels: int) -> None:
    config = build_audio_specific_config(sample_rate, channels)
    assert parse_audio_specific_config(config) == AudioSpecificConfig(
        2, sample_rate, channels, 1024
    )


def test_stereo_at_48_khz_is_what_everybody_sends() -> None:
    assert build_audio_specific_config(48_000, 2) == bytes.fromhex("1190")


@pytest.mark.parametrize(
    ("sample_rate", "channels"), [(0, 2), (1 << 24, 2), (48_000, 0), (48_000, 9)]
)
def test_what_aac_has_not_is_not_built(sample_rate: int, channels: int) -> None:
    with pytest.raises(ValueError, match="AAC cannot carry"):
        build_audio_specific_config(sample_rate, channels)
