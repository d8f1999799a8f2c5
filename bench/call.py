"""A call on one machine: from one's microphone to the other's loudspeaker.

Each of the two has a PulseAudio of its own. Beeps are played into the room that the one's
microphone hears; they are recorded there and where the other's loudspeaker plays, in the same way,
so that what recording itself takes cancels out.
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
from tempfile import TemporaryDirectory

import numpy as np
from tests.desktop.desktop import RATE, Display, PulseAudio, end, pulse_server, x_server

from bench.harness import Figure, free_ports, percentile
from streamsocket.sources import yardstick

SECRET = "BENCH-CALL"
SETTLING_S = 10.0
APART_S = 0.7
SAME_BEEP_S = 0.5


def run(quick: bool) -> list[Figure]:
    """Mouth to ear, both ways."""
    seconds = 10.0 if quick else 60.0
    with two_rooms() as (display, one, other), call(display, one, other):
        time.sleep(SETTLING_S)
        there = mouth_to_ear_ms(one, other, seconds)
        back = mouth_to_ear_ms(other, one, seconds)
    said = f"call on loopback, microphones alone, PulseAudio at both ends; {len(there)} beeps"
    return [
        Figure("call: mouth to ear, listener to caller", median(there), "ms p50", 150.0,
               f"{said}; p95 {percentile(there, 95):.0f} ms"),
        Figure("call: mouth to ear, caller to listener", median(back), "ms p50", 150.0,
               f"{said}; p95 {percentile(back, 95):.0f} ms"),
    ]  # fmt: skip


def mouth_to_ear_ms(speaking: PulseAudio, listening: PulseAudio, seconds: float) -> list[float]:
    """How much later each beep is heard there than it was said here."""
    one = np.zeros(round(APART_S * RATE), np.float32)
    one[: round(yardstick.BEEP_S * RATE)] = yardstick.beep(RATE)
    beeps = np.tile(one, round(seconds / APART_S))[:, None].repeat(2, axis=1)
    with (
        speaking.record("room") as said,
        listening.record("speaker") as heard,
        speaking.play(beeps),
    ):
        time.sleep(seconds)
    spoken, came = onsets(said.samples, said.begun), onsets(heard.samples, heard.begun)
    delays = []
    for moment in spoken:
        later = [at - moment for at in came if 0 < at - moment < SAME_BEEP_S]
        if later:
            delays.append(min(later) * 1000)
    return delays or [float("inf")]


def onsets(samples: np.ndarray, begun: float) -> list[float]:  # type: ignore[type-arg]
    """When beeps begin, of `time.monotonic()`."""
    return [begun + onset / RATE for onset in yardstick.beep_onsets(samples.mean(axis=1), RATE)]


@contextmanager
def two_rooms() -> Iterator[tuple[Display, PulseAudio, PulseAudio]]:
    """A screen, and two machines' sound."""
    with (
        x_server() as display,
        TemporaryDirectory(prefix="pulse-") as one,
        TemporaryDirectory(prefix="pulse-") as other,
        pulse_server(Path(one)) as first,
        pulse_server(Path(other)) as second,
    ):
        yield display, first, second


@contextmanager
def call(display: Display, one: PulseAudio, other: PulseAudio) -> Iterator[None]:
    """The two talk to each other: the one listens, the other calls."""
    (port,) = free_ports(1)
    command = [str(Path(sys.executable).with_name("streamsocket")), "call", "--source", "mic"]
    command += ["--secret", SECRET]
    listens = [*command, "--listen", "--host", "127.0.0.1", "--port", str(port)]
    with (
        _running(listens, display, one),
        _running([*command, f"127.0.0.1:{port}"], display, other),
    ):
        yield


@contextmanager
def _running(command: list[str], display: Display, pulse: PulseAudio) -> Iterator[None]:
    variables = os.environ | {"DISPLAY": display.name, **pulse.environment}
    process = subprocess.Popen(
        command, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield
    finally:
        end(process)
