"""Tracks that cannot be passed on: decoded and encoded again as H.264 or AAC, times kept."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from fractions import Fraction

import av
from av.audio.frame import AudioFrame
from av.audio.resampler import AudioResampler
from av.audio.stream import AudioStream
from av.filter import Graph
from av.packet import Packet
from av.stream import Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from streamsocket.codecs.coded import Coded
from streamsocket.codecs.encode import AAC_FRAME, SAMPLE_RATE, AudioEncoder, VideoEncoder
from streamsocket.media.codec import Codec

_DEFAULT_RATE = Fraction(25)
_MAX_RATE = 120

# By FFmpeg's count, a rotation is against the clock.
_TURN = {90: "transpose=cclock", 180: "hflip,vflip", 270: "transpose=clock"}

# A decoder holds back at most 16 pictures (H.264, A.3.1), its threads a few more.
_MAX_REORDER = 64

# Sound that is off its place by more than this begins anew there; less is the file's rounding.
_MAX_SOUND_GAP_S = Fraction(1, 20)


class TranscodedVideo:
    """Decodes pictures, turns them upright, and encodes them as H.264 (8 bits, 4:2:0)."""

    def __init__(self, stream: VideoStream, rotation: int) -> None:
        """Take a demuxer's stream and by how many degrees, against the clock, to turn it."""
        context = stream.codec_context
        context.thread_type = "AUTO"
        turned = rotation in (90, 270)
        width, height = context.width, context.height
        width, height = (height, width) if turned else (width, height)
        # 4:2:0 has a colour sample for every two pixels and lines: sizes must be even.
        self._size = max(2, width & ~1), max(2, height & ~1)
        rate = stream.guessed_rate or stream.average_rate or _DEFAULT_RATE
        self._rate = Fraction(rate) if 0 < rate <= _MAX_RATE else _DEFAULT_RATE
        self._stream = stream
        self._rotation = rotation
        self._encoder = VideoEncoder(*self._size, self._rate)
        self._graph: Graph | None = None
        self._graph_input: tuple[int, int, str] | None = None
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
        return self._encode(_decode(self._stream, None)) + self._encoder.flush()

    def _encode(self, frames: Iterator[VideoFrame | AudioFrame]) -> list[Coded]:
        coded = []
        for frame in frames:
            assert isinstance(frame, VideoFrame)
            pts = self._pts(frame)
            if self._last_pts is None or pts > self._last_pts:
                self._last_pts = pts
                coded += self._encoder.encode(self._upright(frame), pts)
        return coded

    def _pts(self, frame: VideoFrame) -> Fraction:
        if frame.pts is not None and frame.time_base is not None:
            return frame.pts * frame.time_base
        if self._decoding_times:
            # Pictures are shown in the order they come out, at the times of the order they go in.
            return self._decoding_times.popleft()
        return Fraction(0) if self._last_pts is None else self._last_pts + 1 / self._rate

    def _upright(self, frame: VideoFrame) -> VideoFrame:
        """The picture as it is to be seen, at the size that was announced."""
        given = frame.width, frame.height, frame.format.name
        if self._graph is None or self._graph_input != given:
            self._graph, self._graph_input = self._build_graph(frame), given
        self._graph.vpush(frame)
        return self._graph.vpull()

    def _build_graph(self, frame: VideoFrame) -> Graph:
        graph = Graph()
        node = graph.add_buffer(
            width=frame.width,
            height=frame.height,
            format=frame.format,
            time_base=frame.time_base or Fraction(1, 90_000),
        )
        width, height = self._size
        turn = _TURN.get(self._rotation)
        steps = [*(turn.split(",") if turn else []), f"scale={width}:{height}", "format=yuv420p"]
        for step in [*steps, "buffersink"]:
            name, _, arguments = step.partition("=")
            following = graph.add(name, arguments or None)
            node.link_to(following)
            node = following
        graph.configure()
        return graph


class TranscodedSound:
    """Decodes sound and encodes it as AAC at 48 kHz: mono, stereo or 5.1."""

    def __init__(self, stream: AudioStream) -> None:
        """Take a demuxer's stream."""
        self._layout = {1: "mono", 6: "5.1"}.get(stream.codec_context.channels, "stereo")
        self._stream = stream
        self._encoder = AudioEncoder(self._layout)
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
                self._next_sample = round(pts * SAMPLE_RATE)
                self._expected = pts
            self._expected += Fraction(frame.samples, frame.sample_rate)
            coded += self._encode_resampled(frame)
        return coded

    def _encode_resampled(self, frame: AudioFrame | None) -> list[Coded]:
        coded = []
        for resampled in self._resampler.resample(frame):
            resampled.pts = self._next_sample
            resampled.time_base = Fraction(1, SAMPLE_RATE)
            self._next_sample += resampled.samples
            coded += self._encoder.encode(resampled)
        return coded

    def _new_resampler(self) -> AudioResampler:
        return AudioResampler("fltp", self._layout, SAMPLE_RATE, frame_size=AAC_FRAME)


def _decode(
    stream: VideoStream | AudioStream, packet: Packet[Stream] | None
) -> Iterator[VideoFrame | AudioFrame]:
    try:
        yield from stream.decode(packet)
    except av.FFmpegError:
        pass  # a damaged packet costs its picture, not the stream
