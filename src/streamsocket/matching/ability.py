"""What one viewer can play, said the same way by every protocol."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from streamsocket.matching.target import Target
from streamsocket.media.codec import Codec, Kind


@dataclass(frozen=True, slots=True)
class Form:
    """A track, as far as it matters to who is to play it."""

    codec: Codec
    reorders: bool = False
    """Pictures don't come in the order in which they are shown: it has B-frames."""


@dataclass(frozen=True, slots=True)
class Ability:
    """What one viewer can play."""

    objection: Callable[[Form], str | None]
    """Why a track can't be played as it is, a sentence; None where it can."""
    instead: Mapping[Kind, Sequence[Target]]
    """What may be made for it where it can't, the best first.

    A kind that is not in it is left out: the viewer has no place for it.
    """
