"""What the server adds: from a picture leaving its source to the last of 100 viewers having it.

Seen from outside: a file without B-frames is released by its own clock, and sender reports tell
that clock: a picture's capture time is the moment its release was due. The time from there to the
arrival of the picture's last packet at the last viewer (the kernel's time stamp) holds what the
server adds and, on top, how late the source's process woke up and the time it took to packetise.
So the figure is an upper bound of what the goal means. Beside it: the time from the first viewer's
copy to the last one's, and what the server says of itself.
"""

from __future__ import annotations

import re
import time
import urllib.request

from bench.harness import Figure, Server, describe, percentile, streamsocket, trouble
from bench.movies import cached, noisy_movie
from bench.rtp import AccessUnit, pictures, rtp_packets, sender_reports, wall_time
from bench.rtsp import BenchError
from bench.viewers import Crowd, ViewerReport

SETTLE_S = 4.0
KEEP = 28
"""Headers and a little more: times are what is kept."""


def run(quick: bool) -> list[Figure]:
    """p50 and p99 of the time to the last copy."""
    viewers, seconds = (30, 6.0) if quick else (100, 20.0)
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    with streamsocket(str(movie)) as server, Crowd() as crowd:
        joined = crowd.join(server.url + "fanout", "udp", viewers, keep=KEEP)
        time.sleep(SETTLE_S + seconds)
        totals = crowd.totals()
        reports = crowd.reports(joined)
        told = own_figures(server)
    begin = max(report.play_sent for report in reports) + SETTLE_S
    added, spread = last_copies_ms(reports, begin)
    said = f"{viewers} viewers, UDP, {len(added)} pictures, from {min(added):.2f} ms; upper bound"
    return [
        Figure("added latency, due to last copy", percentile(added, 50), "ms p50", 1.0, said),
        Figure("added latency, due to last copy", percentile(added, 99), "ms p99", 10.0,
               f"worst {max(added):.2f} ms"),
        Figure("first copy to last copy", percentile(spread, 50), "ms p50", None,
               f"p99 {percentile(spread, 99):.2f} ms"),
        Figure("added latency: gaps", trouble(totals), "packets", 0, describe(totals)),
        *told,
    ]  # fmt: skip


def last_copies_ms(reports: list[ViewerReport], begin: float) -> tuple[list[float], list[float]]:
    """For each picture: from its capture time, and from its first copy, to its last copy."""
    senders = sender_reports(reports[0].packets, 0)
    if not senders:
        raise BenchError("no sender report came for the picture")
    copies: dict[int, list[AccessUnit]] = {}
    for report in reports:
        for unit in pictures(rtp_packets(report.packets, 0)):
            copies.setdefault(unit.timestamp % 2**32, []).append(unit)
    added, spread = [], []
    for timestamp, units in copies.items():
        if len(units) == len(reports) and min(unit.first for unit in units) >= begin:
            last = [unit.last for unit in units]
            added.append((max(last) - wall_time(timestamp, senders, 90_000)) * 1000)
            spread.append((max(last) - min(last)) * 1000)
    if not added:
        raise BenchError("no picture reached all viewers")
    return added, spread


def own_figures(server: Server) -> list[Figure]:
    """What the server's own metrics say of its latency."""
    with urllib.request.urlopen(server.http + "/metrics", timeout=5) as answer:
        text = answer.read().decode()
    lines = re.findall(r"^(streamsocket_\w*(?:latency|lag)\w*(?:{.*})?) (\S+)$", text, re.M)
    return [Figure(f"/metrics: {name}", float(value), "", None, "") for name, value in lines]
