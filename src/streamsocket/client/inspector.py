"""Decoding what arrives beside the loop, and looking for the test source's flash and beep."""

from __future__ import annotations

import queue
import threading
from collections import deque
from time import time
from typing import Any

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from streamsocket.client.decode import Decoder
from streamsocket.client.measure import MAX_VALUES, Spread
from streamsocket.client.receiver import Received
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Codec
from streamsocket.sources.yardstick import beep_onsets, is_flash

MAX_WAITING = 256
"""Access units that wait for the decoder: a join's burst fits, a slow machine is found out."""
FINISH_S = 2.0

_BLOCK_S = 2.0
_OVERLAP_S = 0.5
_EDGE_S = 0.05
_SAME_BEEP_S = 0.1
_HOLE_S = 0.005


class Inspector:
    """Decodes one track in a thread of its own, so that arrivals are timed undisturbed."""

    def __init__(self, codec: Codec) -> None:
        self.decoded = 0
        self.damaged = 0
        """Frames decoded from damaged data, as the decoder says."""
        self.not_decoded = 0
        """Access units left out because the decoder was too slow."""
        self.first_frame: float | None = None
        """When the first frame was decoded, in seconds since the epoch."""
        self.ready = Spread()
        self.flashes: deque[float] = deque(maxlen=MAX_VALUES)
        """RTP timestamps of white pictures."""
        self.beeps: deque[float] = deque(maxlen=MAX_VALUES)
        """RTP timestamps of the samples with which a beep begins."""
        self._white: list[int] = []
        self._decoder = Decoder(codec)
        self._listener = _BeepListener(codec.clock_rate, self.beeps)
        self._waiting: queue.Queue[tuple[AccessUnit, bool] | None] = queue.Queue(MAX_WAITING)
        self._left_out = False
        self._thread = threading.Thread(target=self._run, name=f"decode {codec.kind}", daemon=True)
        self._thread.start()

    @property
    def errors(self) -> int:
        """Access units that the decoder refused."""
        return self._decoder.errors

    def put(self, received: Received, *, settled: bool) -> None:
        """Have an access unit decoded; never waits. `settled`: its times count."""
        unit = received.unit
        if self._left_out and not unit.keyframe:
            self.not_decoded += 1
            return
        try:
            self._waiting.put_nowait((unit, settled))
            self._left_out = False
        except queue.Full:
            self.not_decoded += 1
            self._left_out = True

    def finish(self) -> None:
        """Wait, a little, until everything is decoded."""
        try:
            self._waiting.put(None, timeout=FINISH_S)
        except queue.Full:
            return
        self._thread.join(FINISH_S)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            unit, settled = item
            for frame in self._decoder.decode(unit):
                self._look(frame, settled)
        for frame in self._decoder.flush():
            self._look(frame, settled=True)
        self._listener.finish()

    def _look(self, frame: VideoFrame | AudioFrame, settled: bool) -> None:
        now = time()
        self.decoded += 1
        self.damaged += frame.is_corrupt
        if self.first_frame is None:
            self.first_frame = now
        if frame.pts is None or not settled:
            return  # a burst's timestamps are squeezed together: nothing can be read from them
        self.ready.add(frame.pts, now)
        if isinstance(frame, AudioFrame):
            self._listener.hear(frame)
        elif is_flash(luma(frame)):
            self._white.append(frame.pts)
        else:
            # A flash is one picture long; what stays white is something else.
            if len(self._white) == 1:
                self.flashes += self._white
            self._white.clear()


class _BeepListener:
    """Joins decoded sound into blocks that overlap, so that a beep across a border is found."""

    def __init__(self, clock_rate: int, beeps: deque[float]) -> None:
        self._clock_rate = clock_rate
        self._beeps = beeps
        self._rate = 0
        self._start = 0.0  # RTP timestamp of the first sample
        self._blocks: list[NDArray[np.float32]] = []
        self._length = 0

    def hear(self, frame: AudioFrame) -> None:
        samples = mono(frame)
        assert frame.pts is not None
        expected = self._start + self._length * self._clock_rate / (self._rate or 1)
        hole = abs(frame.pts - expected) > _HOLE_S * self._clock_rate
        if hole or frame.sample_rate != self._rate:
            self.finish()
            self._rate, self._start = frame.sample_rate, float(frame.pts)
            self._blocks, self._length = [], 0
        self._blocks.append(samples)
        self._length += len(samples)
        if self._length >= _BLOCK_S * self._rate:
            self.finish()

    def finish(self) -> None:
        """Look through what has gathered; its end is kept for the next look."""
        if not self._length:
            return
        block = np.concatenate(self._blocks)
        ticks = self._clock_rate / self._rate
        for onset in beep_onsets(block, self._rate):
            timestamp = self._start + onset * ticks
            # What begins at the block's very edge may have begun before it, and was found then.
            known = self._beeps and timestamp - self._beeps[-1] < _SAME_BEEP_S * self._clock_rate
            if onset >= _EDGE_S * self._rate and not known:
                self._beeps.append(timestamp)
        kept = block[-int(_OVERLAP_S * self._rate) :]
        self._start += (len(block) - len(kept)) * ticks
        self._blocks, self._length = [kept], len(kept)


def luma(frame: VideoFrame) -> NDArray[np.uint8]:
    """The brightness of a picture, height by width, without a copy where its format allows."""
    if not frame.format.name.startswith(("yuv4", "yuvj4", "nv12")) or "p1" in frame.format.name:
        frame = frame.reformat(format="gray")
    plane = frame.planes[0]
    rows = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return rows[: frame.height, : frame.width]


def mono(frame: AudioFrame) -> NDArray[np.float32]:
    """The mean of a sound frame's channels, from −1 to 1."""
    data: NDArray[Any] = frame.to_ndarray()
    if not frame.format.is_planar:
        data = data.reshape(-1, frame.layout.nb_channels).T
    mean = data.mean(axis=0, dtype=np.float32)
    if np.issubdtype(data.dtype, np.integer):
        mean /= np.iinfo(data.dtype).max
    return np.asarray(mean, np.float32)
