"""The hub's bounds, in one place."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How much the hub keeps, and for how long."""

    reader_max_age_s: float = 2.0
    """A viewer further behind than this skips to the newest keyframe."""
    keyframe_cache_bytes: int = 32 * 1024 * 1024
    """The largest group of pictures kept for those who join."""
    history_s: float = 2.0
    """How long packets are kept for repair."""
    history_bytes: int = 8 * 1024 * 1024
    """And how many of them, in bytes, a track."""
    join_seconds: float = 1.5
    """The longest that catching up with live may take."""
    max_streams: int = 1000
    """How many streams may exist at once."""
    publisher_wait_s: float = 60.0
    """How long viewers wait for a publisher that left to return."""
