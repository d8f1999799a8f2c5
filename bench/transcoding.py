"""Transcoding: what a rendition costs, how late it is, and whether sound and picture stay together.

Each track of a movie is written at its pace into a transcoder of its own, as the hub does it, with
its process as the server starts it.
"""

from __future__ import annotations

import asyncio
import sys
import time
import urllib.request
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from statistics import median

import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from numpy.typing import NDArray

from bench.crowd import Crowd
from bench.harness import (
    Figure,
    Server,
    cpu_seconds,
    percentile,
    running,
    streamsocket,
    trouble,
)
from bench.movies import cached, noisy_movie
from streamsocket.client.decode import Decoder
from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, Track
from streamsocket.media.h264 import parse_sps
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.packet import parse_rtp
from streamsocket.rtp.payload import depacketizer
from streamsocket.sources import yardstick
from streamsocket.sources.movie import make_movie
from streamsocket.sources.plan import make_plan
from streamsocket.sources.reader import MovieReader
from streamsocket.transcode.transcoder import Transcoder

SETTLE_S = 3.0
RATE = 30
FARTHEST_S = 0.45
GOAL_CPU = 25.0
GOAL_MS = {50: 60.0}
GOAL_SYNC_MS = 20.0


@dataclass
class Rendition:
    """What came out of one transcoder, and when."""

    source: Track
    track: Track | None = None
    written: list[tuple[int, float]] = field(default_factory=list)
    """Timestamps that went in and when, by `time.monotonic()`."""
    made: list[tuple[Batch, float]] = field(default_factory=list)
    known_s: float = float("nan")
    """From the start of the process to the track's parameters."""
    first_s: float = float("nan")
    cpu: float = float("nan")
    """Per cent of a core, once it had settled."""

    @property
    def added_ms(self) -> list[float]:
        """By how much a picture is later than a decoder could have shown it.

        A decoder holds back as many pictures as the source says that it reorders.
        """
        codec = self.source.codec
        held = (parse_sps(codec.sps).max_reorder or 0) if isinstance(codec, H264) else 0
        shown = sorted(timestamp for timestamp, _ in self.written)
        ready = {
            timestamp: self.written[place + held][1]
            for place, timestamp in enumerate(shown)
            if place + held < len(self.written)
        }
        return [
            1000 * (at - ready[batch.timestamp])
            for batch, at in self.made
            if batch.timestamp in ready
        ]

    def frames(self) -> list[VideoFrame | AudioFrame]:
        """What came out, decoded."""
        assert self.track
        decoder, assembler = Decoder(self.track.codec), depacketizer(self.track.codec)
        frames: list[VideoFrame | AudioFrame] = []
        for batch, _ in self.made:
            for packet in map(parse_rtp, batch.packets()):
                for unit in assembler.push(packet.payload, batch.timestamp, packet.marker, False):
                    frames += decoder.decode(AccessUnit(unit.units, unit.timestamp, unit.keyframe))
        return frames


def run(quick: bool) -> list[Figure]:
    """CPU, latency and start of pictures; sync of both tracks through their transcoders."""
    seconds = 8.0 if quick else 20.0
    pictures = cached(
        "b-frames.mp4", lambda path: noisy_movie(path, seconds=30, b_frames=2, gop_s=2.0)
    )
    figures = []
    for codec, goal in (("h264", GOAL_CPU), ("vp8", None)):
        [made] = asyncio.run(renditions(pictures, {"video": Target(codec)}, seconds))
        what = f"transcoding B-frames away, 720p30 to {codec}"
        added = made.added_ms
        said = f"{len(added)} pictures, p95 {percentile(added, 95):.1f} ms, worst {max(added):.1f}"
        figures += [
            Figure(f"{what}: CPU", made.cpu, "% of a core", goal, f"{seconds:.0f} s"),
            Figure(f"{what}: added latency", percentile(added, 50), "ms p50",
                   GOAL_MS[50] if goal else None, said),
            Figure(f"{what}: parameters known", 1000 * made.known_s, "ms", None,
                   f"from the start of its process; first picture {1000 * made.first_s:.0f} ms"),
        ]  # fmt: skip
    for sound, codec in (("aac", "opus"), ("opus", "aac")):
        path = cached(
            f"flash-{sound}.mp4",
            lambda path, sound=sound: make_movie(  # type: ignore[misc]
                path, seconds=30, size=(640, 360), rate=Fraction(RATE), audio=sound
            ),
        )
        targets = {"video": Target("h264"), "audio": Target(codec, 2)}
        both = asyncio.run(renditions(path, targets, seconds))
        offsets = offsets_ms(*both)
        said = f"{len(offsets)} flashes with a beep"
        if offsets:
            said += f", median {median(offsets):+.2f} ms"
        enough = len(offsets) >= seconds / 3
        worst = percentile([abs(each) for each in offsets], 95) if enough else float("nan")
        what = f"transcoding pictures, and {sound} to {codec}"
        figures += [
            Figure(f"{what}: sound − picture", worst, "ms p95", GOAL_SYNC_MS, said),
            Figure(f"{what}: CPU of the sound", both[1].cpu, "% of a core", None, ""),
        ]
    return [*figures, *beside_viewers(pictures, quick)]


def beside_viewers(movie: Path, quick: bool) -> list[Figure]:
    """What a transcoder beside them costs the viewers that don't need it: one server, one run."""
    viewers, seconds = (50, 5.0) if quick else (100, 15.0)
    with streamsocket(str(movie)) as server, Crowd(rest_s=0.005) as crowd:
        crowd.join(server.url + movie.stem, "udp", viewers)
        alone = _fan_out(server, crowd, seconds)
        # It takes no B-frames, as browsers don't.
        watch = [sys.executable, "-c", _PROBE, f"{server.http}/{movie.stem}/whep", str(seconds + 8)]
        with running(watch):
            deadline = time.monotonic() + 10.0
            while not _is_transcoding(server) and time.monotonic() < deadline:
                time.sleep(0.1)
            transcodes = _is_transcoding(server)
            beside = _fan_out(server, crowd, seconds)
            transcodes = transcodes and _is_transcoding(server)
        missed = trouble(crowd.totals())
    nothing = float("nan")
    said = f"{viewers} viewers over UDP, 720p30 of 2.5 Mbit/s with B-frames; one over WebRTC"
    return [
        Figure("transcoding beside viewers: fan-out's cost", beside[0] / alone[0] if transcodes
               else nothing, "times that without", 1.1,
               f"{said}; {alone[0]:.2f} and {beside[0]:.2f} µs of the server's own process"),
        Figure("transcoding beside viewers: loop lag", percentile(beside[1], 99) if transcodes
               else nothing, "ms p99", 5.0,
               f"{len(beside[1])} times the worst of the last seconds; without it "
               f"{percentile(alone[1], 99):.1f} ms"),
        Figure("transcoding beside viewers: gaps", missed, "packets", 0, ""),
    ]  # fmt: skip


_PROBE = (
    "import asyncio, sys; from streamsocket.client.probe import probe;"
    "asyncio.run(probe(sys.argv[1], seconds=float(sys.argv[2])))"
)


def _fan_out(server: Server, crowd: Crowd, seconds: float) -> tuple[float, list[float]]:
    """CPU of the server's own process a packet in µs, and how late its loop was, in ms."""
    time.sleep(SETTLE_S)
    lags = []
    before, cpu_before, end = crowd.totals(), server.cpu_s()[0], time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(0.2)
        lags.append(1000 * _loop_lag_s(server))
    packets = crowd.totals().packets - before.packets
    return (server.cpu_s()[0] - cpu_before) / max(packets, 1) * 1e6, lags


def _loop_lag_s(server: Server) -> float:
    with urllib.request.urlopen(server.http + "/metrics", timeout=5) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith("streamsocket_loop_lag_seconds "):
                return float(line.split()[1])
    return float("nan")


def _is_transcoding(server: Server) -> bool:
    return any(
        each["viewers"] and each["track"] and each["track"]["kind"] == "video"
        for stream in server.get("/api/streams")
        for each in stream["renditions"]
    )


async def renditions(movie: Path, targets: dict[str, Target], seconds: float) -> list[Rendition]:
    """Stream a movie into transcoders, one for each of its tracks that has a target."""
    plan = make_plan(str(movie))
    reader = MovieReader(str(movie), plan, loop=False, note=lambda note: None)
    units = reader.units()
    waiting = [next(units)]
    loop = asyncio.get_running_loop()
    made: dict[int, Rendition] = {}
    transcoders: dict[int, Transcoder] = {}
    sequences: dict[int, int] = {}
    begin = time.monotonic()
    for index, (planned, codec) in enumerate(zip(plan.tracks, reader.codecs, strict=True)):
        if target := targets.get(planned.kind):
            made[index] = Rendition(Track(codec, planned.frame_rate))
            transcoders[index] = transcoder(made[index], target, loop, begin)
    used: dict[int, float] = {}
    first_s = waiting[0].due_s
    for unit in [*waiting, *units]:
        due = begin + unit.due_s - first_s
        if due - begin > SETTLE_S and not used:
            used = {index: cpu_seconds(each.pid or 0) for index, each in transcoders.items()}
            settled = time.monotonic()
        if due - begin > SETTLE_S + seconds:
            break
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        if unit.track in transcoders:
            batch = replace(unit.batch, sequence=sequences.get(unit.track, 0))
            sequences[unit.track] = batch.sequence + len(batch.sizes)
            made[unit.track].written.append((batch.timestamp, time.monotonic()))
            transcoders[unit.track].write([batch], 0)
    wall_s = time.monotonic() - settled
    for index, each in transcoders.items():
        made[index].cpu = 100 * (cpu_seconds(each.pid or 0) - used[index]) / wall_s
        await each.stop()
    return [made[index] for index in sorted(made, key=lambda index: plan.tracks[index].kind,
                                            reverse=True)]  # fmt: skip


def transcoder(
    made: Rendition, target: Target, loop: asyncio.AbstractEventLoop, begin: float
) -> Transcoder:
    """Start one that notes what it makes."""

    def on_track(track: Track) -> None:
        if made.track is None:
            made.known_s = time.monotonic() - begin
        made.track = track

    def on_batches(batches: list[Batch]) -> None:
        now = time.monotonic()
        if not made.made:
            made.first_s = now - begin
        made.made += [(batch, now) for batch in batches]

    started = Transcoder(
        "bench", made.source, target, loop, on_track=on_track, on_batches=on_batches
    )
    started.start()
    return started


def offsets_ms(pictures: Rendition, sound: Rendition) -> list[float]:
    """Sound − picture, flash by flash: both count from the same beginning."""
    flashes = []
    was_white = True
    for frame in pictures.frames():
        assert isinstance(frame, VideoFrame)
        white = yardstick.is_flash(_luma(frame))
        if white and not was_white:
            flashes.append(float((frame.pts or 0) * (frame.time_base or 0)))
        was_white = white
    levels, times = [], []
    for heard in sound.frames():
        assert isinstance(heard, AudioFrame)
        samples = heard.to_ndarray()
        levels.append(
            samples[0] if heard.format.is_planar else samples[0, :: len(heard.layout.channels)]
        )
        begin = float((heard.pts or 0) * (heard.time_base or 0))
        times.append(begin + np.arange(heard.samples) / heard.sample_rate)
    at = np.concatenate(times)
    beeps = [float(at[onset]) for onset in yardstick.beep_onsets(np.concatenate(levels), 48_000)]
    return [
        1000 * nearest
        for flash in flashes
        for nearest in [min((beep - flash for beep in beeps), key=abs, default=FARTHEST_S)]
        if abs(nearest) < FARTHEST_S
    ]


def _luma(frame: VideoFrame) -> NDArray[np.uint8]:
    plane = frame.planes[0]
    lines = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return lines[:, : plane.width]
