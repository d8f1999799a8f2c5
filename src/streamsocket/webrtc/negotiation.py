"""What of an offer is taken up: which of its sections carry which of our tracks. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.media.codec import Track
from streamsocket.webrtc.codec_choice import Choice, choose, encoding_of, explain
from streamsocket.webrtc.sdp import Description, Media
from streamsocket.webrtc.sdp_answer import FEEDBACK, Accepted, Sending

_STREAM_ID = "stream"
_CNAME = "streamsocket"


class NothingFitsError(StreamSocketError):
    """Nothing of what is offered goes together with what we have; the message says why."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One of our tracks in an answer."""

    track: int
    """Its index in the stream."""
    ssrc: int
    choice: Choice
    rtx_ssrc: int | None
    """On which losses are repaired; None where that is done on the same."""

    @property
    def rtx(self) -> tuple[int, int] | None:
        """Payload type and SSRC of repairs."""
        if self.choice.rtx is None or self.rtx_ssrc is None:
            return None
        return self.choice.rtx.payload_type, self.rtx_ssrc


@dataclass(frozen=True, slots=True)
class WatchPlan:
    """The answer to who wants to watch."""

    accepted: dict[int, Accepted]
    """By the section's place in the offer."""
    tracks: list[Watched]


def plan_watching(offer: Description, tracks: Sequence[tuple[Track, int]]) -> WatchPlan:
    """Find a section for each of the stream's tracks, which come with their SSRCs.

    Those without any are left out. Raises `NothingFitsError` if that are all of them.
    """
    accepted: dict[int, Accepted] = {}
    watched: list[Watched] = []
    reasons: list[str] = []
    for index, (track, ssrc) in enumerate(tracks):
        free = [
            place
            for place, media in enumerate(offer.medias)
            if place not in accepted and _may_send(offer, media, track.kind)
        ]
        if not free:
            reasons.append(f"The stream has {track.kind}, but the offer has no place for it.")
            continue
        try:
            encoding = encoding_of(track.codec)
        except ParseError:
            reasons.append(f"The {track.kind}'s parameters are broken.")
            continue
        for place in free:
            media = offer.medias[place]
            if choice := choose(encoding, media.formats):
                rtx_ssrc = secrets.randbits(32) if choice.rtx else None
                watched.append(Watched(index, ssrc, choice, rtx_ssrc))
                accepted[place] = _sent(track, ssrc, choice, rtx_ssrc)
                break
        else:
            reasons.append(explain(encoding, offer.medias[free[0]].formats))
    if not watched:
        raise NothingFitsError(" ".join(dict.fromkeys(reasons)) or "The stream has no tracks.")
    return WatchPlan(accepted, watched)


def _may_send(offer: Description, media: Media, kind: str) -> bool:
    return (
        media.kind == kind and offer.bundled(media) and media.direction in ("recvonly", "sendrecv")
    )


def _sent(track: Track, ssrc: int, choice: Choice, rtx_ssrc: int | None) -> Accepted:
    return Accepted(
        choice,
        "sendonly",
        Sending(ssrc, _STREAM_ID, track.kind, _CNAME, rtx_ssrc),
        # Sound that was lost is over before it could come again.
        feedback=FEEDBACK if track.kind == "video" else frozenset(),
        extensions=frozenset(),
    )
