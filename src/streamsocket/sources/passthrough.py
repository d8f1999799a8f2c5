"""Tracks that are passed on as they are: a demuxer's packets as access units."""

from __future__ import annotations

from fractions import Fraction
from typing import Protocol

import av
from av.bitstream import BitStreamFilterContext
from av.packet import Packet
from av.stream import Stream

from streamsocket.codecs.coded import Coded
from streamsocket.errors import ParseError
from streamsocket.media import aac, h264, h265, nal
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Codec, Opus, VideoCodec, Vp8
from streamsocket.media.opus import packet_duration
from streamsocket.rtp.packet import MAX_PAYLOAD

# A decoder holds back no more than 16 pictures (H.264, A.3.1): as many may lack a decoding time.
_MAX_REORDER = 16

# VP8's RTP clock.
_TICK_S = Fraction(1, Vp8.clock_rate)

_ADTS_HEADER, _ADTS_HEADER_WITH_CRC = 7, 9


class Feed(Protocol):
    """Makes one track's access units from a demuxer's packets."""

    codec: Codec

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet; return the access units that are ready."""

    def flush(self) -> list[Coded]:
        """What is left at the file's end."""


class PassedVideo:
    """Pictures as they are in the file; those of NAL units with the parameter sets in band."""

    def __init__(self, stream: Stream, codec: VideoCodec) -> None:
        self.codec: Codec = codec
        self._syntax: nal.NalSyntax | None = None
        self._to_annexb: BitStreamFilterContext | None = None
        if isinstance(codec, H264 | H265):
            is_h264 = isinstance(codec, H264)
            self._syntax = h264.SYNTAX if is_h264 else h265.SYNTAX
            if (stream.codec_context.extradata or b"")[:1] == b"\x01":
                name = "h264_mp4toannexb" if is_h264 else "hevc_mp4toannexb"
                self._to_annexb = BitStreamFilterContext(name, stream)
        self._last_pts: Fraction | None = None
        self._frame_s = 1 / (stream.average_rate or Fraction(25))
        self._waiting: list[Coded] = []

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet; return the pictures whose decoding time is known."""
        dts_known = packet.dts is not None
        coded = [unit for part in self._annexb(packet) if (unit := self._coded(part))]
        if not dts_known and len(self._waiting) < _MAX_REORDER:
            self._waiting += coded
            return []
        return self._with_decoding_times(coded) + coded

    def flush(self) -> list[Coded]:
        """Pictures whose decoding time never became known."""
        waiting, self._waiting = self._waiting, []
        return waiting

    def _annexb(self, packet: Packet[Stream]) -> list[Packet[Stream]]:
        if not self._to_annexb:
            return [packet]
        try:
            return list(self._to_annexb.filter(packet))
        except av.FFmpegError:
            return []  # a damaged packet; the decoder will say so too

    def _coded(self, packet: Packet[Stream]) -> Coded | None:
        units = self._units(bytes(packet))
        ticks = packet.pts if packet.pts is not None else packet.dts
        if not units or ticks is None:
            return None
        base = packet.time_base
        pts = ticks * base
        if isinstance(self.codec, Vp8):
            # A frame that isn't shown has the time of the next one where a file rounds them.
            if self._last_pts is not None and 0 <= self._last_pts - pts < base:
                pts = self._last_pts + _TICK_S
            self._last_pts = pts
        dts = pts if packet.dts is None else min(packet.dts * base, pts)
        duration = packet.duration * base if packet.duration else self._frame_s
        keyframe = packet.is_keyframe or bool(self._syntax and self._syntax.is_keyframe(units))
        return Coded(units, pts, dts, duration, keyframe, packet.is_discard)

    def _units(self, data: bytes) -> list[bytes]:
        if not self._syntax:
            return [data]
        try:
            return nal.split_annexb(data)
        except ParseError:
            return []  # damaged, too

    def _with_decoding_times(self, following: list[Coded]) -> list[Coded]:
        """Pictures that came without decoding time (Matroska has none): evenly before the next."""
        waiting, self._waiting = self._waiting, []
        if following:
            for distance, unit in enumerate(reversed(waiting), start=1):
                unit.dts = min(unit.pts, following[0].dts - distance * self._frame_s)
        return waiting


class PassedSound:
    """AAC or Opus as it is in the file, each frame with its exact time.

    Matroska rounds times to milliseconds and MPEG-TS to 90 kHz; frames of sound follow each other
    without a gap, so their times are those of the frame before plus its length.
    """

    def __init__(self, stream: Stream, codec: Aac | Opus) -> None:
        self.codec: Codec = codec
        self._adts = isinstance(codec, Aac) and not stream.codec_context.extradata
        self._aac_frame_s: Fraction | None = None
        if isinstance(codec, Aac):
            config = aac.parse_audio_specific_config(codec.config)
            self._aac_frame_s = Fraction(config.frame_length, config.sample_rate)
        self._expected: Fraction | None = None

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet; return its frame."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        data = bytes(packet)
        if self._adts:
            data = _without_adts(data)
        if ticks is None or not data:
            return []
        base = packet.time_base
        pts = ticks * base
        if self._expected is not None and abs(pts - self._expected) <= 2 * base:
            pts = self._expected
        duration = self._aac_frame_s or Fraction(packet_duration(data), 48_000)
        self._expected = pts + duration
        if packet.duration and packet.duration * base < duration - 2 * base:
            # The file cuts the end off its last frame. Players of RTP can't: half of it or more
            # would sound into the beginning of the next pass.
            if packet.duration * base < duration / 2:
                return []
            duration = packet.duration * base
        return [Coded([data], pts, pts, duration, discard=packet.is_discard)]

    def flush(self) -> list[Coded]:
        """Nothing is held back."""
        return []


class PassedSamples:
    """G.711 or L16 as it is in the file, in frames that suit RTP: of 20 ms or, for L16, of 5 ms."""

    def __init__(self, stream: Stream, codec: G711 | L16) -> None:
        self.codec: Codec = codec
        is_l16 = isinstance(codec, L16)
        self._sample = codec.channels * (2 if is_l16 else 1)
        frame = codec.clock_rate // (200 if is_l16 else 50)
        self._frame = max(1, min(frame, MAX_PAYLOAD // self._sample)) * self._sample
        self._swap = stream.codec_context.codec.canonical_name == "pcm_s16le"
        self._rest = b""
        self._pts = Fraction(0)
        """Of the rest's first sample."""

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet of any number of samples; return the frames that are whole."""
        ticks = packet.pts if packet.pts is not None else packet.dts
        data = bytes(packet)
        if self._swap:
            data = _swapped(data)
        if ticks is not None:
            pts = ticks * packet.time_base
            if abs(pts - self._pts - self._seconds(self._rest)) > 2 * packet.time_base:
                self._rest, self._pts = b"", pts
        self._rest += data
        return self._frames(len(self._rest) // self._frame)

    def flush(self) -> list[Coded]:
        """The last frame, which may be shorter."""
        self._rest = self._rest[: len(self._rest) // self._sample * self._sample]
        return self._frames(1) if self._rest else []

    def _frames(self, count: int) -> list[Coded]:
        coded = []
        for _ in range(count):
            frame, self._rest = self._rest[: self._frame], self._rest[self._frame :]
            duration = self._seconds(frame)
            coded.append(Coded([frame], self._pts, self._pts, duration))
            self._pts += duration
        return coded

    def _seconds(self, data: bytes) -> Fraction:
        return Fraction(len(data) // self._sample, self.codec.clock_rate)


def _swapped(samples: bytes) -> bytes:
    """16-bit samples with their bytes in the other order."""
    swapped = bytearray(len(samples) & ~1)
    swapped[::2], swapped[1::2] = samples[1::2], samples[: len(samples) & ~1 : 2]
    return bytes(swapped)


def _without_adts(frame: bytes) -> bytes:
    """The coded frame without its ADTS header (ISO/IEC 14496-3, 1.A.3.2)."""
    if len(frame) < _ADTS_HEADER or frame[0] != 0xFF or frame[1] & 0xF0 != 0xF0:
        return b""
    return frame[_ADTS_HEADER if frame[1] & 1 else _ADTS_HEADER_WITH_CRC :]
