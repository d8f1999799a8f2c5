"""Taking in: what one packet from a publisher costs the server, from the socket to the hub.

The cost is what the kernel charges to the server's process, user and system time, while many
publishers send at once, less what the same server uses without any; divided by the RTP packets
they sent. Waking up, reading, parsing, putting in order, cutting anew, the timeline, the keyframe
cache, reports, the page's figures of each stream: all of it is in there, and none of it is shared
with viewers, of whom there are none.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from bench.harness import Figure, Server, cpu_seconds, receiving_floor, streamsocket
from bench.publishing import FFMPEG, OURS, REPORT_S, Publishers, Style
from bench.rtsp import Transport

GOAL_US = 3.0
SETTLE_S = 3.0
IDLE_S = 5.0
TRANSPORTS: tuple[Transport, ...] = ("udp", "tcp")
STYLES = {"FFmpeg's packets": FFMPEG, "ours": OURS}


def run(quick: bool) -> list[Figure]:
    """Server CPU a packet over UDP and TCP, beside a bare receive loop."""
    publishers, seconds = (50, 5.0) if quick else (100, 15.0)
    figures = []
    for transport in TRANSPORTS:
        for named, style in STYLES.items():
            what = f"ingest {transport}, {named}"
            figures += measure(
                what, lambda: streamsocket(expect=0), transport, style, publishers, seconds,
                GOAL_US,
            )  # fmt: skip
            figures += measure(
                f"{what}, bare receive loop", lambda: receiving_floor(publishers), transport,
                style, publishers, seconds, None,
            )  # fmt: skip
    return figures


def measure(
    what: str,
    serve: Callable[[], AbstractContextManager[Server]],
    transport: Transport,
    style: Style,
    publishers: int,
    seconds: float,
    goal: float | None,
) -> list[Figure]:
    """CPU a packet of one server, and for ours that no packet was missed."""
    with serve() as server, Publishers() as newsroom:
        idle = cpu_a_second(server, IDLE_S)
        for number in range(publishers):
            newsroom.begin(f"{server.url}live/{number}", transport, style)
        time.sleep(SETTLE_S)
        before, cpu_before, start = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        time.sleep(seconds)
        after, cpu_after, end = newsroom.sent(), cpu_seconds(server.pid), time.monotonic()
        packets = after.packets - before.packets
        cost_s = cpu_after - cpu_before - idle * (end - start)
        if goal is not None:
            time.sleep(REPORT_S + 1)  # by then it has reported on all of this
        last = newsroom.sent()
    bits = (after.bytes - before.bytes) * 8 / (end - start)
    said = (
        f"{publishers} publishers, {bits / publishers / 1e6:.2f} Mbit/s each, no viewers; "
        f"{packets / (end - start):.0f} packets/s of up to {style.payload} bytes, "
        f"{'a picture' if style.at_once else 'a packet'} a send; user and system time of the "
        f"server, less {idle:.1%} of a core when idle; publishers late by "
        f"{after.late_s * 1000:.0f} ms at most"
    )
    figures = [Figure(what, cost_s / packets * 1e6, "µs CPU/packet", goal, said)]
    if goal is not None:
        figures.append(Figure(f"{what}: gaps", last.trouble, "packets", 0, str(last)))
    return figures


def cpu_a_second(server: Server, seconds: float) -> float:
    """What the server uses at the moment, in cores."""
    before, start = cpu_seconds(server.pid), time.monotonic()
    time.sleep(seconds)
    return (cpu_seconds(server.pid) - before) / (time.monotonic() - start)
