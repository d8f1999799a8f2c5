"""A publisher that is killed and starts again, over and over, under viewers who stay."""

from __future__ import annotations

import time

from bench.crowd import Crowd
from bench.harness import Figure, Server, describe, memory_kb, percentile, streamsocket, trouble
from bench.publishing import FFMPEG, OURS, Publishers
from bench.rtsp import BenchError, Transport

VIEWERS = 50
GOAL_S = 2.0
GROWTH_KB = 2048.0
"""How much the server may have grown between the two marks: allocators breathe."""
PICTURE_PACKETS = len(OURS.keyframe())
"""What viewers get of a keyframe."""
STAY_S = 0.3
AWAY_S = 0.1
LOOK_S = 0.01
PATIENCE_S = 10.0
SETTLE_S = 3.0
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")


def run(quick: bool) -> list[Figure]:
    """How long every viewer is without pictures, and the server's memory."""
    early, late = (5, 20) if quick else (20, 120)
    with streamsocket(expect=0) as server:
        return measure(server, early, late)


def measure(server: Server, early: int, late: int) -> list[Figure]:
    """Restarts up to the first mark are there for the allocator; all of them have to be quick."""
    url = f"{server.url}live/stage"
    waits: list[float] = []
    marks: list[tuple[int, int]] = []
    with Publishers() as newsroom, Crowd() as crowd:
        publisher, _ = newsroom.begin(url, "udp", FFMPEG)
        viewers = [crowd.join(url, transport, VIEWERS // 2) for transport in TRANSPORTS]
        everybody = [viewer for each in viewers for viewer in each]
        for restart in range(late):
            time.sleep(STAY_S)
            newsroom.kill(publisher)
            time.sleep(AWAY_S)
            before = pictures(crowd, everybody)
            publisher, began = newsroom.begin(url, TRANSPORTS[restart % 2], FFMPEG)
            while True:
                now = pictures(crowd, everybody)
                waited = time.monotonic() - began
                if all(b - a >= PICTURE_PACKETS for a, b in zip(before, now, strict=True)):
                    break
                if waited > PATIENCE_S:
                    raise BenchError(f"after restart {restart} a viewer gets no pictures")
                time.sleep(LOOK_S)
            waits.append(waited)
            if restart + 1 in (early, late):
                time.sleep(SETTLE_S)
                marks.append((memory_kb(server.pid, "Pss"), memory_kb(server.pid, "Rss")))
        seen = crowd.totals()
    said = (
        f"{VIEWERS} viewers, half over UDP, half over TCP; a publisher killed {late} times, over "
        f"UDP and TCP in turn; p50 {percentile(waits, 50) * 1000:.0f} ms"
    )
    (early_pss, early_rss), (late_pss, late_rss) = marks
    grown = f"PSS {early_pss} KB, then {late_pss} KB; RSS {early_rss} KB, then {late_rss} KB"
    return [
        Figure("RECORD to a whole keyframe at every viewer, the slowest", max(waits), "s", GOAL_S,
               said),
        Figure("republish: gaps at the viewers", trouble(seen), "packets", 0, describe(seen)),
        Figure(f"republish: growth from {early} to {late} restarts", late_pss - early_pss, "KB",
               GROWTH_KB, grown),
    ]  # fmt: skip


def pictures(crowd: Crowd, viewers: list[int]) -> list[int]:
    """How many packets of the picture each viewer has got."""
    return [report.tracks[0].packets for report in crowd.reports(viewers)]
