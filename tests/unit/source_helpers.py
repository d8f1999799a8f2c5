"""What a source makes, taken apart and decoded: pictures and sound with their times."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import cast

import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsocket.client.decode import Decoder
from streamsocket.media.codec import Codec, Track
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.sources import link, pacer, test_pattern, yardstick
from streamsocket.sources.outlet import Outlet, StoppedError
from streamsocket.sources.spec import TestSpec


@dataclass
class Seen:
    """One track, decoded. Times are in seconds of the track's own RTP clock."""

    codec: Codec
    """As the depacketizer learnt it in band."""
    batches: list[Batch]
    frames: list[VideoFrame | AudioFrame]

    @property
    def pictures(self) -> list[tuple[Fraction, NDArray[np.uint8]]]:
        """Time and brightness of each."""
        return [
            (self._time(frame), np.asarray(frame.to_ndarray()[: frame.height], np.uint8))
            for frame in self.frames
            if isinstance(frame, VideoFrame)
        ]

    @property
    def flashes(self) -> list[float]:
        """When the picture is white."""
        return [float(time) for time, luma in self.pictures if yardstick.is_flash(luma)]

    @property
    def beeps(self) -> list[float]:
        """When beeps begin."""
        samples, begin = self.samples
        onsets = yardstick.beep_onsets(samples, self.codec.clock_rate)
        return [float(begin + Fraction(each, self.codec.clock_rate)) for each in onsets]

    @property
    def samples(self) -> tuple[NDArray[np.float64], Fraction]:
        """The first channel's, within -1 … 1, and when they begin; checked to be without gaps."""
        sounds = [frame for frame in self.frames if isinstance(frame, AudioFrame)]
        expected = self._time(sounds[0])
        for frame in sounds:
            assert abs(self._time(frame) - expected) <= Fraction(2, self.codec.clock_rate)
            expected += Fraction(frame.samples, frame.sample_rate)
        return np.concatenate([_first_channel(frame) for frame in sounds]), self._time(sounds[0])

    @property
    def bit_rate(self) -> float:
        """Bits a second, without headers."""
        stamps = sorted(batch.timestamp for batch in self.batches)
        ticks = (stamps[-1] - stamps[0]) * len(stamps) / (len(stamps) - 1)
        size = sum(len(batch.buffer) - 12 * len(batch.sizes) for batch in self.batches)
        return 8 * size * self.codec.clock_rate / ticks

    def _time(self, frame: VideoFrame | AudioFrame) -> Fraction:
        assert frame.pts is not None
        return Fraction(frame.pts, self.codec.clock_rate)


def decode(codec: Codec, batches: Iterable[Batch]) -> Seen:
    """What a viewer who knows the codec from the SDP sees."""
    batches = list(batches)
    depacketizing = depacketizer(codec)
    decoder = Decoder(codec)
    frames: list[VideoFrame | AudioFrame] = []
    for batch in batches:
        for packet in map(parse_rtp, batch.packets()):
            assert len(packet.payload) <= 1200
            for unit in depacketizing.push(
                packet.payload, batch.timestamp, packet.marker, gap=False
            ):
                frames += decoder.decode(unit)
    for unit in depacketizing.flush():
        frames += decoder.decode(unit)
    frames += decoder.flush()
    assert decoder.errors == decoder.skipped == 0
    return Seen(depacketizing.codec, batches, frames)


@dataclass
class FastOutlet:
    """An outlet in whose time nobody waits; it stops the source after some seconds."""

    seconds: float
    now: float = 1000.0
    tracks: Sequence[Track] = ()
    made: list[link.TrackBatch] = field(default_factory=list)
    keyframes_at: list[float] = field(default_factory=list)
    """When viewers ask for keyframes, in seconds after the beginning."""
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._end = self.now + self.seconds
        self._asked = [self.now + each for each in self.keyframes_at]

    def monotonic(self) -> float:
        return self.now

    def time(self) -> float:
        return self.now + 1_700_000_000.25

    def event(self, event: link.Event) -> None:
        if isinstance(event, link.Tracks):
            self.tracks = event.tracks
        elif isinstance(event, link.Note):
            self.notes.append(event.text)

    def batches(self, batches: Iterable[link.TrackBatch]) -> None:
        self.made += batches

    def wait_until(self, deadline: float) -> None:
        self.now = max(self.now, deadline)
        if self.now > self._end:
            raise StoppedError

    def keyframe_wanted(self) -> bool:
        wanted = bool(self._asked) and self._asked[0] <= self.now
        self._asked = self._asked[wanted:]
        return wanted

    def seen(self, track: int) -> Seen:
        return decode(
            self.tracks[track].codec, (batch for index, batch in self.made if index == track)
        )


def run_test_pattern(
    spec: TestSpec,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    keyframes_at: Sequence[float] = (),
) -> FastOutlet:
    """So many seconds of the test pattern, as fast as they can be made."""
    outlet = FastOutlet(seconds, keyframes_at=list(keyframes_at))

    class Clock:
        localtime = staticmethod(time.localtime)
        monotonic = staticmethod(outlet.monotonic)
        time = staticmethod(outlet.time)

    with monkeypatch.context() as patch:
        patch.setattr(test_pattern, "time", Clock)
        patch.setattr(pacer, "time", Clock)
        with pytest.raises(StoppedError):
            test_pattern.run_test_pattern(spec, cast(Outlet, outlet))
    return outlet


def _first_channel(frame: AudioFrame) -> NDArray[np.float64]:
    array = frame.to_ndarray()
    channels = len(frame.layout.channels)
    first = array[0] if frame.format.is_planar else array.reshape(-1)[::channels]
    return first / 32768 if first.dtype == np.int16 else first.astype(np.float64)
