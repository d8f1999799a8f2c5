"""What is recorded, and how: the settings as plain values that travel to the recorder's process."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamsocket.names import matches
from streamsocket.record.naming import DEFAULT_PATTERN, PathPattern, parse_pattern
from streamsocket.record.retention import Retention
from streamsocket.record.rotation import Rotation


@dataclass(frozen=True, slots=True)
class Rule:
    """One `[[record]]` of the settings."""

    streams: str = "*"
    """Which streams: a pattern of their names, in which `*` stands for anything."""
    path: str = DEFAULT_PATTERN
    rotate_minutes: float = 60.0
    """0 is never."""
    rotate_mb: float | None = None
    keep_days: float | None = None
    keep_gb: float | None = None
    min_free_gb: float = 1.0

    def matches(self, name: str) -> bool:
        """Whether the stream of that name is recorded by this rule."""
        return matches(self.streams, name)

    @property
    def pattern(self) -> PathPattern:
        """Where its recordings go."""
        return parse_pattern(self.path)

    @property
    def root(self) -> Path:
        """The folder of its recordings, which has their index."""
        return Path(self.pattern.root)

    @property
    def rotation(self) -> Rotation:
        """When a new file begins."""
        return Rotation(
            self.rotate_minutes * 60 or None,
            None if self.rotate_mb is None else round(self.rotate_mb * 1e6),
        )

    @property
    def retention(self) -> Retention:
        """What is kept."""
        return Retention.from_settings(self.keep_days, self.keep_gb, self.min_free_gb)


def rule_for(rules: Sequence[Rule], name: str) -> int | None:
    """The index of the first rule that says to record the stream; None where none does."""
    return next((index for index, rule in enumerate(rules) if rule.matches(name)), None)


def rules_to_json(rules: Sequence[Rule]) -> str:
    """The rules as JSON text, for the recorder's process."""
    return json.dumps([asdict(rule) for rule in rules])


def rules_from_json(text: str) -> list[Rule]:
    """The reverse of `rules_to_json`."""
    values: list[dict[str, Any]] = json.loads(text)
    return [Rule(**each) for each in values]
