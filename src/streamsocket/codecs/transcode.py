"""Tracks that are not passed on as they are: decoded and encoded again, times kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsocket.codecs.coded import Coded
from streamsocket.codecs.encode import encodable_size, make_audio_encoder, make_video_encoder
from streamsocket.codecs.frame_rate import SteadyRate
from streamsocket.codecs.scale import Scaler, shown_size
from streamsocket.codecs.video import BT601, Colours
from streamsocket.media.codec import Codec

_RGB = 0
"""ITU-T H.273's number of the matrix that is none."""

_DEFAULT_RATE = Fraction(25)
_MAX_RATE = 120

# A decoder holds back at most 16 pictures (H.264, A.3.1), its threads a few more.
_MAX_REORDER = 64

# Sound that is off its place by more than this begins anew there; less is the file's rounding.
_MAX_SOUND_GAP_S = Fraction(1, 20)


class TranscodedVideo:
    """Decodes pictures, turns them upright, and encodes them."""

    def __init__(
        self,
        stream: VideoStream,
        rotation: int,
        *,
        codec: str = "h264",
        size: tuple[int, int] | None = None,
        rate: Fraction | None = None,
        bit_rate: int | None = None,
    ) -> None:
        """Take a demuxer's stream and by how many degrees, against the clock, to turn it.

        `codec` is the name of what comes out, of exactly this `size` and at exactly this `rate`,
        pictures a second, if they are given; otherwise as the stream has them.
        """
        context = stream.codec_context
        context.thread_type = "AUTO"
        pixel_aspect = Fraction(stream.sample_aspect_ratio or 1)
        shown = shown_size(context.width, context.height, rotation, pixel_aspect)
        size = encodable_size(codec, *(size or shown))
        declared = stream.guessed_rate or stream.average_rate or _DEFAULT_RATE
        self._rate = Fraction(declared) if 0 < declared <= _MAX_RATE else _DEFAULT_RATE
        self._steady = SteadyRate(rate) if rate else None
        self._stream = stream
        self._encoder = make_video_encoder(
            codec, *size, rate or self._rate, bit_rate=bit_rate, colours=_colours(context)
        )
        self._scaler = Scaler(
            size,
            rotation,
            pixel_aspect,
            self._encoder.pixel_format,
            in_bt601=not self._encoder.tells_colours,
        )
        self._last_pts: Fraction | None = None
        self._decoding_times: deque[Fraction] = deque(maxlen=_MAX_REORDER)
        self.codec: Codec = self._encoder.codec

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet; return the pictures that came out, none where it is damaged."""
        if packet.pts is None and packet.dts is not None:
            self._decoding_times.append(packet.dts * packet.time_base)
        return self._encode(_decode(self._stream, packet))

    def flush(self) -> list[Coded]:
        """What is left at the file's end."""
        coded = self._encode(_decode(self._stream, None))
        if self._steady and self._last_pts is not None:
            for frame, pts in self._steady.flush(self._last_pts + 1 / self._rate):
                coded += self._encoder.encode(frame, pts)
        return coded + self._encoder.flush()

    def _encode(self, frames: Iterator[VideoFrame | AudioFrame]) -> list[Coded]:
        coded = []
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            pts = self._pts(frame)
            if self._last_pts is not None and pts <= self._last_pts:
                continue
            self._last_pts = pts
            scaled = self._scaler.scale(frame)
            ready = self._steady.take(scaled, pts) if self._steady else [(scaled, pts)]
            for each, shown_at in ready:
                coded += self._encoder.encode(each, shown_at)
        return coded

    def _pts(self, frame: VideoFrame) -> Fraction:
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        if self._decoding_times:
            # Pictures are shown in the order they come out, at the times of the order they go in.
            return self._decoding_times.popleft()
        return Fraction(0) if self._last_pts is None else self._last_pts + 1 / self._rate


class TranscodedSound:
    """Decodes sound and encodes it at the rate and with the channels that the codec takes."""

    def __init__(
        self, stream: AudioStream, *, codec: str = "aac", bit_rate: int | None = None
    ) -> None:
        """Take a demuxer's stream; `codec` is the name of what comes out."""
        self._stream = stream
        self._encoder = make_audio_encoder(codec, stream.codec_context.channels, bit_rate=bit_rate)
        self._resampler = self._new_resampler()
        self._expected: Fraction | None = None
        self._next_sample = 0
        self.codec: Codec = self._encoder.codec

    def take(self, packet: Packet[Stream]) -> list[Coded]:
        """Take a packet; return the frames that came out, none where it is damaged."""
        return self._encode(_decode(self._stream, packet))

    def flush(self) -> list[Coded]:
        """What is left at the file's end."""
        coded = self._encode(_decode(self._stream, None))
        return coded + self._encode_resampled(None) + self._encoder.flush()

    def _encode(self, frames: Iterator[VideoFrame | AudioFrame]) -> list[Coded]:
        coded = []
        for frame in frames:
            assert isinstance(frame, AudioFrame)
            pts = self._expected
            if frame.pts is not None and frame.time_base is not None:
                pts = frame.pts * frame.time_base
            pts = pts or Fraction(0)
            if self._expected is None or abs(pts - self._expected) > _MAX_SOUND_GAP_S:
                # What is left of the frame before the gap is less than one coded frame.
                self._resampler = self._new_resampler()
                self._next_sample = round(pts * self._encoder.sample_rate)
                self._expected = pts
            self._expected += Fraction(frame.samples, frame.sample_rate)
            coded += self._encode_resampled(frame)
        return coded

    def _encode_resampled(self, frame: AudioFrame | None) -> list[Coded]:
        coded = []
        for resampled in self._resampler.resample(frame):
            resampled.pts = self._next_sample
            resampled.time_base = Fraction(1, self._encoder.sample_rate)
            self._next_sample += resampled.samples
            coded += self._encoder.encode(resampled)
        return coded

    def _new_resampler(self) -> AudioResampler:
        encoder = self._encoder
        return AudioResampler(
            "fltp", encoder.layout, encoder.sample_rate, frame_size=encoder.frame_size
        )


def _colours(context: VideoCodecContext) -> Colours:
    # RGB becomes BT.601.
    matrix = context.colorspace if context.colorspace != _RGB else BT601
    return Colours(context.color_primaries, context.color_trc, matrix)


def _decode(
    stream: VideoStream | AudioStream, packet: Packet[Stream] | None
) -> Iterator[VideoFrame | AudioFrame]:
    try:
        yield from stream.decode(packet)
    except av.FFmpegError:
        pass  # a damaged packet costs its picture, not the stream
