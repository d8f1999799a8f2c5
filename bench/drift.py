"""Sound and picture in the window, half an hour against a source whose clock is 200 ppm off.

The publisher's processes have a clock of their own (`skewed_clock/`); server, window and sound
device have the true one. Flash and beep are compared as in `window.py`, in the first minute and in
the last.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from tests.desktop.desktop import RATE, Display, PulseAudio, end

from bench.harness import Figure, percentile, streamsocket
from bench.screen import Watcher, playing
from bench.window import SETTLING_S, desktop, sound_after_picture_ms
from streamsocket.sources import yardstick

SKEW_PPM = 200
MEASURED_S = 60.0


def run(quick: bool) -> list[Figure]:
    """Sync in the first minute and in the last, and how much later the last is seen."""
    lasting_s = 180.0 if quick else 1800.0
    with (
        desktop() as (display, pulse),
        streamsocket(expect=0) as server,
        skewed_publisher(server.url + "test"),
        playing(server.url + "test"),
    ):
        window = display.window("test")
        time.sleep(SETTLING_S)
        first = measure(display, window, pulse)
        time.sleep(max(0.0, lasting_s - 2 * MEASURED_S))
        last = measure(display, window, pulse)
    said = f"publisher's clock {SKEW_PPM} ppm fast, 720p30 and AAC, recorded from PulseAudio"
    return [
        Figure("drift: sound − picture, first minute", p95(first), "ms p95", 20.0,
               f"{said}; {len(first)} flashes; median {median(first):+.1f} ms"),
        Figure(f"drift: sound − picture, after {lasting_s / 60:.0f} minutes", p95(last), "ms p95",
               20.0, f"{said}; {len(last)} flashes; median {median(last):+.1f} ms"),
    ]  # fmt: skip


def p95(offsets: list[float]) -> float:
    """Of how far apart they were, whichever came first."""
    return percentile([abs(offset) for offset in offsets], 95)


def measure(display: Display, window: str, pulse: PulseAudio) -> list[float]:
    """How much later than each flash its beep is heard, in milliseconds."""
    with Watcher(display, window) as seen, pulse.record() as recording:
        time.sleep(MEASURED_S)
    onsets = yardstick.beep_onsets(recording.samples.mean(axis=1), RATE)
    beeps = [recording.begun + onset / RATE for onset in onsets]
    return sound_after_picture_ms(seen.flashes, beeps)


@contextmanager
def skewed_publisher(url: str) -> Iterator[None]:
    """The test pattern, published by somebody whose clock is fast."""
    skewed = str(Path(__file__).with_name("skewed_clock"))
    variables = os.environ | {"PYTHONPATH": skewed, "SKEW_PPM": str(SKEW_PPM)}
    command = [str(Path(sys.executable).with_name("streamsocket")), "publish", "test", url]
    process = subprocess.Popen(command, env=variables, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        end(process)
