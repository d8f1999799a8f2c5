"""Sync: the sound's beep against the picture's flash, in what a viewer receives.

Both are found by decoding and timed by their RTP timestamps, which the sender reports of their
tracks bring onto one clock, exactly as a player does it (RFC 3550, 6.4.1).
"""

from __future__ import annotations

import time
from fractions import Fraction
from statistics import median

import av
import numpy as np
from av.audio.codeccontext import AudioCodecContext
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from bench.crowd import Crowd
from bench.harness import Figure, percentile, streamsocket
from bench.movies import cached
from bench.rtp import aac_frames, pictures, rtp_packets, sender_reports, wall_time
from bench.rtsp import BenchError, Media
from bench.viewers import Packet, ViewerReport
from streamsocket.sources.movie import make_movie

SETTLE_S = 3.0
"""A joining viewer's first pictures have other timestamps; they are left out."""
WHITE = 200
"""Mean luma of a flash, of 235."""
QUIET_S = 0.3
FARTHEST_S = 0.45
"""A beep belongs to a flash that is nearer than this."""
GOAL_MS = 20.0


def run(quick: bool) -> list[Figure]:
    """p95 of sound − picture for the test source and a file looped a hundred times."""
    loops, seconds = (15, 10.0) if quick else (100, 30.0)
    movie = cached(
        "flash.mp4",
        lambda path: make_movie(path, seconds=1, size=(320, 180), rate=Fraction(30), audio="aac"),
    )
    with streamsocket("test", f"flash={movie}", expect=2) as server, Crowd() as crowd:
        live = crowd.join(server.url + "test", "udp", keep=1600, keep_s=SETTLE_S + seconds)
        file = crowd.join(server.url + "flash", "udp", keep=1600)
        time.sleep(SETTLE_S + max(seconds, loops + 2))
        reports = crowd.reports(live + file)
    tested, looped = (offsets_ms(report) for report in reports)
    fifth = max(1, len(looped) // 5)
    early, late = looped[:fifth], looped[-fifth:]
    drift = median(late) - median(early) if looped else float("nan")
    return [
        figure("sync, test source", tested, seconds),
        figure(f"sync, 1 s file, first {fifth} of {len(looped)} loops", early, seconds / 2),
        figure(f"sync, 1 s file, last {fifth} of {len(looped)} loops", late, 1),
        Figure("sync, 1 s file, drift over the loops", abs(drift), "ms", 5.0, f"{drift:+.2f} ms"),
        Figure("sync, loops without a flash and beep", max(0, loops - len(looped)), "loops", 0,
               f"{len(looped)} seen"),
    ]  # fmt: skip


def figure(what: str, offsets: list[float], expected: float) -> Figure:
    """The p95 of the offsets' sizes; too few of them are no figure."""
    if len(offsets) < expected / 3:
        return Figure(what, float("nan"), "ms", GOAL_MS, f"only {len(offsets)} flashes with a beep")
    said = (
        f"{len(offsets)} flashes, median {median(offsets):+.2f} ms, "
        f"{min(offsets):+.2f} to {max(offsets):+.2f} ms"
    )
    return Figure(what, percentile([abs(o) for o in offsets], 95), "ms p95", GOAL_MS, said)


def offsets_ms(report: ViewerReport) -> list[float]:
    """Sound − picture in milliseconds, flash by flash."""
    reports = report.packets
    settled = [p for p in reports if p[0] > report.play_sent + SETTLE_S]
    tracks = {media.kind: index for index, media in enumerate(report.medias)}
    flashes = in_wall_time(
        flash_times(settled, tracks["video"]), reports, tracks["video"], report.medias
    )
    beeps = in_wall_time(
        beep_times(settled, tracks["audio"], report.medias[tracks["audio"]]),
        reports, tracks["audio"], report.medias,
    )  # fmt: skip
    offsets = []
    for flash in flashes:
        nearest = min(beeps, key=lambda beep: abs(beep - flash), default=float("inf"))
        if abs(nearest - flash) < FARTHEST_S:
            offsets.append((nearest - flash) * 1000)
    return offsets


def in_wall_time(
    timestamps: list[int], packets: list[Packet], track: int, medias: list[Media]
) -> list[float]:
    """RTP timestamps of a track as seconds since the epoch, by its sender reports."""
    reports = sender_reports(packets, track)
    if not reports:
        raise BenchError(f"no sender report came for the {medias[track].kind}")
    return [wall_time(timestamp, reports, medias[track].clock_rate) for timestamp in timestamps]


def flash_times(packets: list[Packet], track: int) -> list[int]:
    """RTP timestamps of the first white picture of each flash."""
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, VideoCodecContext)
    decoder.thread_count = 1
    found = []
    was_white = True
    units = []
    for unit in pictures(rtp_packets(packets, track)):
        packet = av.Packet(bytes(unit.data))
        packet.pts = unit.timestamp
        units.append(packet)
    for each in (*units, None):
        try:
            frames = decoder.decode(each)
        except av.error.InvalidDataError:
            continue  # the stretch begins between two keyframes
        for frame in frames:
            plane = frame.planes[0]
            luma = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
            white = float(luma[:, : plane.width].mean()) > WHITE
            if white and not was_white and frame.pts is not None:
                found.append(frame.pts)
            was_white = white
    return found


def beep_times(packets: list[Packet], track: int, media: Media) -> list[int]:
    """RTP timestamps of the samples with which beeps begin."""
    decoder = av.CodecContext.create("aac", "r")
    assert isinstance(decoder, AudioCodecContext)
    decoder.extradata = bytes.fromhex(media.fmtp["config"])
    times: list[NDArray[np.int64]] = []
    levels: list[NDArray[np.float32]] = []
    for unit in aac_frames(rtp_packets(packets, track)):
        packet = av.Packet(bytes(unit.data))
        packet.pts = unit.timestamp
        for frame in decoder.decode(packet):
            levels.append(np.abs(frame.to_ndarray()[0]))
            times.append(unit.timestamp + np.arange(frame.samples, dtype=np.int64))
    if not levels:
        return []
    level, at = np.concatenate(levels), np.concatenate(times)
    loud = np.flatnonzero(level > 0.3 * np.percentile(level, 99.9))
    if not len(loud):
        return []
    quiet_before = np.diff(at[loud], prepend=at[0]) > QUIET_S * media.clock_rate
    return [int(time) for time in at[loud[quiet_before]]]
