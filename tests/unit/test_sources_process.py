"""Sources as the server sees them: processes that start, stream, crash and end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import pytest

from streamsocket import child
from streamsocket.errors import StreamSocketError
from streamsocket.media.codec import Opus, Track, Vp8
from streamsocket.rtp.batch import Batch
from streamsocket.sources import link
from streamsocket.sources import process as process_module
from streamsocket.sources.encoding import Encoding
from streamsocket.sources.movie import make_movie
from streamsocket.sources.process import SourceProcess, SourceStatus
from streamsocket.sources.spec import FileSpec, SourceSpec, TestSpec, UdpSpec

_SMALL = TestSpec(160, 90, Fraction(30))
_PATIENCE_S = 20.0


class _Publication:
    """Keeps what a source writes, and when."""

    def __init__(self, tracks: Sequence[Track]) -> None:
        self.tracks = tracks
        self.batches: list[tuple[float, int, Batch]] = []
        self.flushes: list[int] = []
        self.closed = False
        self.request_keyframe: Callable[[], None] | None = None

    def write(self, track: int, batch: Batch) -> None:
        self.batches.append((time.time(), track, batch))

    def flush(self) -> None:
        if len(self.batches) > (self.flushes[-1] if self.flushes else 0):
            self.flushes.append(len(self.batches))

    def close(self) -> None:
        self.closed = True

    def of(self, track: int) -> list[Batch]:
        return [batch for _, index, batch in self.batches if index == track]


class _Bench:
    """A source process under test, and all it did."""

    def __init__(self, spec: SourceSpec) -> None:
        self.publications: list[_Publication] = []
        self.statuses: list[SourceStatus] = []
        self.source = SourceProcess(
            "it", spec, asyncio.get_running_loop(), self._publish, self.statuses.append
        )

    def _publish(
        self, name: str, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> _Publication:
        publication = _Publication(tracks)
        publication.request_keyframe = request_keyframe
        self.publications.append(publication)
        return publication

    @property
    def pid(self) -> int:
        assert self.source._process
        return self.source._process.pid

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(_PATIENCE_S):
            while not condition():  # noqa: ASYNC110 - any condition, whatever changes it
                await asyncio.sleep(0.01)

    async def until_batches(self, count: int, publication: int = 0) -> _Publication:
        await self.until(
            lambda: (
                len(self.publications) > publication
                and len(self.publications[publication].batches) >= count
            )
        )
        return self.publications[publication]


def _run(spec: SourceSpec, scenario: Callable[[_Bench], Awaitable[None]]) -> _Bench:
    """Run a scenario with a started source; the source is stopped after it."""

    async def run() -> _Bench:
        bench = _Bench(spec)
        before = set(os.listdir("/proc/self/fd"))
        bench.source.start()
        try:
            await scenario(bench)
        finally:
            await bench.source.stop()
        assert set(os.listdir("/proc/self/fd")) == before
        assert all(publication.closed for publication in bench.publications)
        assert bench.source._process is not None
        assert bench.source._process.returncode is not None  # no zombie
        return bench

    return asyncio.run(run())


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("movies") / "movie.mp4"
    make_movie(path, seconds=0.8, size=(160, 90), rate=Fraction(25), b_frames=2)
    return str(path)


def test_a_movie_is_streamed_to_its_end(movie: str) -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until(lambda: bench.source.over)

    bench = _run(FileSpec(movie, loop=False), scenario)
    [publication] = bench.publications
    assert [track.kind for track in publication.tracks] == ["video", "audio"]
    assert publication.request_keyframe is None
    assert len(publication.of(0)) == 20
    assert publication.of(0)[0].keyframe
    assert bench.source.status.state == "ended"
    assert bench.source.status.duration_s == pytest.approx(0.8)
    assert [status.state for status in bench.statuses][-1] == "ended"
    # Sound shares the pictures' wakeups.
    assert len(publication.flushes) < len(publication.of(0)) + len(publication.of(1))


def test_a_movie_is_encoded_as_asked_for(movie: str) -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until(lambda: bench.source.over)

    encoding = Encoding(fps=Fraction(50), video_codec="vp8", audio_codec="opus")
    bench = _run(FileSpec(movie, False, encoding), scenario)
    [publication] = bench.publications
    assert [track.codec for track in publication.tracks] == [Vp8((160, 90)), Opus(2)]
    assert publication.tracks[0].frame_rate == 50
    assert len(publication.of(0)) == 40
    assert any("transcoded to VP8" in (status.message or "") for status in bench.statuses)


def test_nothing_leaves_before_it_was_captured(movie: str) -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(60)

    [publication] = _run(FileSpec(movie), scenario).publications
    latencies = [arrived - batch.capture_time for arrived, _, batch in publication.batches]
    assert min(latencies) > -0.001
    clocks = [batch.capture_time - batch.timestamp / 90_000 for batch in publication.of(0)]
    assert max(clocks) - min(clocks) < 0.005


def test_a_movie_loops_and_says_so(movie: str) -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until(lambda: bench.source.status.loops >= 2)

    status = _run(FileSpec(movie), scenario).source.status
    assert status.position_s is not None
    assert 0 <= status.position_s < 0.9


def test_the_test_pattern_streams_live() -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(60)

    [publication] = _run(_SMALL, scenario).publications
    assert publication.tracks[0].frame_rate == 30
    steps = {after.timestamp - before.timestamp for before, after in pairwise(publication.of(0))}
    assert all(step % 3000 == 0 for step in steps)
    sound = [batch.timestamp for batch in publication.of(1)]
    assert all(after - before == 480 for before, after in pairwise(sound))
    age = [arrived - batch.capture_time for arrived, _, batch in publication.batches]
    assert min(age) >= 0


def test_the_test_pattern_makes_a_keyframe_when_asked() -> None:
    async def scenario(bench: _Bench) -> None:
        publication = await bench.until_batches(1)
        assert publication.request_keyframe
        await bench.until(lambda: len(publication.of(0)) > 20)
        had = sum(batch.keyframe for batch in publication.of(0))
        publication.request_keyframe()
        asked = len(publication.of(0))
        await bench.until(lambda: sum(b.keyframe for b in publication.of(0)) > had)
        assert len(publication.of(0)) - asked < 45  # it would have taken up to 60

    _run(_SMALL, scenario)


def test_a_source_that_explains_itself_is_not_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "movie.mp4"
    path.write_text("This is no movie.")

    async def scenario(bench: _Bench) -> None:
        await bench.until(lambda: bench.source.over)

    bench = _run(FileSpec(str(path)), scenario)
    assert bench.source.status.state == "failed"
    assert "is no movie or sound" in (bench.source.status.message or "")
    assert not bench.publications
    assert bench.source._retry is None


def test_what_a_source_waits_for_is_said_until_it_comes() -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until(lambda: bench.source.status.state == "waiting")
        assert "udp://127.0.0.1" in (bench.source.status.message or "")
        bench.source._handle(link.Tracks((Track(Opus()),), makes_keyframes=False))
        assert bench.source.status.state == "live"
        assert bench.source.status.message is None

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    _run(UdpSpec("127.0.0.1", port, None), scenario)


def test_a_source_that_crashes_is_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "_FIRST_RETRY_S", 0.05)

    async def scenario(bench: _Bench) -> None:
        bench.source._retry_s = 0.05
        await bench.until_batches(1)
        os.kill(bench.pid, signal.SIGSEGV)
        await bench.until_batches(1, publication=1)

    bench = _run(_SMALL, scenario)
    [crash] = [status.message for status in bench.statuses if status.state == "failed"]
    assert crash == "The source of 'it' crashed (SIGSEGV). It starts again in 0.05 s."
    assert bench.source.status.state == "ended"


def test_it_waits_longer_after_every_crash() -> None:
    async def scenario(bench: _Bench) -> None:
        waits = []
        for _ in range(7):
            waits.append(bench.source._retry_s)
            bench.source._retry_later("It crashed.")
            assert bench.source._retry
            bench.source._retry.cancel()
        assert waits == [1, 2, 4, 8, 16, 30, 30]

    _run(_SMALL, scenario)


def test_a_process_that_does_not_listen_is_ended_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(child, "STOP_WAIT_S", 0.2)
    monkeypatch.setattr(child, "TERMINATE_WAIT_S", 0.2)

    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(1)
        os.kill(bench.pid, signal.SIGSTOP)

    bench = _run(_SMALL, scenario)
    assert bench.source._process
    assert bench.source._process.returncode == -signal.SIGKILL


def test_stopping_takes_no_time() -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(1)
        began = time.monotonic()
        await bench.source.stop()
        assert time.monotonic() - began < 1

    _run(_SMALL, scenario)


def test_a_source_can_be_stopped_before_it_has_begun() -> None:
    async def scenario(bench: _Bench) -> None:
        pass

    assert _run(_SMALL, scenario).source.status.state == "ended"


def test_a_name_that_is_taken_ends_the_source() -> None:
    def refuse(*_: object) -> _Publication:
        raise StreamSocketError("Somebody publishes 'it' already.")

    async def scenario(bench: _Bench) -> None:
        bench.source._publish = refuse
        await bench.until(lambda: bench.source.over)

    status = _run(_SMALL, scenario).source.status
    assert status == SourceStatus("failed", message="Somebody publishes 'it' already.")


def test_the_source_ends_when_the_server_is_gone() -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(1)
        assert bench.source._process
        bench.source._explained = True
        bench.source._hang_up()
        await bench.until(lambda: bench.source._process.poll() is not None)  # type: ignore[union-attr]
        assert bench.source._process.returncode == 0

    _run(_SMALL, scenario)


def test_nonsense_from_the_process_ends_it_and_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(bench: _Bench) -> None:
        await bench.until_batches(1)
        bench.source._decoder.feed(b"X")  # from here on, no message begins where it should
        await bench.until(lambda: bench.source.status.state == "failed")

    bench = _run(_SMALL, scenario)
    assert any("crashed (A message" in (status.message or "") for status in bench.statuses)
