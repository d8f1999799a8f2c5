"""Fifty publishers at once, each with a viewer: what that takes of a core, and nothing lost."""

from __future__ import annotations

import time

from bench.crowd import Crowd
from bench.harness import Figure, Server, cpu_seconds, describe, streamsocket, trouble
from bench.publishing import FFMPEG, REPORT_S, Publishers
from bench.rtsp import Transport

PUBLISHERS = 50
GOAL_PERCENT = 60.0
SETTLE_S = 4.0
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")


def run(quick: bool) -> list[Figure]:
    """CPU of the server, and the gaps that it and its viewers saw."""
    with streamsocket(expect=0) as server:
        return measure(server, 5.0 if quick else 20.0)


def measure(server: Server, seconds: float) -> list[Figure]:
    """Half of the publishers and half of the viewers over UDP, in all four combinations."""
    with Publishers() as newsroom, Crowd() as crowd:
        for number in range(PUBLISHERS):
            url = f"{server.url}live/{number}"
            newsroom.begin(url, TRANSPORTS[number % 2], FFMPEG)
            crowd.join(url, TRANSPORTS[number // 2 % 2])
        time.sleep(SETTLE_S)
        before, cpu_before, start = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(REPORT_S + 1)  # by then the server has reported on all of this
        sent, seen = newsroom.sent(), crowd.totals()
        skipped = server.skipped_packets()
    packets = (after.packets - before.packets) / (end - start)
    bits = (after.bytes - before.bytes) * 8 / (end - start) / PUBLISHERS
    return [
        Figure(
            f"{PUBLISHERS} publishers with a viewer each",
            (cpu_after - cpu_before) / (end - start) * 100, "% of a core", GOAL_PERCENT,
            f"{bits / 1e6:.2f} Mbit/s each, as FFmpeg sends it, half of publishers and viewers "
            f"over UDP, half over TCP; {packets:.0f} packets/s in; publishers late by "
            f"{after.late_s * 1000:.0f} ms at most",
        ),
        Figure("publishers: gaps on the way in", sent.trouble, "packets", 0, str(sent)),
        Figure("publishers: gaps at the viewers", trouble(seen) + skipped, "packets", 0,
               f"{describe(seen)}, {skipped} skipped by the server"),
    ]  # fmt: skip
