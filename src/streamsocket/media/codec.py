"""Codecs and tracks: what a stream is made of, as plain values."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, Literal

from streamsocket.media import aac, av1, h264, h265

Kind = Literal["video", "audio"]


@dataclass(frozen=True, slots=True)
class H264:
    """H.264 video. `sps` and `pps` are whole NAL units without start codes (H.264 7.3.2)."""

    sps: bytes
    pps: bytes

    name: ClassVar[str] = "h264"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels, after cropping."""
        parameters = h264.parse_sps(self.sps)
        return parameters.width, parameters.height


@dataclass(frozen=True, slots=True)
class Aac:
    """AAC audio. `config` is the AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1)."""

    config: bytes

    name: ClassVar[str] = "aac"
    kind: ClassVar[Kind] = "audio"

    @property
    def clock_rate(self) -> int:
        """The sampling rate in hertz, which is RFC 3640's clock too."""
        return aac.parse_audio_specific_config(self.config).sample_rate

    @property
    def channels(self) -> int:
        """How many channels the sound has."""
        return aac.parse_audio_specific_config(self.config).channels


@dataclass(frozen=True, slots=True)
class Opus:
    """Opus audio. RTP's clock is 48 kHz whatever the encoder's input was (RFC 7587, 4.1)."""

    channels: int = 2

    name: ClassVar[str] = "opus"
    kind: ClassVar[Kind] = "audio"
    clock_rate: ClassVar[int] = 48_000


@dataclass(frozen=True, slots=True)
class H265:
    """H.265 video. `vps`, `sps` and `pps` are whole NAL units without start codes (H.265 7.3.2)."""

    vps: bytes
    sps: bytes
    pps: bytes

    name: ClassVar[str] = "h265"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the picture in pixels, after cropping."""
        parameters = h265.parse_sps(self.sps)
        return parameters.width, parameters.height


@dataclass(frozen=True, slots=True)
class Vp8:
    """VP8 video (RFC 6386). Its size is in its keyframes; `size` is (0, 0) until one was seen."""

    size: tuple[int, int] = (0, 0)

    name: ClassVar[str] = "vp8"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000


@dataclass(frozen=True, slots=True)
class Vp9:
    """VP9 video. Its size is in its keyframes; `size` is (0, 0) until one was seen."""

    size: tuple[int, int] = (0, 0)
    """Width and height in pixels; with spatial layers, those of the largest."""
    profile: int = 0
    """0 and 2 are 4:2:0 with 8 bits and with more, 1 and 3 other subsampling (RFC 9628, 6)."""

    name: ClassVar[str] = "vp9"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000


@dataclass(frozen=True, slots=True)
class Av1:
    """AV1 video. `sequence_header` is a whole OBU without its size; empty until one was seen."""

    sequence_header: bytes = b""

    name: ClassVar[str] = "av1"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the largest picture in pixels; (0, 0) until they are known."""
        if not self.sequence_header:
            return 0, 0
        header = av1.parse_sequence_header(self.sequence_header)
        return header.width, header.height

    @property
    def profile(self) -> int:
        """0 Main, 1 High, 2 Professional; Main until it is known."""
        if not self.sequence_header:
            return 0
        return av1.parse_sequence_header(self.sequence_header).profile


@dataclass(frozen=True, slots=True)
class Mjpeg:
    """Motion JPEG: every picture a JPEG. `size` is (0, 0) until a picture was seen."""

    size: tuple[int, int] = (0, 0)

    name: ClassVar[str] = "mjpeg"
    kind: ClassVar[Kind] = "video"
    clock_rate: ClassVar[int] = 90_000


@dataclass(frozen=True, slots=True)
class G711:
    """G.711 sound: 8 bits a sample by the μ-law (PCMU) or the A-law (PCMA)."""

    law: Literal["pcmu", "pcma"]
    clock_rate: int = 8000
    """The sampling rate in hertz, which is the RTP clock too."""
    channels: int = 1

    kind: ClassVar[Kind] = "audio"

    @property
    def name(self) -> str:
        """`"pcmu"` or `"pcma"`, as RFC 3551 calls them."""
        return self.law


@dataclass(frozen=True, slots=True)
class L16:
    """Uncompressed sound, 16 bits a sample, big-endian, channels interleaved (RFC 3551, 4.5.11)."""

    clock_rate: int = 44_100
    """The sampling rate in hertz, which is the RTP clock too."""
    channels: int = 2

    name: ClassVar[str] = "l16"
    kind: ClassVar[Kind] = "audio"


VideoCodec = H264 | H265 | Vp8 | Vp9 | Av1 | Mjpeg
AudioCodec = Aac | Opus | G711 | L16
Codec = VideoCodec | AudioCodec


@dataclass(frozen=True, slots=True)
class Track:
    """One track of a stream: its codec and what its source declares about it."""

    codec: Codec
    frame_rate: Fraction | None = None
    """Pictures a second as the source declares them; None where it varies or is not known."""

    @property
    def kind(self) -> Kind:
        """`"video"` or `"audio"`."""
        return self.codec.kind
