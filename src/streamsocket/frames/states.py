"""How it stands with a stream, and what is told when that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["connecting", "live", "lost", "ended"]
"""`connecting` before the first connection, `live` while it flows, `lost` when the network, the
server or the stream went away against its will, `ended` when it came to its end as streams do.
After `lost` and `ended` it is tried again, unless that is not wanted."""


@dataclass(frozen=True, slots=True)
class StateChange:
    """It is now in this state."""

    state: State
    sentence: str = ""
    """Why it is lost or has ended, for people; empty otherwise."""
    time: float = 0.0
    """Since when, in seconds since the epoch."""
