"""The fuzz targets: every module in `targets/`.

A target has `fuzz_one(data: bytes) -> None`, which returns or fails whatever bytes it gets, and
`SEEDS: list[bytes]`, inputs that mean something, to start from. What it holds to: a parser parses
or raises `ParseError`, and what it parsed can be written and parsed again.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Protocol, cast

_TARGETS = Path(__file__).parent / "targets"


class Target(Protocol):
    """A module in `targets/`."""

    SEEDS: list[bytes]

    def fuzz_one(self, data: bytes) -> None:
        """Feed the parser; any exception but `ParseError` is a finding."""


def names() -> list[str]:
    """The targets' names: those of their modules."""
    return sorted(path.stem for path in _TARGETS.glob("[!_]*.py"))


def load(name: str) -> Target:
    """Import a target. `tests/fuzz` must be on the path, as it is for pytest and `run.py`."""
    return cast(Target, importlib.import_module(f"targets.{name}"))
