"""Fan-out: what one packet to one viewer costs the server, beside gst-rtsp-server and the floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.crowd import Crowd
from bench.harness import (
    Figure,
    Server,
    describe,
    floor,
    gst_rtsp_server,
    streamsocket,
    trouble,
)
from bench.movies import cached, noisy_movie
from bench.rtsp import Transport
from bench.viewers import Totals

GOAL_US: dict[Transport, float] = {"udp": 1.4, "tcp": 1.0}
SETTLE_S = 4.0
"""Joins are over by then: what they cost is another bench's."""
REST_S = 0.005
"""The viewers read every 5 ms: a server isn't charged for waking its viewers' process, which it
would have in common with no server whose viewers are elsewhere."""


def run(quick: bool) -> list[Figure]:
    """Server CPU a packet for 300 viewers that read everything."""
    viewers, seconds = (100, 5.0) if quick else (300, 15.0)
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    figures = []
    for transport, goal in GOAL_US.items():
        figures += measure(
            f"fan-out {transport}", lambda: streamsocket(str(movie)), "fanout",
            transport, viewers, seconds, goal,
        )  # fmt: skip
        figures += measure(
            f"fan-out {transport}, gst-rtsp-server", lambda: gst_rtsp_server(movie), "movie",
            transport, viewers, seconds, None,
        )  # fmt: skip
        figures += measure(
            f"fan-out {transport}, bare send loop", lambda: floor(viewers), "floor",
            transport, viewers, seconds, None,
        )  # fmt: skip
    return figures


def measure(
    what: str,
    serve: Callable[[], AbstractContextManager[Server]],
    name: str,
    transport: Transport,
    viewers: int,
    seconds: float,
    goal: float | None,
) -> list[Figure]:
    """CPU a packet of one server, and for ours that no packet was missed."""
    with serve() as server, Crowd(rest_s=REST_S) as crowd:
        crowd.join(server.url + name, transport, viewers)
        time.sleep(SETTLE_S)
        before, cpu_before, start = crowd.totals(), server.cpu_s(), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = crowd.totals(), server.cpu_s(), time.monotonic()
        skipped = server.skipped_packets() if server.http else 0
    packets = after.packets - before.packets
    shares = [b - a for a, b in zip(cpu_before, cpu_after, strict=True)]
    each = " + ".join(f"{share / packets * 1e6:.2f}" for share in shares) if packets else "none"
    said = (
        f"{viewers} viewers, {bit_rate(before, after, viewers, end - start):.2f} Mbit/s each, "
        f"{packets / (end - start):.0f} packets/s; by process {each}; "
        f"viewers used {(after.cpu_s - before.cpu_s) / (end - start):.0%} of a core"
    )
    cost = sum(shares) / packets * 1e6 if packets else float("nan")
    figures = [Figure(what, cost, "µs CPU/packet", goal, said)]
    missed = trouble(after) + skipped
    figures.append(
        Figure(
            f"{what}: gaps", missed, "packets", None if goal is None else 0,
            f"{describe(after)}, {skipped} skipped by the server",
        )
    )  # fmt: skip
    return figures


def bit_rate(before: Totals, after: Totals, viewers: int, seconds: float) -> float:
    """What one viewer received, in Mbit/s with RTP's headers."""
    return (after.bytes - before.bytes) * 8 / seconds / viewers / 1e6
