"""Joining: how soon the picture comes, and how live a viewer is two seconds later.

Times of arrival are the kernel's (SO_TIMESTAMPNS), so the viewers' process being busy blurs
nothing. "Behind" is told twice: by how much later a packet reached a viewer than it reached one
who was there from the start; and by how much a player that starts its clock with the first packet
shows a picture later than it came, which old timestamps in the beginning would cause.
"""

from __future__ import annotations

import random
import time
from statistics import median

from bench.crowd import Crowd
from bench.harness import Figure, describe, percentile, streamsocket, trouble
from bench.movies import cached, noisy_movie
from bench.rtp import Rtp, rtp_packets, starts_keyframe
from bench.viewers import ViewerReport

GOP_S = 10
KEEP = 72
LIVE_AFTER_S = 2.0
WATCHED_S = 4.0
CLOCK_RATE = 90_000


def run(quick: bool) -> list[Figure]:
    """Time from PLAY to the first packet of a keyframe, loss, and lag after two seconds."""
    viewers, seconds = (20, 8.0) if quick else (100, 25.0)
    movie = cached("gop10.mp4", lambda path: noisy_movie(path, seconds=60, gop_s=GOP_S))
    chance = random.Random(1)
    moments = sorted(chance.uniform(0, seconds) for _ in range(viewers))
    with streamsocket(str(movie)) as server, Crowd() as crowd:
        first = crowd.join(server.url + "gop10", "udp", keep=KEEP)
        time.sleep(WATCHED_S)
        start = time.monotonic()
        joined: list[int] = []
        for moment in moments:
            time.sleep(max(0.0, start + moment - time.monotonic()))
            joined += crowd.join(server.url + "gop10", "udp", keep=KEEP, keep_s=WATCHED_S)
        time.sleep(WATCHED_S)
        totals = crowd.totals()
        (reference,) = crowd.reports(first)
        reports = crowd.reports(joined)
        skipped = server.skipped_packets()
    waits = [to_keyframe_ms(report) for report in reports]
    known = arrivals(reference)
    arrived = [lag for report in reports for lag in arrival_lags_ms(report, known)]
    shown = [shown_late_ms(report) for report in reports]
    lags = f"{len(arrived)} packets between {LIVE_AFTER_S:.0f} and {WATCHED_S:.0f} s after PLAY"
    said = f"{viewers} viewers at random times over {seconds:.0f} s, GOP of {GOP_S} s, 2.5 Mbit/s"
    return [
        Figure("join: PLAY to keyframe", percentile(waits, 95), "ms p95", 5.0,
               f"{said}; median {percentile(waits, 50):.2f}, worst {max(waits):.2f} ms"),
        Figure("join: loss", trouble(totals) + skipped, "packets", 0,
               f"{describe(totals)}, {skipped} skipped by the server"),
        Figure("join: arrives later than elsewhere", percentile(arrived, 99), "ms p99", 50.0,
               f"{lags}; median {percentile(arrived, 50):.2f} ms"),
        Figure("join: shown later than it came", percentile(shown, 95), "ms p95", 50.0,
               f"by a clock that starts with the first packet; median {median(shown):.2f} ms"),
    ]  # fmt: skip


def to_keyframe_ms(report: ViewerReport) -> float:
    """From sending PLAY to the arrival of the first packet of an IDR picture."""
    found = (p.arrival for p in rtp_packets(report.packets, 0) if starts_keyframe(p.payload))
    return (min(found, default=float("inf")) - report.play_sent) * 1000


def arrivals(report: ViewerReport) -> dict[tuple[int, bytes], float]:
    """When each packet of the picture came, by its sequence number and what it begins with."""
    return {identity(packet): packet.arrival for packet in rtp_packets(report.packets, 0)}


def identity(packet: Rtp) -> tuple[int, bytes]:
    """What tells a packet from all others, whoever received it."""
    return packet.sequence & 0xFFFF, packet.payload


def live(report: ViewerReport) -> list[Rtp]:
    """The picture's packets from two seconds after PLAY on."""
    packets = rtp_packets(report.packets, 0)
    return [p for p in packets if p.arrival >= report.play_sent + LIVE_AFTER_S]


def arrival_lags_ms(report: ViewerReport, known: dict[tuple[int, bytes], float]) -> list[float]:
    """How much later than at the reference each packet came; infinite if it never came there."""
    unknown = float("-inf")
    return [
        (packet.arrival - known.get(identity(packet), unknown)) * 1000 for packet in live(report)
    ]


def shown_late_ms(report: ViewerReport) -> float:
    """How much later than they came a player shows live pictures, typically."""
    first = min(rtp_packets(report.packets, 0), key=lambda packet: packet.arrival)
    late = [
        first.arrival + (p.timestamp - first.timestamp) / CLOCK_RATE - p.arrival
        for p in live(report)
    ]
    return median(late) * 1000 if late else float("nan")
