"""Payload formats: which one belongs to a codec, and what SDP says about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from streamsocket.errors import ParseError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Codec, Mjpeg, Opus, Vp8, Vp9
from streamsocket.rtp import aac, av1, h264, h265, mjpeg, nal_sdp, opus, pcm, vp8, vp9
from streamsocket.rtp.packet import MAX_PAYLOAD as MAX_PAYLOAD

FIRST_PAYLOAD_TYPE = 96
"""A stream's tracks have payload types from here on, the first dynamic one (RFC 3551, 6)."""


class Packetizer(Protocol):
    """Cuts access units into payloads."""

    @property
    def marker(self) -> bool:
        """Whether the last packet of an access unit has the marker bit."""

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit, none longer than `MAX_PAYLOAD`.

        Raises ParseError for an access unit that the format cannot carry.
        """


class Depacketizer(Protocol):
    """Puts access units together again."""

    @property
    def codec(self) -> Codec:
        """The codec, with what was learnt in band."""

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet in order; returns what is complete now.

        `timestamp` is unwrapped; `gap` says that packets are missing before this one. Raises
        ParseError for a payload that breaks the rules; the next one can be pushed all the same.
        """

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""


def packetizer(codec: Codec) -> Packetizer:
    """What makes payloads of this codec's access units."""
    match codec:
        case H264():
            return h264.H264Packetizer(codec)
        case H265():
            return h265.H265Packetizer(codec)
        case Vp8():
            return vp8.Vp8Packetizer()
        case Vp9():
            return vp9.Vp9Packetizer()
        case Av1():
            return av1.Av1Packetizer()
        case Mjpeg():
            return mjpeg.MjpegPacketizer()
        case Aac():
            return aac.AacPacketizer()
        case Opus():
            return opus.OpusPacketizer()
        case G711() | L16():
            return pcm.PcmPacketizer(codec)


def depacketizer(codec: Codec, fmtp: Mapping[str, str] | None = None) -> Depacketizer:
    """What makes access units of this codec's payloads; `fmtp` has the SDP's parameters by name."""
    match codec:
        case H264():
            return h264.H264Depacketizer(codec)
        case H265():
            return h265.H265Depacketizer(codec)
        case Vp8():
            return vp8.Vp8Depacketizer(codec)
        case Vp9():
            return vp9.Vp9Depacketizer(codec)
        case Av1():
            return av1.Av1Depacketizer(codec)
        case Mjpeg():
            return mjpeg.MjpegDepacketizer(codec)
        case Aac():
            return aac.AacDepacketizer(codec, _lower(fmtp or {}))
        case Opus():
            return opus.OpusDepacketizer(codec)
        case G711() | L16():
            return pcm.PcmDepacketizer(codec)


def sdp_attributes(codec: Codec, payload_type: int) -> tuple[str, str | None]:
    """The whole values of `a=rtpmap` and `a=fmtp`, payload type included; None for no `a=fmtp`.

    >>> sdp_attributes(Opus(), 97)
    ('97 opus/48000/2', '97 sprop-stereo=1')
    """
    fmtp: str | None
    match codec:
        case H264():
            rtpmap, fmtp = "H264/90000", nal_sdp.h264_fmtp(codec)
        case H265():
            rtpmap, fmtp = "H265/90000", nal_sdp.h265_fmtp(codec)
        case Vp8():
            rtpmap, fmtp = "VP8/90000", None
        case Vp9():
            rtpmap, fmtp = "VP9/90000", f"profile-id={codec.profile}"
        case Av1():
            rtpmap, fmtp = "AV1/90000", av1.fmtp(codec)
        case Mjpeg():
            rtpmap, fmtp = "JPEG/90000", None
        case Aac():
            rtpmap = f"mpeg4-generic/{codec.clock_rate}/{codec.channels}"
            fmtp = f"{aac.FMTP};config={codec.config.hex().upper()}"
        case Opus():
            # Always two channels in the rtpmap (RFC 7587, 7); the fmtp tells what is in them.
            rtpmap, fmtp = "opus/48000/2", f"sprop-stereo={int(codec.channels > 1)}"
        case G711() | L16():
            rtpmap, fmtp = f"{codec.name.upper()}/{codec.clock_rate}/{codec.channels}", None
    return f"{payload_type} {rtpmap}", fmtp and f"{payload_type} {fmtp}"


def codec_from_sdp(
    encoding_name: str, clock_rate: int, channels: int | None, fmtp: Mapping[str, str]
) -> Codec:
    """The codec that a media description of SDP means.

    Takes rtpmap's three parts and fmtp's parameters by name. Parameter sets are empty where the
    description lacks them: they come in band then. Raises ParseError for what we can't receive.
    """
    fmtp = _lower(fmtp)
    codec: Codec
    match encoding_name.lower():
        case "h264":
            codec = nal_sdp.h264_from(fmtp)
        case "h265" | "hevc":
            codec = nal_sdp.h265_from(fmtp)
        case "vp8":
            codec = Vp8()
        case "vp9":
            codec = Vp9(profile=vp9.profile_from(fmtp))
        case "av1":
            codec = Av1()
        case "jpeg":
            codec = Mjpeg()
        case "mpeg4-generic":
            codec = _aac_from(fmtp)
        case "opus":
            # Sound in two channels is right for mono too; many senders of stereo don't say so.
            mono = channels == 1 or fmtp.get("sprop-stereo", "").strip() == "0"
            codec = Opus(channels=1 if mono else 2)
        case "pcmu" | "pcma" as law:
            codec = pcm.checked(G711(law, clock_rate, channels or 1))
        case "l16":
            codec = pcm.checked(L16(clock_rate, channels or 1))
        case _:
            raise ParseError(
                f"The encoding {encoding_name} is not supported: H.264, H.265, VP8, VP9, AV1, "
                "Motion JPEG, AAC (mpeg4-generic), Opus, G.711 and L16 are."
            )
    if clock_rate != codec.clock_rate:
        raise ParseError(
            f"The SDP gives {encoding_name} a clock of {clock_rate} Hz, "
            f"but by its format it has {codec.clock_rate} Hz."
        )
    return codec


def _aac_from(fmtp: Mapping[str, str]) -> Aac:
    mode = fmtp.get("mode", "AAC-hbr").strip()
    if mode.lower() not in ("aac-hbr", "aac-lbr"):
        raise ParseError(f"The mode {mode} of mpeg4-generic is not supported: AAC-hbr is.")
    try:
        config = bytes.fromhex(fmtp.get("config", ""))
    except ValueError:
        raise ParseError("The AAC configuration in the SDP is not hexadecimal.") from None
    if not config:
        raise ParseError("The SDP announces AAC without its configuration (config=).")
    codec = Aac(config)
    aac.AacDepacketizer(codec, fmtp)  # refuses configurations and layouts that we can't read
    return codec


def _lower(fmtp: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in fmtp.items()}
