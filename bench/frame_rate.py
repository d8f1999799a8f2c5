"""Frame rate: what arrives against the file's own pictures, one by one.

Five files are served at once and watched for a minute. The timestamps that arrive must be the
file's own, in its order, none missing; the rate is the number of pictures over the time in which
they arrived, against the time that the file gives the same pictures. (The rate of a file with
variable frame rate is that of the stretch that was watched.)
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from bench.crowd import Crowd
from bench.harness import Figure, describe, streamsocket, trouble
from bench.movies import cached, noisy_movie, vary_frame_rate
from bench.rtp import pictures, rtp_packets

CLOCK_RATE = 90_000
RATES = {
    "fps23976": Fraction(24000, 1001),
    "fps25": Fraction(25),
    "fps2997": Fraction(30000, 1001),
    "fps60": Fraction(60),
}
ROUNDING_TICKS = 3
SEAM_TICKS = 2250
"""A loop's period may be the file's to within a frame of sound: containers disagree on its end."""
FURTHEST = 8
"""How many missing pictures in a row are recognised as that."""
LOOP_S = 40
"""Shorter than the measurement, so that every file begins again within it."""
SETTLE_S = 3.0
"""What a joining viewer gets first is older and faster; it is left out."""


def run(quick: bool) -> list[Figure]:
    """Delivered against the file's rate in percent, and pictures missing."""
    seconds = 12.0 if quick else 60.0
    movies = {name: movie(name, rate) for name, rate in RATES.items()}
    movies["variable"] = cached("variable.mp4", lambda path: vary_frame_rate(movies["fps60"], path))
    figures = []
    sources = [f"{name}={path}" for name, path in movies.items()]
    with streamsocket(*sources, expect=len(sources)) as server, Crowd() as crowd:
        viewers = {n: crowd.join(server.url + n, "udp", keep=1600) for n in movies}
        time.sleep(SETTLE_S + seconds)
        for name, path in movies.items():
            (report,) = crowd.reports(viewers[name])
            begin = report.play_sent + SETTLE_S
            units = [u for u in pictures(rtp_packets(report.packets, 0)) if u.first >= begin]
            units = units[1:-1]
            times = [unit.timestamp for unit in units]
            delivered = compare(times, Timeline.of(path))
            span = units[-1].last - units[0].last
            rate, own = (len(units) - 1) / span, (len(units) - 1) / delivered.span_s
            said = f"{len(units)} pictures in {span:.3f} s: {rate:.4f}/s, the file's {own:.4f}/s"
            off = abs(rate / own - 1) * 100
            figures += [
                Figure(f"frame rate, {name}", off, "% off", 0.1, said),
                Figure(f"frame rate, {name}: missing", delivered.missing, "pictures", 0,
                       f"{delivered.loops} times begun again meanwhile"),
            ]  # fmt: skip
        totals = crowd.totals()
    figures.append(Figure("frame rate: gaps", trouble(totals), "packets", 0, describe(totals)))
    return figures


def movie(name: str, rate: Fraction) -> Path:
    """A small movie of this frame rate, with B-frames."""
    return cached(
        f"{name}.mp4",
        lambda path: noisy_movie(
            path, seconds=LOOP_S, size="320x180", rate=rate, bit_rate=300_000, b_frames=2
        ),
    )


@dataclass
class Timeline:
    """A file's pictures in decoding order, in ticks; its period is that of its longer track."""

    presented: list[float]
    decoded: list[float]
    period: float

    @classmethod
    def of(cls, path: Path) -> Timeline:
        """Read a file's own timeline."""
        begins: dict[int, float] = {}
        ends: dict[int, float] = {}
        timeline = cls([], [], 0.0)
        with av.open(str(path)) as container:
            for packet in container.demux():
                if packet.pts is None or packet.dts is None or packet.time_base is None:
                    continue
                tick = float(packet.time_base * CLOCK_RATE)
                index, start = packet.stream.index, packet.pts * tick
                begins[index] = min(begins.get(index, start), start)
                ends[index] = max(ends.get(index, start), start + (packet.duration or 0) * tick)
                if packet.stream.type == "video":
                    timeline.presented.append(start)
                    timeline.decoded.append(packet.dts * tick)
        timeline.period = max(ends.values()) - max(0.0, min(begins.values()))
        return timeline


@dataclass
class Delivered:
    """What arrived, held against the file."""

    missing: int
    loops: int
    span_s: float
    """From the first picture that arrived to the last, as the file releases them."""


def compare(times: list[int], timeline: Timeline) -> Delivered:
    """Find where in the file the received timestamps begin and count the pictures left out.

    Every possible beginning is tried; the one that leaves out the fewest is the right one. A
    timestamp that isn't the file's at all counts like a missing picture.
    """
    best = Delivered(len(times), 0, float("nan"))
    for begin in range(len(timeline.presented)):
        found = _follow(times, timeline, begin, best.missing)
        if found.missing < best.missing:
            best = found
        if best.missing == 0:
            break
    return best


def _follow(times: list[int], timeline: Timeline, begin: int, give_up: int) -> Delivered:
    presented, count = timeline.presented, len(timeline.presented)
    index, missing, loops = begin, 0, 0
    offset = times[0] - presented[begin]
    seams = 0.0
    for ticks in times[1:]:
        ahead, found, seam = index, False, False
        while not found and ahead - index < FURTHEST:
            ahead += 1
            if ahead == count:
                index, ahead = index - count, 0
                offset += timeline.period
                seam = True
            off = ticks - presented[ahead] - offset
            found = abs(off) <= (SEAM_TICKS if seam else ROUNDING_TICKS)
        missing += ahead - index - 1 if found else 1
        loops += seam
        if found and seam:
            offset += off
            seams += timeline.period + off
        if found:
            index = ahead
        if missing >= give_up:
            break
    released = timeline.decoded[index] - timeline.decoded[begin] + seams
    return Delivered(missing, loops, released / CLOCK_RATE)
