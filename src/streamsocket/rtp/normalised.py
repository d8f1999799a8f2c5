"""What normalising a publisher's packets gives, and what does it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from streamsocket.media.codec import Codec


class Normalised(NamedTuple):
    """Payloads of one access unit, for `build_batch`."""

    payloads: list[bytes]
    timestamp: int
    keyframe: bool
    """The first payload is the first of a keyframe."""
    marker: bool
    """The last payload's packet has the marker bit."""
    complete: bool
    """The last payload is the last of its access unit."""


class Normaliser(Protocol):
    """Takes packets in order and never waits for the rest of an access unit."""

    @property
    def codec(self) -> Codec:
        """The codec. Another object after a push tells that the parameter sets changed."""

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """What the next payloads become: one or more of one access unit that follow each other.

        `timestamp` is unwrapped; `marker` is the last one's; `gap` says that packets are missing
        before the first. Raises ParseError where one of them breaks the rules; the next ones can
        be pushed all the same.
        """
