"""Which payload format carries which codec, and what SDP says of it."""

from __future__ import annotations

from typing import Protocol

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Aac, Codec, Opus
from streamsocket.rtp import aac, h264, opus


class Packetizer(Protocol):
    """Cuts access units into payloads of at most `MAX_PAYLOAD` bytes."""

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """Return the payloads of one access unit, in order."""


class Depacketizer(Protocol):
    """Puts access units together from payloads."""

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the next payload; return the access units that are whole now.

        `timestamp` is unwrapped; `gap` says that packets are missing before this one. Raises
        `ParseError` for a payload that breaks its format; the next one may be pushed all the same.
        """

    def flush(self) -> list[AccessUnit]:
        """Return what is begun, as far as it came."""


def packetizer(codec: Codec) -> Packetizer:
    """Make the packetizer for a codec."""
    match codec:
        case H264():
            return h264.H264Packetizer(codec)
        case Aac():
            return aac.AacPacketizer()
        case Opus():
            return opus.OpusPacketizer()


def depacketizer(codec: Codec, fmtp: dict[str, str] | None = None) -> Depacketizer:
    """Make the depacketizer for a codec; `fmtp` are the parameters that came with it."""
    match codec:
        case H264():
            return h264.H264Depacketizer()
        case Aac():
            return aac.AacDepacketizer(codec, fmtp or {})
        case Opus():
            return opus.OpusDepacketizer()


def sdp_attributes(codec: Codec, payload_type: int) -> tuple[str, str | None]:
    """The values of `a=rtpmap:` and `a=fmtp:`, payload type included; None where there is none."""
    match codec:
        case H264():
            rtpmap, fmtp = "H264/90000", h264.fmtp(codec)
        case Aac():
            rtpmap, fmtp = f"mpeg4-generic/{codec.clock_rate}/{codec.channels}", aac.fmtp(codec)
        case Opus():
            rtpmap, fmtp = "opus/48000/2", opus.fmtp(codec)
    return f"{payload_type} {rtpmap}", f"{payload_type} {fmtp}" if fmtp else None


def codec_from_sdp(
    encoding_name: str, clock_rate: int, channels: int | None, fmtp: dict[str, str]
) -> Codec:
    """The codec that an `a=rtpmap` and its `a=fmtp` describe.

    Parameter names in `fmtp` are lower-case. H.264 without sprop-parameter-sets has empty ones:
    they come in band. Raises `ParseError`, which names an encoding that is not supported.
    """
    match encoding_name.lower():
        case "h264":
            return h264.codec_from_fmtp(fmtp)
        case "mpeg4-generic":
            return aac.codec_from_fmtp(fmtp, clock_rate, channels)
        case "opus":
            return opus.codec_from_fmtp(fmtp)
        case name:
            raise ParseError(f"The encoding {name!r} is not supported.")
