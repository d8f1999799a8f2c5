"""The desktop window: how soon, how late, how much in sync, and for how much work."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from tests.desktop.desktop import (
    RATE,
    Display,
    PulseAudio,
    pulse_server,
    x_server,
)

from bench.harness import Figure, cpu_seconds, percentile, streamsocket
from bench.movies import cached, noisy_movie
from bench.screen import Watcher, playing
from streamsocket.client.probe import probe
from streamsocket.sources import yardstick

GOP_S = 10
SETTLING_S = 6.0
SAME_MOMENT_S = 0.4


def run(quick: bool) -> list[Figure]:
    """First picture, glass to glass, sync by real sound, CPU."""
    return [*first_picture(quick), *on_screen(quick)]


def first_picture(quick: bool) -> list[Figure]:
    """From connecting to the first decoded picture, by our own client."""
    times = 10 if quick else 60
    movie = cached("gop10.mp4", lambda path: noisy_movie(path, seconds=60, gop_s=GOP_S))
    waits: list[float] = []
    with streamsocket(str(movie)) as server:
        for number in range(times + 1):
            report = asyncio.run(probe(server.url + "gop10", seconds=0.3))
            first = report.times.first_picture_s if report.times else None
            if number:  # the first one loads the decoder
                waits.append(float("inf") if first is None else first * 1000)
            time.sleep(0.13)
    return [
        Figure("window: connect to first decoded picture", percentile(waits, 95), "ms p95", 100.0,
               f"{times} times, GOP of {GOP_S} s, 2.5 Mbit/s; median {median(waits):.1f} ms")
    ]  # fmt: skip


def on_screen(quick: bool) -> list[Figure]:
    """What a real window on a real X server shows, and a real sound server plays."""
    seconds = 15.0 if quick else 60.0
    with desktop() as (display, pulse), streamsocket("test:1280x720@30") as server:
        silent = glass_to_glass(display, server.url + "test", seconds, "--no-audio")
        with playing(server.url + "test") as process:
            window = display.window("test")
            time.sleep(SETTLING_S)
            with Watcher(display, window) as seen, pulse.record() as recording:
                before, began = cpu_seconds(process.pid), time.monotonic()
                time.sleep(seconds)
                cpu = (cpu_seconds(process.pid) - before) / (time.monotonic() - began)
    onsets = yardstick.beep_onsets(recording.samples.mean(axis=1), RATE)
    beeps = [recording.begun + onset / RATE for onset in onsets]
    offsets = sound_after_picture_ms(seen.flashes, beeps)
    said = "720p30 test pattern, Xvfb, software rendering, read back from the screen"
    return [
        Figure("window: capture to screen", median(silent), "ms p50", 60.0,
               f"{said}; picture alone; p95 {percentile(silent, 95):.0f} ms; {len(silent)} seen"),
        Figure("window: capture to screen, with sound", median(seen.latencies_ms), "ms p50", 60.0,
               f"{said}; Opus with it; p95 {percentile(seen.latencies_ms, 95):.0f} ms"),
        Figure("window: sound − picture", percentile(list(map(abs, offsets)), 95), "ms p95", 20.0,
               f"{len(offsets)} flashes and beeps, recorded from PulseAudio; "
               f"median {median(offsets):+.1f} ms"),
        Figure("window: CPU", cpu * 100, "% of a core", 40.0,
               f"{said}, with sound"),
    ]  # fmt: skip


def glass_to_glass(display: Display, url: str, seconds: float, *options: str) -> list[float]:
    """Milliseconds from capture to the screen, of each picture."""
    with playing(url, *options):
        window = display.window("test")
        time.sleep(SETTLING_S)
        with Watcher(display, window) as seen:
            time.sleep(seconds)
    return seen.latencies_ms


def sound_after_picture_ms(flashes: list[float], beeps: list[float]) -> list[float]:
    """How much later than each flash its beep was heard."""
    offsets = []
    for flash in flashes:
        nearest = min((beep - flash for beep in beeps), key=abs, default=np.inf)
        if abs(nearest) < SAME_MOMENT_S:
            offsets.append(nearest * 1000)
    return offsets


@contextmanager
def desktop() -> Iterator[tuple[Display, PulseAudio]]:
    """An X server and a sound server, which what is started in between uses."""
    kept = dict(os.environ)
    with (
        x_server() as display,
        TemporaryDirectory(prefix="pulse-") as folder,
        pulse_server(Path(folder)) as pulse,
    ):
        os.environ |= {"DISPLAY": display.name, **pulse.environment}
        os.environ.pop("SDL_VIDEODRIVER", None)
        try:
            yield display, pulse
        finally:
            os.environ.clear()
            os.environ |= kept
