"""Devices as live sources in the source's own process, with FFmpeg's virtual camera."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import cast

import pytest
from tests.unit.source_helpers import decode

from streamsocket.media.codec import H264, Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources.devices.spec import CaptureSpec, PictureSpec
from streamsocket.sources.encoding import AS_IT_IS, Encoding
from streamsocket.sources.process import SourceProcess, SourceStatus

_PATIENCE_S = 20.0


def _virtual(graph: str, encoding: Encoding = AS_IT_IS) -> CaptureSpec:
    return CaptureSpec(PictureSpec("lavfi", f"{graph},realtime"), None, encoding)


@dataclass
class _Publication:
    tracks: Sequence[Track]
    request_keyframe: Callable[[], None] | None
    batches: list[tuple[float, Batch]] = field(default_factory=list)

    def write(self, track: int, batch: Batch) -> None:
        self.batches.append((time.time(), batch))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        pass


class _Bench:
    """A source's process and what it makes."""

    def __init__(self, spec: CaptureSpec) -> None:
        self.publications: list[_Publication] = []
        self.statuses: list[SourceStatus] = []
        loop = asyncio.get_running_loop()
        self.source = SourceProcess("it", spec, loop, self._publish, self.statuses.append)

    def _publish(
        self, name: str, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> _Publication:
        self.publications.append(_Publication(tracks, request_keyframe))
        return self.publications[-1]

    @property
    def batches(self) -> list[tuple[float, Batch]]:
        return [each for publication in self.publications for each in publication.batches]

    @property
    def brightness(self) -> float:
        """Of the newest picture."""
        [publication] = self.publications
        batches = [batch for _, batch in publication.batches]
        last = max(number for number, batch in enumerate(batches) if batch.keyframe)
        frame = decode(publication.tracks[0].codec, batches[last:]).pictures[-1][1]
        return float(frame.mean())

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - any condition, whatever changes it
                await asyncio.sleep(0.01)

    async def more(self, count: int) -> None:
        wanted = len(self.batches) + count
        await self.until(lambda: len(self.batches) >= wanted)


@contextlib.asynccontextmanager
async def _running(spec: CaptureSpec) -> object:  # type: ignore[misc]
    bench = _Bench(spec)
    bench.source.start()
    try:
        yield bench
    finally:
        await bench.source.stop()


def test_a_camera_is_a_live_stream() -> None:
    async def run() -> _Bench:
        async with _running(_virtual("testsrc=size=640x360:rate=30")) as bench:
            await bench.more(50)
            had = sum(batch.keyframe for _, batch in bench.batches)
            await asyncio.sleep(0.6)
            bench.publications[0].request_keyframe()
            await bench.until(lambda: sum(batch.keyframe for _, batch in bench.batches) > had)
        return cast(_Bench, bench)

    bench = asyncio.run(run())
    [publication] = bench.publications
    [track] = publication.tracks
    assert isinstance(track.codec, H264)
    assert track.frame_rate == 30
    seen = decode(track.codec, [batch for _, batch in publication.batches])
    assert seen.pictures[0][1].shape == (360, 640)
    ages = [arrived - batch.capture_time for arrived, batch in publication.batches]
    assert 0 <= sorted(ages)[len(ages) // 2] < 0.2
    [note] = {status.message for status in bench.statuses if status.message}
    assert note == "The camera has no 1280x720 at 30, it is taken at 640x360 at 30."


def test_a_camera_is_encoded_as_asked_for() -> None:
    encoding = Encoding(size=(320, 180), fps=Fraction(10), video_codec="vp8")

    async def run() -> _Bench:
        async with _running(_virtual("testsrc=size=640x480:rate=30", encoding)) as bench:
            await bench.more(12)
        return cast(_Bench, bench)

    [publication] = asyncio.run(run()).publications
    assert publication.tracks[0].codec.name == "vp8"
    assert publication.tracks[0].frame_rate == 10
    batches = [batch for _, batch in publication.batches]
    assert decode(publication.tracks[0].codec, batches).pictures[0][1].shape == (180, 320)
    steps = [(b.timestamp - a.timestamp) / 90_000 for a, b in pairwise(batches)]
    assert sum(steps) / len(steps) == pytest.approx(0.1, rel=0.2)


def test_a_hidden_camera_is_dark_and_comes_back() -> None:
    async def run() -> None:
        async with _running(_virtual("color=white:size=320x180:rate=30")) as bench:
            await bench.more(5)
            assert bench.brightness > 200
            bench.source.hide_picture(True)
            await bench.until(lambda: bench.brightness < 20)
            began, count = time.monotonic(), len(bench.batches)
            await bench.more(6)
            assert 2 <= (len(bench.batches) - count) / (time.monotonic() - began) <= 6
            bench.source.hide_picture(False)
            await bench.until(lambda: bench.brightness > 200)

    asyncio.run(run())


@pytest.mark.slow
def test_a_camera_stays_hidden_when_its_process_crashes() -> None:
    async def run() -> None:
        async with _running(_virtual("color=white:size=320x180:rate=30")) as bench:
            await bench.more(5)
            bench.source.hide_picture(True)
            await bench.until(lambda: bench.brightness < 20)
            os.kill(bench.source._process.pid, signal.SIGSEGV)
            await bench.until(lambda: len(bench.publications) == 2)
            del bench.publications[0]
            await bench.more(6)
            assert bench.brightness < 20

    asyncio.run(run())


@pytest.mark.slow
def test_a_camera_that_ends_is_waited_for_and_comes_back() -> None:
    async def run() -> _Bench:
        async with _running(_virtual("color=white:size=320x180:rate=30:duration=1")) as bench:
            await bench.until(lambda: bench.source.status.state == "waiting")
            assert "is gone: it goes on once it is back." in bench.source.status.message
            await bench.until(lambda: bench.source.status.state == "live")
            assert bench.source.status.message is None
            await bench.until(lambda: bench.source.status.state == "waiting")
        return cast(_Bench, bench)

    bench = asyncio.run(run())
    [publication] = bench.publications
    times = [batch.timestamp / 90_000 for _, batch in publication.batches]
    assert max(b - a for a, b in pairwise(times)) < 1.6
