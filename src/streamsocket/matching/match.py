"""Which of a stream's tracks a viewer gets as they are, and which are turned into something else.

The one place where that is decided, for all protocols.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.errors import StreamSocketError
from streamsocket.matching.ability import Ability, Form
from streamsocket.matching.target import Target
from streamsocket.wording import codec_name


class NothingFitsError(StreamSocketError):
    """Nothing of what a stream has can be played by the viewer; the message says why."""


@dataclass(frozen=True, slots=True)
class Pick:
    """One track for a viewer."""

    track: int
    """Its index in the stream."""
    target: Target | None = None
    """What it is turned into; None where it is passed on as it is."""


def match(forms: Sequence[Form], ability: Ability, *, converts: bool = True) -> list[Pick]:
    """Choose for each of the stream's tracks; those that the viewer can't play are left out.

    Without `converts`, tracks are passed on as they are or not at all. Raises `NothingFitsError`
    where nothing is left.
    """
    picks: list[Pick] = []
    reasons: list[str] = []
    for index, form in enumerate(forms):
        kind = form.codec.kind
        if kind not in ability.instead:
            reasons.append(f"The stream has {kind}, for which the viewer has no place.")
            continue
        objection = ability.objection(form)
        if objection is None:
            picks.append(Pick(index))
            continue
        targets = ability.instead[kind]
        if targets and converts:
            picks.append(Pick(index, targets[0]))
            continue
        reasons.append(objection)
        if targets:
            name = codec_name(targets[0].codec)
            reasons.append(f"Publish it as {name}, or switch transcoding on.")
    if not picks:
        raise NothingFitsError(" ".join(dict.fromkeys(reasons)) or "The stream has no tracks.")
    return picks
