"""What a codec's own headers say of a track: profile, size, sample rate, channels."""

from __future__ import annotations

from typing import TypedDict

from streamsocket.errors import ParseError
from streamsocket.media import av1, h264, h265
from streamsocket.media.aac import parse_audio_specific_config
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9

_H264_PROFILES = {66: "Baseline", 77: "Main", 88: "Extended", 100: "High", 110: "High 10",
                  122: "High 4:2:2", 244: "High 4:4:4"}  # fmt: skip
_H265_PROFILES = {1: "Main", 2: "Main 10", 3: "Main Still Picture", 4: "Range Extensions",
                  9: "Screen Content"}  # fmt: skip
_AV1_PROFILES = ("Main", "High", "Professional")
_AAC_OBJECT_TYPES = {1: "Main", 2: "LC", 3: "SSR", 4: "LTP", 23: "LD", 39: "ELD"}


class CodecForm(TypedDict, total=False):
    """What is known of it; `size` in pixels, `sample_rate` in hertz."""

    profile: str | None
    size: tuple[int, int]
    sample_rate: int
    channels: int


def codec_form(codec: Codec) -> CodecForm:
    """What the codec's own headers say; nothing where they are missing or damaged."""
    try:
        match codec:
            case H264(sps):
                avc = h264.parse_sps(sps)
                return {
                    "profile": _H264_PROFILES.get(avc.profile_idc),
                    "size": (avc.width, avc.height),
                }
            case H265(_, sps):
                hevc = h265.parse_sps(sps)
                return {
                    "profile": _H265_PROFILES.get(hevc.profile_idc),
                    "size": (hevc.width, hevc.height),
                }
            case Aac(config):
                sound = parse_audio_specific_config(config)
                return {
                    "profile": _AAC_OBJECT_TYPES.get(sound.object_type),
                    "sample_rate": sound.sample_rate,
                    "channels": sound.channels,
                }
            case Opus(channels):
                return {"sample_rate": codec.clock_rate, "channels": channels}
            case G711() | L16():
                return {"sample_rate": codec.clock_rate, "channels": codec.channels}
            case Vp8(size) | Mjpeg(size):
                return {"size": size} if any(size) else {}
            case Vp9(size, profile):
                return {"profile": f"Profile {profile}", "size": size} if any(size) else {}
            case Av1(sequence_header):
                sequence = av1.parse_sequence_header(sequence_header)
                return {
                    "profile": _AV1_PROFILES[sequence.profile],
                    "size": (sequence.width, sequence.height),
                }
    except ParseError:
        return {}
