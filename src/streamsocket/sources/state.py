"""How a source is doing, whatever it is made of."""

from __future__ import annotations

from dataclasses import dataclass

from streamsocket.status import StreamState


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing."""

    state: StreamState = "starting"
    position_s: float | None = None
    """Where in its file it is."""
    duration_s: float | None = None
    loops: int = 0
    """How many times the file has begun again."""
    message: str | None = None
    """Why it failed or what is being done to it, a sentence."""
