"""What the server adds: from a batch's last packet reaching it to the batch's last copy leaving.

The server keeps that time itself, as a histogram in /metrics, and a histogram kept by what is
measured needs witnesses. They stand outside, with the kernel's time stamps of 100 viewers:

- It cannot be less than the time between a batch's first copy and its last.
- It cannot be more than the time from the moment a picture's release was due, which sender reports
  tell of a file without B-frames, to the arrival of its last copy: that holds all that the server
  adds and, on top, how late the source's process woke up and how long it took to packetise.

Where the server keeps no histogram, the goal is on the upper bound.
"""

from __future__ import annotations

import re
import time
import urllib.request
from collections import Counter
from collections.abc import Iterable

from bench.crowd import Crowd
from bench.harness import Figure, Server, describe, floor, percentile, streamsocket, trouble
from bench.movies import cached, noisy_movie
from bench.rtp import AccessUnit, pictures, rtp_packets, sender_reports, wall_time
from bench.rtsp import BenchError
from bench.viewers import ViewerReport

METRIC = "streamsocket_added_latency_seconds"
GOALS_MS = {50: 1.0, 99: 10.0}
SETTLE_S = 4.0
KEEP = 28
"""Headers and a little more: times are what is kept."""
SLACK = 0.9
"""The first copy isn't sent at once, but clocks and histograms are only so fine."""


def run(quick: bool) -> list[Figure]:
    """p50 and p99 of what is added, told by the server and from outside."""
    viewers, seconds = (30, 6.0) if quick else (100, 20.0)
    movie = cached("fanout.mp4", lambda path: noisy_movie(path, seconds=90))
    with streamsocket(str(movie)) as server, Crowd() as crowd:
        joined = crowd.join(server.url + "fanout", "udp", viewers, keep=KEEP)
        time.sleep(SETTLE_S)
        before, begin = histogram(server), time.time()
        time.sleep(seconds)
        own = histogram(server)
        own.subtract(before)
        totals = crowd.totals()
        reports = crowd.reports(joined)
    with floor(viewers) as server, Crowd() as crowd:
        joined = crowd.join(server.url + "floor", "udp", viewers, keep=KEEP)
        time.sleep(SETTLE_S + seconds / 2)
        bare = spreads_ms(copies(crowd.reports(joined), time.time() - seconds / 2))
    shared = copies(reports, begin)
    least, most = spreads_ms(shared), since_due_ms(shared, reports[0])
    told = {percent: quantile_ms(own, percent) for percent in GOALS_MS}
    said = f"{viewers} viewers, UDP, {seconds:.0f} s"
    figures = []
    for percent, goal in GOALS_MS.items():
        lower, upper = percentile(least, percent), percentile(most, percent)
        bounds = f"{said}; from outside at least {lower:.2f}, at most {upper:.2f} ms"
        if own:
            figures.append(Figure(f"added latency, p{percent}", told[percent], "ms", goal, bounds))
        else:
            what = f"added latency, p{percent}, upper bound"
            figures.append(Figure(what, upper, "ms", goal, bounds))
    if own:
        doubt = sum(told[p] < SLACK * percentile(least, p) for p in GOALS_MS)
        figures.append(Figure("added latency: told less than seen", doubt, "figures", 0, METRIC))
    figures += [
        Figure("first to last copy of a bare send loop", percentile(bare, 50), "ms p50", None,
               f"p99 {percentile(bare, 99):.2f} ms: the machine's floor"),
        Figure("added latency: gaps", trouble(totals), "packets", 0, describe(totals)),
    ]  # fmt: skip
    return figures


def copies(reports: list[ViewerReport], begin: float) -> dict[tuple[int, int], list[AccessUnit]]:
    """The copies of what all viewers got since then, by track and RTP timestamp."""
    found: dict[tuple[int, int], list[AccessUnit]] = {}
    for report in reports:
        for track in range(len(report.medias)):
            for unit in pictures(rtp_packets(report.packets, track)):
                found.setdefault((track, unit.timestamp % 2**32), []).append(unit)
    shared = {
        key: units
        for key, units in found.items()
        if len(units) == len(reports) and min(unit.first for unit in units) >= begin
    }
    if not shared:
        raise BenchError("nothing reached all viewers")
    return shared


def spreads_ms(shared: dict[tuple[int, int], list[AccessUnit]]) -> list[float]:
    """From the first copy to the last of everything."""
    ends = ([unit.last for unit in units] for units in shared.values())
    return [(max(last) - min(last)) * 1000 for last in ends]


def since_due_ms(
    shared: dict[tuple[int, int], list[AccessUnit]], report: ViewerReport
) -> list[float]:
    """From when pictures were due to their last copies; sound goes with pictures."""
    senders = sender_reports(report.packets, 0)
    if not senders:
        raise BenchError("no sender report came for the picture")
    return [
        (max(unit.last for unit in units) - wall_time(timestamp, senders, 90_000)) * 1000
        for (track, timestamp), units in shared.items()
        if track == 0
    ]


def histogram(server: Server) -> Counter[float]:
    """The server's own histogram: how many batches by upper bound in seconds, cumulative."""
    with urllib.request.urlopen(server.http + "/metrics", timeout=5) as answer:
        return parse_histogram(answer.read().decode().splitlines())


def parse_histogram(lines: Iterable[str]) -> Counter[float]:
    """The buckets of the metric in Prometheus's text, all labels together."""
    buckets: Counter[float] = Counter()
    for line in lines:
        bucket = re.match(METRIC + r'_bucket{.*?le="([^"]+)".*?} (\S+)', line)
        if bucket:
            buckets[float(bucket[1])] += round(float(bucket[2]))
    return buckets


def quantile_ms(buckets: Counter[float], percent: float) -> float:
    """A quantile of a cumulative histogram, linear within its bucket."""
    wanted = buckets[float("inf")] * percent / 100
    lower, below = 0.0, 0
    for upper, count in sorted(buckets.items()):
        if count >= wanted > below:
            return (lower + (upper - lower) * (wanted - below) / (count - below)) * 1000
        lower, below = upper, count
    return float("nan")
