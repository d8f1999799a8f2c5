"""Tracks to transcode as the hub has them, and what came out, decoded."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ParamSpec

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray
from tests.unit.record_helpers import CAPTURED, Units

from streamsocket.client.decode import Decoder
from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track, VideoCodec
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.packet import parse_rtp
from streamsocket.rtp.payload import depacketizer, packetizer
from streamsocket.transcode.transcoder import Transcoder

P = ParamSpec("P")

DEADLINE_S = 20.0
"""Far longer than anything takes on a machine with nothing else to do."""


_running: list[Transcoder] = []


def in_a_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test that is a coroutine in an event loop; no transcoder is left behind."""

    async def run_and_stop(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            await test(*args, **kwargs)
        finally:
            while _running:
                await _running.pop().stop()

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(run_and_stop(*args, **kwargs))

    return run


def batches_of(track: Track, units: Units, *, first_sequence: int = 1000) -> list[Batch]:
    """The units in packets, numbered."""
    packs = packetizer(track.codec)
    batches = []
    sequence = first_sequence
    for _, unit in units:
        payloads = packs.packetize(unit)
        batches.append(
            build_batch(
                payloads,
                timestamp=unit.timestamp,
                capture_time=unit.capture_time or 0.0,
                keyframe=unit.keyframe,
                marker=packs.marker,
                sequence=sequence,
            )
        )
        sequence += len(payloads)
    return batches


def moved(units: Units, ticks: int) -> Units:
    """The same units later by so many ticks."""
    return [
        (index, AccessUnit(u.units, u.timestamp + ticks, u.keyframe, u.capture_time))
        for index, u in units
    ]


def decoded(track: Track, batches: Iterable[Batch]) -> list[VideoFrame | AudioFrame]:
    """What a player shows of them."""
    assembler, decoder = depacketizer(track.codec), Decoder(track.codec)
    frames: list[VideoFrame | AudioFrame] = []
    for batch in batches:
        for packet in map(parse_rtp, batch.packets()):
            for unit in assembler.push(packet.payload, batch.timestamp, packet.marker, False):
                frames += decoder.decode(unit)
    return frames


def rgb(frame: VideoFrame | AudioFrame) -> NDArray[np.float64]:
    """The colours of a picture, made small, as numbers."""
    assert isinstance(frame, VideoFrame)
    return frame.reformat(80, 48, "rgb24").to_ndarray().astype(float)


def samples(frames: Iterable[VideoFrame | AudioFrame]) -> NDArray[np.float64]:
    """Channels by samples, within -1 … 1."""
    parts = []
    for frame in frames:
        assert isinstance(frame, AudioFrame)
        data = frame.to_ndarray()
        if not frame.format.is_planar:
            data = data.reshape(-1, len(frame.layout.channels)).T
        parts.append(data / 32768 if data.dtype == np.int16 else data)
    return np.concatenate(parts, 1).astype(float)


@dataclass
class Transcoding:
    """A transcoder's process under test, and all that it says."""

    transcoder: Transcoder
    tracks: list[Track] = field(default_factory=list)
    batches: list[Batch] = field(default_factory=list)
    messages: list[str | None] = field(default_factory=list)
    keyframes_wanted: int = 0

    async def until(self, condition: Callable[[], object]) -> None:
        """Wait for something to be so."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, (self.tracks, len(self.batches), self.messages)
            await asyncio.sleep(0.01)

    async def write(self, batches: Iterable[Batch], origin: int, *, every_s: float = 0.0) -> None:
        """Write batches at a pace."""
        for batch in batches:
            self.transcoder.write([batch], origin)
            await asyncio.sleep(every_s)


def transcoding(track: Track, target: Target) -> Transcoding:
    """Start one. Within a running event loop."""
    made: Transcoding

    def on_keyframe_wanted() -> None:
        made.keyframes_wanted += 1

    transcoder = Transcoder(
        "live/lobby",
        track,
        target,
        asyncio.get_running_loop(),
        on_track=lambda track: made.tracks.append(track),
        on_batches=lambda batches: made.batches.extend(batches),
        on_message=lambda message: made.messages.append(message),
        on_keyframe_wanted=on_keyframe_wanted,
    )
    made = Transcoding(transcoder)
    _running.append(transcoder)
    transcoder.start()
    return made


def coded(
    encoder: str, codec: VideoCodec, *, seconds: float, **options: str
) -> tuple[Track, Units]:
    """Pictures as a browser sends them: no B-frames, nothing in the track's parameters."""
    rate = 25
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height, context.pix_fmt = 160, 96, "yuv420p"
    context.time_base, context.framerate = Fraction(1, rate), Fraction(rate)
    context.options = options
    packets: list[av.Packet[Any]] = []
    for number in range(round(seconds * rate)):
        ramp = (np.arange(160)[None, :] * 3 + np.arange(96)[:, None] + number * 5) % 256
        frame = VideoFrame.from_ndarray(
            np.stack([ramp, np.roll(ramp, number, 0), 255 - ramp], 2).astype(np.uint8), "rgb24"
        ).reformat(format="yuv420p")
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    return Track(codec), [
        (
            0,
            AccessUnit(
                [bytes(packet)],
                (packet.pts or 0) * 90_000 // rate,
                bool(packet.is_keyframe),
                CAPTURED + (packet.pts or 0) / rate,
            ),
        )
        for packet in packets
    ]
