"""AAC's AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader

SAMPLE_RATES = (
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025,
    8_000, 7_350,
)  # fmt: skip
_EXPLICIT_RATE = 15
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_CONFIGURATIONS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 8: 7}

_AAC_LC = 2
_SBR, _PS = 5, 29
_ESCAPE = 31
_LOW_DELAY = (23, 39)


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """What a decoder has to know before the first frame."""

    object_type: int
    """2 is AAC-LC; for HE-AAC the type of its core."""
    sample_rate: int
    """Of the core in hertz, which is the RTP clock too (RFC 3640, 4.1)."""
    channels: int
    frame_length: int
    """Samples a channel in one coded frame."""


@lru_cache(maxsize=256)
def parse_audio_specific_config(config: bytes) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig. Raises `ParseError`."""
    bits = BitReader(config, "AudioSpecificConfig")
    object_type = _object_type(bits)
    sample_rate = _sample_rate(bits)
    channel_configuration = bits.read(4)
    if object_type in (_SBR, _PS):
        _sample_rate(bits)  # of the extension: what the decoder puts out
        object_type = _object_type(bits)
    if channel_configuration not in _CHANNELS:
        raise ParseError(
            f"AudioSpecificConfig {config.hex()} has channel configuration "
            f"{channel_configuration}, which is not supported."
        )
    short = bits.read(1) if object_type in (1, 2, 3, 4, 6, 7, *_LOW_DELAY) else 0
    long_frame, short_frame = (512, 480) if object_type in _LOW_DELAY else (1024, 960)
    frame_length = short_frame if short else long_frame
    return AudioSpecificConfig(
        object_type, sample_rate, _CHANNELS[channel_configuration], frame_length
    )


def build_audio_specific_config(sample_rate: int, channels: int) -> bytes:
    """Write the AudioSpecificConfig of AAC-LC. Raises `ParseError` for what it can't say."""
    if channels not in _CONFIGURATIONS:
        raise ParseError(f"AAC has no channel configuration for {channels} channels.")
    value, length = _AAC_LC, 5
    if sample_rate in SAMPLE_RATES:
        value, length = value << 4 | SAMPLE_RATES.index(sample_rate), length + 4
    elif 0 < sample_rate < 1 << 24:
        value, length = (value << 4 | _EXPLICIT_RATE) << 24 | sample_rate, length + 28
    else:
        raise ParseError(f"AAC cannot have a sample rate of {sample_rate} Hz.")
    value, length = value << 4 | _CONFIGURATIONS[channels], length + 4
    # GASpecificConfig: 1024 samples, no core coder, no extension (4.4.1), then to a whole byte.
    length += 3
    padding = -length % 8
    return (value << 3 << padding).to_bytes((length + padding) // 8, "big")


def _object_type(bits: BitReader) -> int:
    object_type = bits.read(5)
    return 32 + bits.read(6) if object_type == _ESCAPE else object_type


def _sample_rate(bits: BitReader) -> int:
    index = bits.read(4)
    if index == _EXPLICIT_RATE:
        rate = bits.read(24)
        if rate == 0:
            raise ParseError("AudioSpecificConfig has a sample rate of 0 Hz.")
        return rate
    if index >= len(SAMPLE_RATES):
        raise ParseError(f"AudioSpecificConfig has the reserved sample rate index {index}.")
    return SAMPLE_RATES[index]
