"""Fuzz every parser with atheris, one process a target.

    python tests/fuzz/run.py                            every target, 10 s each
    python tests/fuzz/run.py --seconds 600 rtcp         one of them, for longer
    python tests/fuzz/run.py --runs 2000                the same inputs on every machine
    python tests/fuzz/run.py rtcp --input crash-1234    once, with what was found

Exits with 1 if a target found something; the input that did it is kept and named.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import registry

_OVERTIME_S = 240


def main() -> int:
    """Run the targets that the command line names, or all."""
    parser = argparse.ArgumentParser(description="Fuzz every parser with atheris.")
    parser.add_argument("names", nargs="*", choices=[*registry.names(), []], metavar="NAME")
    parser.add_argument("--seconds", type=int, default=10, help="how long each target runs")
    parser.add_argument("--jobs", type=int, default=1, help="how many targets run at a time")
    parser.add_argument("--runs", type=int, help="this many inputs, always the same, not SECONDS")
    parser.add_argument("--input", type=Path, help="run one target once, with this file")
    parser.add_argument("--corpus", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.names or registry.names()
    if options.input:
        for name in names:
            registry.load(name).fuzz_one(options.input.read_bytes())
        return 0
    if options.corpus:
        _fuzz(names[0], options.seconds, options.runs, options.corpus)
    with ThreadPoolExecutor(options.jobs) as jobs:
        fine = list(jobs.map(lambda name: _run(name, options.seconds, options.runs), names))
    found = [name for name, is_fine in zip(names, fine, strict=True) if not is_fine]
    amount = f"{options.runs} inputs" if options.runs else f"{options.seconds} s"
    print(f"{len(names)} targets, {amount} each: findings in {', '.join(found) or 'none'}")
    return 1 if found else 0


def _run(name: str, seconds: int, runs: int | None) -> bool:
    """Fuzz a target in a process of its own; whether it found nothing."""
    with tempfile.TemporaryDirectory() as corpus:
        for index, example in enumerate(registry.load(name).SEEDS):
            (Path(corpus) / f"seed-{index}").write_bytes(example)
        command = [sys.executable, __file__, name, f"--seconds={seconds}", f"--corpus={corpus}"]
        if runs:
            command.append(f"--runs={runs}")
        result = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds + _OVERTIME_S,
            env={**os.environ, "PYTHONHASHSEED": "0"} if runs else None,
        )
    is_fine = result.returncode == 0
    said = "ok" if is_fine else f"FOUND\n{result.stdout}{result.stderr}"
    print(f"{name} … {said}", flush=True)
    return is_fine


def _fuzz(name: str, seconds: int, runs: int | None, corpus: Path) -> None:
    """Hand this process over to libFuzzer, which ends it."""
    import atheris  # type: ignore[import-untyped, unused-ignore]

    with atheris.instrument_imports(include=["streamsocket"]):
        target = registry.load(name)
    arguments = ["-seed=1", f"-runs={runs}"] if runs else [f"-max_total_time={seconds}"]
    arguments += ["-max_len=4096", "-timeout=20", "-verbosity=0"]
    arguments += ["-rss_limit_mb=1024", f"-artifact_prefix=./{name}-"]
    atheris.Setup([name, *arguments, str(corpus)], target.fuzz_one)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
