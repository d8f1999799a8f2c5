"""AAC: the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from streamsocket.errors import ParseError
from streamsocket.media.bits import BitReader

_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000),
    *(24_000, 22_050, 16_000, 12_000, 11_025, 8_000, 7_350),
)  # by samplingFrequencyIndex
_EXPLICIT_RATE = 15
_CHANNELS = {1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
"""By channelConfiguration (table 1.19)."""
_MAX_CONFIG_BYTES = 512

# Audio object types (table 1.17).
_AAC_LC = 2
_SBR = 5
_LOW_DELAY = 23
_ESCAPE = 31
_PARAMETRIC_STEREO = 29
_ENHANCED_LOW_DELAY = 39
_WITH_GENERAL_CONFIG = {1, 2, 3, 4, 6, 7, 17, 19, 20, 21, 22, _LOW_DELAY}


@dataclass(frozen=True, slots=True)
class AudioSpecificConfig:
    """What a decoder of AAC must know beforehand."""

    object_type: int
    """The core's audio object type: 2 is AAC-LC, also where SBR or PS is added to it."""
    sample_rate: int
    """The core's sampling rate in hertz, half of what is heard where SBR is added to it."""
    channels: int
    frame_length: int
    """Samples a channel in one access unit, at `sample_rate`."""


@lru_cache(maxsize=64)
def parse_audio_specific_config(config: bytes) -> AudioSpecificConfig:
    """Read an AudioSpecificConfig."""
    if len(config) > _MAX_CONFIG_BYTES:
        raise ParseError(
            f"An AAC configuration of {len(config)} bytes is longer than any real one."
        )
    bits = BitReader(config)
    object_type = _read_object_type(bits)
    sample_rate = _read_rate(bits)
    channel_configuration = bits.read(4)
    if object_type in (_SBR, _PARAMETRIC_STEREO):
        _read_rate(bits)  # extensionSamplingFrequency
        object_type = _read_object_type(bits)

    if object_type == _ENHANCED_LOW_DELAY:
        frame_length = 480 if bits.flag() else 512
    elif object_type in _WITH_GENERAL_CONFIG:
        short, long = (480, 512) if object_type == _LOW_DELAY else (960, 1024)
        frame_length = short if bits.flag() else long
        if bits.flag():  # dependsOnCoreCoder
            bits.read(14)
        bits.flag()  # extensionFlag
    else:
        raise ParseError(f"MPEG-4 audio of object type {object_type} is not AAC as we know it.")

    if channel_configuration == 0 and object_type != _ENHANCED_LOW_DELAY:
        channels = _read_program_config(bits)
    elif channel_configuration in _CHANNELS:
        channels = _CHANNELS[channel_configuration]
    else:
        raise ParseError(f"The AAC channel configuration {channel_configuration} does not exist.")
    return AudioSpecificConfig(object_type, sample_rate, channels, frame_length)


@lru_cache(maxsize=64)
def build_audio_specific_config(sample_rate: int, channels: int) -> bytes:
    """The AudioSpecificConfig of AAC-LC in frames of 1,024 samples.

    Raises ValueError where AAC has no such rate (in hertz) or number of channels.
    """
    configuration = next((key for key, count in _CHANNELS.items() if count == channels), None)
    if configuration is None or not 0 < sample_rate < 1 << 24:
        raise ValueError(f"AAC cannot carry {channels} channels at {sample_rate} Hz.")
    value, width = _AAC_LC, 5
    if sample_rate in _RATES:
        value, width = value << 4 | _RATES.index(sample_rate), width + 4
    else:
        value, width = (value << 4 | _EXPLICIT_RATE) << 24 | sample_rate, width + 28
    value, width = value << 4 | configuration, width + 4
    value, width = value << 3, width + 3  # GASpecificConfig: 1,024 samples, nothing special
    return (value << -width % 8).to_bytes((width + 7) // 8, "big")


def _read_object_type(bits: BitReader) -> int:
    object_type = bits.read(5)
    return 32 + bits.read(6) if object_type == _ESCAPE else object_type


def _read_rate(bits: BitReader) -> int:
    index = bits.read(4)
    if index == _EXPLICIT_RATE:
        rate = bits.read(24)
    elif index < len(_RATES):
        rate = _RATES[index]
    else:
        raise ParseError(f"The AAC sampling frequency index {index} is reserved.")
    if not rate:
        raise ParseError("The AAC configuration has a sampling rate of 0 Hz.")
    return rate


def _read_program_config(bits: BitReader) -> int:
    """How many channels a program_config_element describes (4.4.1.1)."""
    bits.read(4 + 2 + 4)  # element_instance_tag, object_type, sampling_frequency_index
    front, side, back = bits.read(4), bits.read(4), bits.read(4)
    low_frequency = bits.read(2)
    bits.read(3 + 4)  # num_assoc_data_elements, num_valid_cc_elements
    for width in (4, 4, 3):  # mono, stereo and matrix mixdown
        if bits.flag():
            bits.read(width)
    channels = low_frequency
    for _ in range(front + side + back):
        channels += 2 if bits.flag() else 1
        bits.read(4)
    if not channels:
        raise ParseError("The AAC configuration describes no channel.")
    return channels
