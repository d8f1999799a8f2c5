"""What WHIP and WHEP send by PATCH: `application/trickle-ice-sdpfrag` (RFC 8840, 9; RFC 9725, 4.3).

New candidates, or the new credentials of an ICE restart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from streamsocket.errors import ParseError
from streamsocket.webrtc.candidate import Candidate
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.sdp import (
    MAX_BYTES,
    MAX_MEDIAS,
    Attributes,
    Description,
    parse_candidates,
    parse_credentials,
    parse_media_line,
    stripped_sections,
)

CONTENT_TYPE = "application/trickle-ice-sdpfrag"


@dataclass(slots=True)
class FragmentMedia:
    """What a fragment tells of one section."""

    mid: str
    candidates: list[Candidate] = field(default_factory=list)
    end_of_candidates: bool = False


@dataclass(slots=True)
class Fragment:
    """New candidates or credentials."""

    credentials: Credentials | None
    """Those that the candidates belong to: if they are others than before, ICE restarts."""
    medias: list[FragmentMedia]
    end_of_candidates: bool = False
    """Of all sections."""

    def restarts(self, before: Credentials | None) -> bool:
        """Whether the peer wants ICE to restart, whose credentials were `before`."""
        return self.credentials is not None and self.credentials != before


def parse(text: str) -> Fragment:
    """Read a fragment. Raises ParseError where there is nothing of ICE in it."""
    if len(text) > MAX_BYTES:
        raise ParseError(f"An SDP fragment of {len(text)} characters is too long.")
    session_lines, *sections = stripped_sections(text)
    if len(sections) > MAX_MEDIAS:
        raise ParseError(f"{len(sections)} m= lines are more than the {MAX_MEDIAS} that are taken.")
    session = Attributes(session_lines)
    credentials = parse_credentials(session)
    medias = []
    for lines in sections:
        parse_media_line(lines[0][1])
        own = Attributes(lines)
        credentials = credentials or parse_credentials(own)
        ended = "end-of-candidates" in own
        medias.append(FragmentMedia(own.first("mid") or "", parse_candidates(own), ended))
    if not medias and (candidates := parse_candidates(session)):
        # Candidates without an m= line: of the only transport there is.
        medias.append(FragmentMedia(session.first("mid") or "", candidates))
    fragment = Fragment(credentials, medias, "end-of-candidates" in session)
    ended = fragment.end_of_candidates or any(media.end_of_candidates for media in medias)
    if not credentials and not ended and not any(media.candidates for media in medias):
        raise ParseError(
            "The SDP fragment has neither ICE credentials nor candidates: send a=ice-ufrag, "
            "a=ice-pwd and a=candidate lines (RFC 8840, 9)."
        )
    return fragment


def build(offer: Description, credentials: Credentials, candidates: Sequence[Candidate]) -> str:
    """Write the answer to an ICE restart: our new credentials and all our candidates."""
    media = offer.transport
    lines = [
        "a=ice-lite",
        "a=ice-options:trickle ice2",
        f"a=ice-ufrag:{credentials.ufrag}",
        f"a=ice-pwd:{credentials.password}",
        f"m={media.kind} 9 {media.protocol} {media.format_names or '0'}",
        f"a=mid:{media.mid}",
        *(f"a={candidate}" for candidate in candidates),
        "a=end-of-candidates",
    ]
    return "\r\n".join(lines) + "\r\n"
