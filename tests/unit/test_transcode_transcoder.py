"""The transcoder's process, started, fed, and treated badly."""

from __future__ import annotations

import asyncio
import os
import signal
import time

import pytest
from tests.unit.record_helpers import BASES, CAPTURED, Units, sound, video
from tests.unit.transcode_helpers import (
    Transcoding,
    batches_of,
    decoded,
    in_a_loop,
    moved,
    transcoding,
)

from streamsocket import child
from streamsocket.errors import ParseError
from streamsocket.matching.target import Target
from streamsocket.media.codec import H264, Opus, Track, Vp8
from streamsocket.transcode import transcoder as transcoder_module
from streamsocket.transcode.transcoder import Transcoder

REAL_TIME_S = 0.04


def long_video(seconds: int) -> tuple[Track, Units]:
    """VP8 with a keyframe every second."""
    return video("libvpx", seconds=seconds, deadline="realtime", gop=25, **{"cpu-used": "8"})  # type: ignore[arg-type]


async def started(run: Transcoding, units: Units, track: Track) -> None:
    """Have the first pictures made, up to the last of them."""
    await run.write(batches_of(track, units), BASES[0], every_s=REAL_TIME_S)
    newest = units[-1][1].timestamp - BASES[0]
    await run.until(lambda: run.batches and run.batches[-1].timestamp == newest)


@in_a_loop
async def test_what_comes_out_counts_from_the_stream_s_beginning() -> None:
    track, units = video("libx264", seconds=1, bf="2")
    begin = time.monotonic()
    run = transcoding(track, Target("h264"))
    await run.until(lambda: run.tracks)  # before any picture
    assert time.monotonic() - begin < 5
    assert not run.batches
    [made] = run.tracks
    assert isinstance(made.codec, H264)
    assert made.codec.size == (160, 96)
    await run.write(batches_of(track, units), BASES[0] - 900, every_s=REAL_TIME_S)
    await run.until(lambda: len(run.batches) == 23)
    assert [batch.timestamp for batch in run.batches] == [900 + at * 3600 for at in range(23)]
    captured = [batch.capture_time - CAPTURED for batch in run.batches]
    assert captured == pytest.approx([at / 25 for at in range(23)], abs=1e-5)
    assert [batch.keyframe for batch in run.batches] == [True] + [False] * 22
    assert len(decoded(made, run.batches)) == 23
    assert (run.tracks, run.messages, run.keyframes_wanted) == ([made], [], 0)
    pid = run.transcoder.pid
    assert pid
    await run.transcoder.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@in_a_loop
async def test_sound_comes_out_and_is_known_at_once() -> None:
    track, units = sound("aac", seconds=1.0)
    run = transcoding(track, Target("opus", 2))
    assert run.tracks == [Track(Opus(2))]
    await run.write(batches_of(track, units), BASES[1], every_s=0.02)
    newest = units[-1][1].timestamp - BASES[1]
    await run.until(lambda: run.batches and run.batches[-1].timestamp > newest - 2000)
    times = [batch.timestamp for batch in run.batches]
    assert times == list(range(times[0], times[0] + 960 * len(times), 960))
    assert decoded(run.tracks[-1], run.batches)
    await run.transcoder.stop()
    assert run.tracks == [Track(Opus(2))]


@in_a_loop
async def test_sound_that_came_before_the_process_was_ready_is_not_played_late() -> None:
    track, units = sound("aac", seconds=2.0)
    run = transcoding(track, Target("opus"))
    batches = batches_of(track, units)
    await run.write(batches[:-20], BASES[1])  # all at once, as it is when it has waited
    await run.until(lambda: run.batches)
    latest = batches[-21].timestamp - BASES[1]
    assert latest - 0.2 * 48_000 < run.batches[0].timestamp < latest
    await run.write(batches[-20:], BASES[1])  # but from then on nothing is left out
    newest = batches[-1].timestamp - BASES[1]
    await run.until(lambda: run.batches[-1].timestamp > newest - 2000)
    times = [batch.timestamp for batch in run.batches]
    assert times == list(range(times[0], times[0] + 960 * len(times), 960))
    await run.transcoder.stop()


@in_a_loop
async def test_a_process_that_is_killed_comes_back() -> None:
    track, units = long_video(3)
    run = transcoding(track, Target("vp8"))
    assert run.tracks == [Track(Vp8(), track.frame_rate)]
    await started(run, units[:10], track)
    pid = run.transcoder.pid
    assert pid
    os.kill(pid, signal.SIGKILL)
    await run.until(lambda: run.messages)
    message = run.messages[0]
    assert message
    assert message.startswith(
        "The process that turns 'live/lobby' into VP8 crashed (SIGKILL). It starts again in 0."
    )
    await run.until(lambda: run.keyframes_wanted)  # it knows of nothing before
    assert run.transcoder.pid != pid
    before = len(run.batches)
    await run.write(batches_of(track, units[50:]), BASES[0], every_s=REAL_TIME_S)
    await run.until(lambda: len(run.batches) > before)
    assert run.batches[before].keyframe
    await run.transcoder.stop()
    assert run.messages[1:] == [None]


@in_a_loop
async def test_a_process_is_given_what_it_needs_until_it_has_ended_of_it_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcoder_module, "_WORKER", "streamsocket.no_such_worker")
    monkeypatch.setattr(transcoder_module, "_FIRST_RETRY_S", 0.01)
    track, _ = long_video(1)
    crashes, started = 0, []
    enough = asyncio.Event()

    def crashed(message: str | None) -> None:
        nonlocal crashes
        crashes += 1
        if crashes == 4:
            enough.set()

    transcoder = Transcoder(
        "lobby",
        track,
        Target("vp8"),
        asyncio.get_running_loop(),
        on_track=lambda track: None,
        on_batches=lambda batches: None,
        on_message=crashed,
        on_started=lambda: started.append(crashes),
    )
    transcoder.start()
    await asyncio.wait_for(enough.wait(), 20)
    await transcoder.stop()
    assert started == [0, 1]


@in_a_loop
async def test_one_that_never_begins_is_tried_less_and_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcoder_module, "_WORKER", "streamsocket.no_such_worker")
    monkeypatch.setattr(transcoder_module, "_FIRST_RETRY_S", 0.01)
    track, units = long_video(1)
    run = transcoding(track, Target("vp8"))
    await run.until(lambda: len(run.messages) >= 3)
    assert all("crashed (exit code 1)" in (message or "") for message in run.messages)
    await run.write(batches_of(track, units), BASES[0])  # into nothing
    await run.transcoder.stop()
    assert not run.batches


@in_a_loop
async def test_a_process_that_stands_still_hinders_nobody_and_is_live_again_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transcoder_module, "_MAX_BYTES", 300_000)
    track, units = video("mjpeg", seconds=30, size=(320, 192))
    batches = batches_of(track, units)
    run = transcoding(track, Target("vp8"))
    await started(run, units[:20], track)
    pid = run.transcoder.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()
    for batch in batches[20:700]:
        run.transcoder.write([batch], BASES[0])
    assert time.monotonic() - begin < 2
    feed = run.transcoder._feed
    assert feed
    assert feed.overrun
    assert feed.waiting_bytes < 400_000
    os.kill(pid, signal.SIGCONT)
    await run.until(lambda: not feed.waiting_bytes)
    await run.write(batches[700:720], BASES[0], every_s=REAL_TIME_S)
    newest = batches[719].timestamp - BASES[0]
    await run.until(lambda: run.batches[-1].timestamp == newest)
    await run.until(lambda: run.messages)
    assert "too slow to turn 'live/lobby' into VP8" in (run.messages[0] or "")
    await run.transcoder.stop()


@in_a_loop
async def test_one_that_stands_still_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child, "STOP_WAIT_S", 0.05)
    monkeypatch.setattr(child, "TERMINATE_WAIT_S", 0.05)
    track, _ = long_video(1)
    run = transcoding(track, Target("vp8"))
    pid = run.transcoder.pid
    assert pid
    os.kill(pid, signal.SIGSTOP)
    await run.transcoder.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@in_a_loop
async def test_a_flood_ends_live_at_the_newest_group_of_pictures() -> None:
    track, units = long_video(6)
    run = transcoding(track, Target("h264"))
    await started(run, units[:10], track)
    await run.write(batches_of(track, units)[10:], BASES[0])  # five seconds and more at once
    newest = units[-1][1].timestamp - BASES[0]
    await run.until(lambda: run.batches[-1].timestamp == newest)
    await run.until(lambda: run.messages)
    assert "pictures were left out" in (run.messages[0] or "")
    times = [batch.timestamp for batch in run.batches]
    assert times == sorted(times)
    await run.transcoder.stop()


@in_a_loop
async def test_what_is_lost_is_asked_for_as_a_keyframe() -> None:
    track, units = long_video(2)
    batches = batches_of(track, units)
    run = transcoding(track, Target("h264"))
    await started(run, units[:10], track)
    assert run.keyframes_wanted == 0
    await run.write(batches[12:20], BASES[0], every_s=REAL_TIME_S)
    await run.until(lambda: run.keyframes_wanted == 1)
    await run.transcoder.stop()


@in_a_loop
async def test_what_was_written_before_is_ignored() -> None:
    track, units = long_video(1)
    batches = batches_of(track, units)
    run = transcoding(track, Target("h264"))
    await started(run, units[:10], track)
    await run.write(batches[:15], BASES[0], every_s=REAL_TIME_S)
    last = batches[14].timestamp - BASES[0]
    await run.until(lambda: run.batches[-1].timestamp == last)
    times = [batch.timestamp for batch in run.batches]
    assert len(set(times)) == len(times)
    await run.transcoder.stop()


@in_a_loop
async def test_a_keyframe_is_made_when_it_is_wanted() -> None:
    track, units = video("libvpx", seconds=2, deadline="realtime", gop=500)
    batches = batches_of(track, units)
    run = transcoding(track, Target("h264"))
    await started(run, units[:20], track)
    run.transcoder.request_keyframe()
    await run.write(batches[20:25], BASES[0], every_s=REAL_TIME_S)
    await run.until(lambda: sum(batch.keyframe for batch in run.batches) == 2)
    await run.transcoder.stop()


@in_a_loop
async def test_another_publisher_with_another_size_goes_on() -> None:
    track, units = video("libx264", seconds=0.4, bf="0")
    other, larger = video("libx264", seconds=0.4, size=(320, 192), bf="0")
    run = transcoding(track, Target("h264"))
    await started(run, units, track)
    run.transcoder.begin_publication(other)
    following = batches_of(other, moved(larger, 90_000), first_sequence=5000)
    await run.write(following, BASES[0], every_s=REAL_TIME_S)
    newest = following[-1].timestamp - BASES[0]
    await run.until(lambda: run.batches[-1].timestamp == newest)
    assert [made.codec.size for made in run.tracks] == [(160, 96), (320, 192)]  # type: ignore[union-attr]
    await run.transcoder.stop()


@in_a_loop
async def test_a_process_that_talks_nonsense_is_one_that_crashed() -> None:
    track, _ = long_video(1)
    run = transcoding(track, Target("h264"))
    await run.until(lambda: run.transcoder.pid)

    def stumble(data: bytes) -> list[object]:
        raise ParseError("An event has an unknown name.")

    run.transcoder._decoder.feed = stumble  # type: ignore[method-assign,assignment]
    await run.write(batches_of(track, long_video(1)[1]), BASES[0], every_s=REAL_TIME_S)
    await run.until(lambda: run.messages)
    assert "crashed (An event has an unknown name.)" in (run.messages[0] or "")
    await run.transcoder.stop()


@in_a_loop
async def test_a_system_that_refuses_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(module: str, argument: str) -> None:
        raise OSError("Resource temporarily unavailable")

    monkeypatch.setattr(transcoder_module, "start_child", refuse)
    messages: list[str | None] = []
    track, _ = long_video(1)
    transcoder = Transcoder(
        "live/lobby",
        track,
        Target("vp8"),
        asyncio.get_running_loop(),
        on_track=lambda track: None,
        on_batches=lambda batches: None,
        on_message=messages.append,
    )
    transcoder.start()
    assert "cannot be started: Resource temporarily unavailable" in (messages[0] or "")
    assert transcoder.pid is None
    await transcoder.stop()
