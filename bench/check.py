"""Measure everything, and say which goals are met.

    python bench/check.py [NAME…] [--quick] [--report] [--json FILE]

Without names all benches run, one after the other, on a machine that should have nothing else to
do. `--quick` is shorter and smaller: good for trying things out, not for figures to quote. The
exit status is 1 if a goal was missed or a bench could not measure.
"""

from __future__ import annotations

import argparse
import importlib
import json
import math
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[1])

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from bench.harness import Figure, conditions  # noqa: E402

BENCHES = {
    "fanout": "server CPU a packet, 300 viewers, beside gst-rtsp-server",
    "ingest": "server CPU a packet taken in, 100 publishers, beside a bare receive loop",
    "webrtc": "300 WebRTC viewers, WHIP publishers: server CPU a packet, beside aiortc",
    "publishers": "50 publishers at once with a viewer each: CPU of the server, gaps",
    "republish": "a publisher killed and started again 100 times under 50 viewers",
    "recording": "CPU of recording 20 streams, and whether every picture is there",
    "frame_rate": "delivered frame rate against the file's own",
    "sync": "sound against picture in what arrives",
    "window": "the desktop window: first picture, latency, sync by real sound, CPU",
    "browser": "Chromium: first picture, how live, latency, sync by real sound",
    "frames": "arrays in, arrays out: how soon, times of capture, CPU, growth",
    "lossy": "the window over a network that loses packets and is late",
    "call": "a call on one machine: from the microphone to the other loudspeaker",
    "transcoding": "a rendition without B-frames: CPU, added latency, sound against picture",
    "join": "PLAY to first keyframe packet, and how live a viewer is 2 s later",
    "added_latency": "what the server adds, from a packet in to its last copy out",
    "memory": "memory a viewer, and over sessions that come and go",
    "bits": "bits against base64 JPEG at equal SSIM",
    "footprint": "disk, memory and CPU of an install and of an idle server",
    "drift": "half an hour: the window's sync against a source whose clock is 200 ppm off",
}


def main() -> int:
    """Run the benches that were asked for and print their figures."""
    arguments = parse_arguments()
    console = Console(width=None if sys.stdout.isatty() else 160)
    said = conditions()
    console.print("; ".join(f"{key}: {value}" for key, value in said.items()), highlight=False)
    if arguments.quick:
        console.print("[yellow]--quick: shorter and with fewer viewers, not to be quoted[/]")
    results: list[tuple[str, Figure]] = []
    broken: dict[str, str] = {}
    for name in arguments.names or BENCHES:
        console.print(f"{name}: {BENCHES[name]} …", style="dim", highlight=False)
        start = time.monotonic()
        try:
            figures = importlib.import_module(f"bench.{name}").run(arguments.quick)
        except Exception as error:
            console.print_exception()
            broken[name] = f"{type(error).__name__}: {error}".splitlines()[0]
            continue
        console.print(table(figures), f"  {time.monotonic() - start:.0f} s\n", highlight=False)
        results += [(name, figure) for figure in figures]
    missed = [figure for _, figure in results if figure.passed is False]
    if arguments.json:
        told = [
            {"bench": name, **asdict(figure), "passed": figure.passed,
             "value": figure.value if math.isfinite(figure.value) else None}
            for name, figure in results
        ]  # fmt: skip
        arguments.json.write_text(
            json.dumps(
                {"quick": arguments.quick, "conditions": said, "figures": told,
                 "broken": broken}, indent=1, ensure_ascii=False,
            ) + "\n"
        )  # fmt: skip
    met = sum(figure.passed is True for _, figure in results)
    console.print(f"{met} goals met, {len(missed)} missed, {len(broken)} benches broken.")
    for figure in missed:
        console.print(f"  missed: {figure.what}: {number(figure.value)} {figure.unit}")
    for name, reason in broken.items():
        console.print(f"  broken: {name}: {reason}", markup=False)
    return 1 if broken or (missed and not arguments.report) else 0


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=Raw)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    parser.add_argument("--quick", action="store_true", help="shorter, with fewer viewers")
    parser.add_argument("--report", action="store_true", help="missed goals are no failure")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there too")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in BENCHES]
    if unknown:
        parser.error(f"there is no bench {unknown[0]!r}; there are {', '.join(BENCHES)}")
    return arguments


Raw = argparse.RawDescriptionHelpFormatter


def table(figures: list[Figure]) -> Table:
    """The figures of one bench."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("what", "figure", "goal", "", "conditions"):
        made.add_column(column, justify="right" if column in ("figure", "goal") else "left")
    for figure in figures:
        goal = "" if figure.limit is None else f"≤ {number(figure.limit)}"
        verdict = {True: "[green]pass[/]", False: "[bold red]FAIL[/]", None: ""}[figure.passed]
        value = f"{number(figure.value)} {figure.unit}"
        made.add_row(figure.what, value, goal, verdict, f"[dim]{figure.conditions}[/]")
    return made


def number(value: float) -> str:
    """A figure with three digits that count."""
    if not math.isfinite(value):
        return "none"
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
