"""Sound decoded, brought to one rate without gaps, and encoded again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

from av.audio.frame import AudioFrame
from av.error import BlockingIOError as NothingReadyError
from av.error import EOFError as EndedError
from av.error import FFmpegError
from av.filter import Graph

from streamsocket.client.decode import Decoder
from streamsocket.codecs.audio import AacEncoder, AudioEncoder, OpusEncoder
from streamsocket.codecs.coded import Coded
from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources.packing import Packer
from streamsocket.transcode.outcome import channels_of

_LOSS_PERCENT = 8
"""What Opus is prepared for in mono: those who get it get it over the Internet.

Not in stereo: libopus would code what is no music to it as speech, which lets the sides leak.
"""

# A timestamp that is off by more is a gap, which becomes silence, or too much, which is cut. What
# is off by less is drift or rounding, made up for by playing up to 0.4% faster or slower.
_GAP_S = 0.015
_MOST_DRIFT = 0.004
_DRIFT_FROM_S = 0.001

# Further off than this, it goes on at its new place: silence that is only made when it is over
# would come too late, all at once.
_JUMP_S = Fraction(1, 10)


class Sound:
    """One track of sound."""

    def __init__(self, track: Track, target: Target, on_made: Callable[[Track], None]) -> None:
        """`on_made` is told of the encoder's track."""
        self._target = target
        self._on_made = on_made
        self._channels = 0
        self._refused = 0
        self.encoded = 0
        """Frames that came out."""
        self.begin(track)

    def begin(self, track: Track) -> list[Batch]:
        """Take another publisher's track from now on."""
        self._clock_rate = track.codec.clock_rate
        self._decoder = Decoder(track.codec)
        self._graph: Graph | None = None
        self._graph_form: tuple[object, ...] = ()
        self._expected: Fraction | None = None
        channels = channels_of(track.codec, self._target)
        if channels != self._channels:
            self._channels = channels
            self._open()
            self._on_made(Track(self._encoder.codec))
        return []

    @property
    def errors(self) -> int:
        """Frames that could not be decoded, or are of a kind that cannot be encoded."""
        return self._decoder.errors + self._refused

    def take(self, unit: AccessUnit) -> list[Batch]:
        """Take a frame of sound; return those that are ready."""
        coded: list[Coded] = []
        for frame in self._decoder.decode(unit):
            assert isinstance(frame, AudioFrame)
            try:
                coded += self._encode(frame)
            except (FFmpegError, ValueError):  # a rate or layout that is no good
                self._refused += 1
                self._expected = None
        batches = []
        for each in coded:
            if batch := self._packer.pack(each, each.pts):
                if unit.capture_time is not None:
                    since = each.pts - Fraction(unit.timestamp, self._clock_rate)
                    batch = replace(batch, capture_time=unit.capture_time + float(since))
                batches.append(batch)
        self.encoded += len(batches)
        return batches

    def _encode(self, frame: AudioFrame) -> list[Coded]:
        assert frame.pts is not None
        pts = Fraction(frame.pts, self._clock_rate)
        form = frame.format.name, frame.layout.name, frame.sample_rate
        if self._expected is None or abs(pts - self._expected) > _JUMP_S:
            self._open()
            self._graph = None
        if self._graph is None or form != self._graph_form:
            self._graph, self._graph_form = self._build_graph(frame), form
            self._next: int | None = None
        self._expected = pts + Fraction(frame.samples, frame.sample_rate)
        self._graph.push(frame)
        return [each for ready in self._pull(self._graph) for each in self._encoder.encode(ready)]

    def _pull(self, graph: Graph) -> list[AudioFrame]:
        frames: list[AudioFrame] = []
        while True:
            try:
                frame = graph.pull()
            except (NothingReadyError, EndedError):
                return frames
            assert isinstance(frame, AudioFrame)
            if self._next is None:
                assert frame.pts is not None
                assert frame.time_base is not None
                self._next = round(frame.pts * frame.time_base * self._encoder.sample_rate)
            # Counted: the places that FFmpeg computes are rounded.
            frame.pts = self._next
            frame.time_base = Fraction(1, self._encoder.sample_rate)
            self._next += frame.samples
            frames.append(frame)

    def _open(self) -> None:
        layout = {1: "mono", 2: "stereo", 6: "5.1"}[self._channels]
        self._encoder: AudioEncoder = (
            AacEncoder(layout)
            if self._target.codec == "aac"
            else OpusEncoder(layout, loss_percent=_LOSS_PERCENT if layout == "mono" else 0)
        )
        self._packer = Packer(self._encoder.codec)

    def _build_graph(self, frame: AudioFrame) -> Graph:
        graph = Graph()
        rate = self._encoder.sample_rate
        node = graph.add(
            "abuffer",
            f"time_base=1/{self._clock_rate}:sample_rate={frame.sample_rate}"
            f":sample_fmt={frame.format.name}:channel_layout={frame.layout.name}",
        )
        steps = {
            # All channels of 5.1 together may be no louder than what goes in: then none is clipped.
            "aresample": f"{rate}:async={round(_MOST_DRIFT * frame.sample_rate)}"
            f":min_comp={_DRIFT_FROM_S}:min_hard_comp={_GAP_S}:rematrix_maxval=1"
            f":out_sample_fmt=fltp:out_chlayout={self._encoder.layout}",
            "aformat": f"sample_fmts=fltp:sample_rates={rate}"
            f":channel_layouts={self._encoder.layout}",
            "asetnsamples": f"{self._encoder.frame_size}:p=0",
            "abuffersink": None,
        }
        for name, arguments in steps.items():
            following = graph.add(name, arguments)
            node.link_to(following)
            node = following
        graph.configure()
        return graph
