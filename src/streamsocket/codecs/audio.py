"""Encoders of sound: AAC and Opus, and the plain samples of G.711 and L16."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Literal

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.codec.context import CodecContext, Flags
from av.packet import Packet
from av.stream import Stream

from streamsocket.codecs.coded import Coded
from streamsocket.media.codec import G711, L16, Aac, AudioCodec, Opus

SAMPLE_RATE = 48_000
"""Hertz; what all sound but G.711's is encoded at."""

_AAC_FRAME = 1024
_OPUS_FRAME = 960
_OPUS_SHORT_FRAME = 480
_G711_RATE = 8_000
_G711_FRAME = 160
# Five milliseconds of stereo, ten of mono: 960 bytes, which fit into a packet.
_L16_FRAME_BYTES = 960

# Bits a second for each channel.
_AAC_BIT_RATE = 64_000
_OPUS_BIT_RATE = 48_000


class AudioEncoder:
    """Encodes planar float samples (`fltp`) in frames of `frame_size`; the last may be shorter.

    The times of what comes out include the encoder's delay: a frame's `pts` is the time of the
    first sample that decoding it gives, the priming before what was put in first included.
    """

    codec: AudioCodec
    """What comes out."""

    def __init__(
        self,
        encoder: str,
        layout: str,
        *,
        sample_rate: int = SAMPLE_RATE,
        sample_format: str,
        frame_size: int,
        bit_rate: int | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        """Open FFmpeg's `encoder` for a channel layout by FFmpeg's names: `"stereo"`, `"5.1"`."""
        context = CodecContext.create(encoder, "w")
        assert isinstance(context, AudioCodecContext)
        context.sample_rate = sample_rate
        context.layout = layout
        context.format = sample_format
        context.time_base = Fraction(1, sample_rate)
        if bit_rate:
            context.bit_rate = bit_rate
        context.flags |= Flags.global_header
        context.options = dict(options or {})
        context.open()
        self._context = context
        self.sample_rate = sample_rate
        """Hertz, of what goes in."""
        self.layout = layout
        """Channels of what goes in, by FFmpeg's name."""
        self.frame_size = frame_size
        """Samples that go in at once."""

    def encode(self, frame: AudioFrame) -> list[Coded]:
        """Encode `frame_size` samples; `frame.pts` counts samples."""
        return self._coded(self._context.encode(frame))

    def flush(self) -> list[Coded]:
        """What is still inside, at the end."""
        return self._coded(self._context.encode(None))

    def _coded(self, packets: Iterable[Packet[Stream]]) -> list[Coded]:
        coded = []
        for packet in packets:
            data = bytes(packet)
            pts = Fraction(packet.pts or 0, self.sample_rate)
            coded.append(Coded([data], pts, pts, Fraction(self._samples(data), self.sample_rate)))
        return coded

    def _samples(self, data: bytes) -> int:
        """How many samples decoding the frame gives."""
        return self.frame_size


class AacEncoder(AudioEncoder):
    """AAC-LC at 48 kHz: mono, stereo or 5.1."""

    codec: Aac

    def __init__(self, layout: str = "stereo", bit_rate: int | None = None) -> None:
        """Open the encoder for a channel layout by FFmpeg's names."""
        channels = {"mono": 1, "stereo": 2, "5.1": 6}[layout]
        super().__init__(
            "aac",
            layout,
            sample_format="fltp",
            frame_size=_AAC_FRAME,
            bit_rate=bit_rate or _AAC_BIT_RATE * channels,
        )
        self.codec = Aac(self._context.extradata or b"")


class OpusEncoder(AudioEncoder):
    """Opus, frames of 20 ms and all of the same size: mono or stereo."""

    codec: Opus

    def __init__(
        self,
        layout: str = "stereo",
        bit_rate: int | None = None,
        *,
        low_delay: bool = False,
        loss_percent: int = 0,
    ) -> None:
        """Open the encoder for a channel layout by FFmpeg's names.

        With `low_delay`, frames are of 10 ms and 2.5 ms are looked ahead instead of 6.5 ms
        (RFC 6716, 2.1.5). Where packets may be lost, so many of a hundred, speech brings the
        frame before along (in-band FEC, 2.1.7).
        """
        options = {"application": "lowdelay", "frame_duration": "10"} if low_delay else {}
        if loss_percent:
            options |= {"fec": "1", "packet_loss": str(loss_percent)}
        channels = {"mono": 1, "stereo": 2}[layout]
        super().__init__(
            "libopus",
            layout,
            sample_format="flt",
            frame_size=_OPUS_SHORT_FRAME if low_delay else _OPUS_FRAME,
            bit_rate=bit_rate or _OPUS_BIT_RATE * channels,
            options={"vbr": "off", **options},
        )
        self.codec = Opus(channels)


class G711Encoder(AudioEncoder):
    """G.711 as telephones have it, 8 kHz mono, in frames of 20 ms."""

    codec: G711

    def __init__(self, law: Literal["pcmu", "pcma"]) -> None:
        super().__init__(
            {"pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}[law],
            "mono",
            sample_rate=_G711_RATE,
            sample_format="s16",
            frame_size=_G711_FRAME,
        )
        self.codec = G711(law)

    def _samples(self, data: bytes) -> int:
        return len(data)


class L16Encoder(AudioEncoder):
    """L16 at 48 kHz in frames that fit into a packet: mono or stereo."""

    codec: L16

    def __init__(self, layout: str = "stereo") -> None:
        """Open the encoder for a channel layout by FFmpeg's names."""
        channels = {"mono": 1, "stereo": 2}[layout]
        self._sample_bytes = 2 * channels
        super().__init__(
            "pcm_s16be",
            layout,
            sample_format="s16",
            frame_size=_L16_FRAME_BYTES // self._sample_bytes,
        )
        self.codec = L16(SAMPLE_RATE, channels)

    def _samples(self, data: bytes) -> int:
        return len(data) // self._sample_bytes
