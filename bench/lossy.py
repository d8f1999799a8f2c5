"""The window over a network that loses packets and is late: how many pictures it shows whole.

Two network namespaces with a pump between them that does what netem does, since not every kernel
has netem (`tests/interop/impaired.py`). The server is in the one, the window in the other, both as
users start them; what is counted is read back from the screen. Loss and delay are those of each
direction; only UDP loses packets.
"""

from __future__ import annotations

import sys
import time
from itertools import pairwise
from pathlib import Path

from tests.desktop.desktop import Display
from tests.interop.impaired import impaired_network

from bench.harness import Figure, running
from bench.rtsp import BenchError
from bench.screen import Sightings, Watcher, playing
from bench.window import desktop

PORT = 18554
SETTLING_S = 8.0
DELAY_S, JITTER_S = 0.03, 0.01


def run(quick: bool) -> list[Figure]:
    """Pictures shown and the longest that one stood still, at 3% and at 10% loss."""
    seconds = 15.0 if quick else 60.0
    with desktop() as (display, _):
        few = watch(display, 0.03, seconds)
        many = watch(display, 0.10, seconds)
    said = (
        f"UDP both ways, {DELAY_S * 1000:.0f} ± {JITTER_S * 1000:.0f} ms, 720p30, {seconds:.0f} s"
    )
    return [
        Figure("lossy: pictures that aren't shown whole, 3% lost", (1 - shown(few)) * 100, "%", 1.0,
               f"{said}; {len(few.pictures)} seen on the screen"),
        Figure("lossy: longest freeze, 3% lost", freeze_ms(few), "ms", 300.0, said),
        Figure("lossy: pictures that aren't shown whole, 10% lost", (1 - shown(many)) * 100, "%",
               50.0, f"{said}; goes on: {len(many.pictures)} seen"),
        Figure("lossy: longest freeze, 10% lost", freeze_ms(many), "ms", None, said),
    ]  # fmt: skip


def watch(display: Display, loss: float, seconds: float) -> Sightings:
    """What the window shows over such a network."""
    with impaired_network(
        delay_s=DELAY_S, jitter_s=JITTER_S, loss=loss, loss_protocols=("udp",), seed=1
    ) as network:
        host = network.addresses["a"]
        command = [*network.prefix("a"), str(Path(sys.executable).with_name("streamsocket"))]
        command += ["serve", "test:1280x720@30", "--host", host, "--rtsp-port", str(PORT)]
        with running([*command, "--http-port", "18080", "--rtmp-port", "0"]):
            time.sleep(4)
            prefix = tuple(network.prefix("b"))
            with playing(f"rtsp://{host}:{PORT}/test", "--transport", "udp", prefix=prefix):
                window = display.window("test")
                time.sleep(SETTLING_S)
                with Watcher(display, window) as seen:
                    time.sleep(seconds)
    if not seen.pictures:
        raise BenchError(f"nothing was seen on the screen at {loss:.0%} loss")
    return seen


def shown(seen: Sightings) -> float:
    """Which part of the pictures between the first and the last was seen.

    Flashes carry no number: one of the thirty of each second is not looked for.
    """
    numbers = sorted(seen.pictures)
    expected = (numbers[-1] - numbers[0] + 1) * 29 / 30
    return min(1.0, len(numbers) / expected)


def freeze_ms(seen: Sightings) -> float:
    """The longest time between two pictures on the screen."""
    moments = sorted(at for _, at in seen.pictures.values())
    return max(after - before for before, after in pairwise(moments)) * 1000
