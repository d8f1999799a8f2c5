"""Answers to offers (RFC 8829, 5.3): the same sections, and nothing that was not offered."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from streamsocket.webrtc.candidate import Candidate
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.codec_choice import Choice
from streamsocket.webrtc.header_extensions import ExtensionUri
from streamsocket.webrtc.ice import Credentials
from streamsocket.webrtc.sdp import Description, Direction, Extension, Format, Media

FEEDBACK = frozenset({"nack", "nack pli", "ccm fir", "goog-remb"})
"""What we do about losses, sending and receiving."""
SENT_EXTENSIONS = frozenset(
    {ExtensionUri.ABS_SEND_TIME, ExtensionUri.ABS_CAPTURE_TIME, ExtensionUri.MID}
)
"""Header extensions whose values are the same for all who watch."""

_ALLOWED: dict[Direction, tuple[Direction, ...]] = {
    "sendrecv": ("sendrecv", "sendonly", "recvonly", "inactive"),
    "sendonly": ("recvonly", "inactive"),
    "recvonly": ("sendonly", "inactive"),
    "inactive": ("inactive",),
}
_REVERSED = {"sendonly": "recvonly", "recvonly": "sendonly"}


@dataclass(frozen=True, slots=True)
class Sending:
    """What we send in a section."""

    ssrc: int
    stream_id: str
    """The same for sound and picture that are to be played in sync (RFC 8830)."""
    track_id: str
    cname: str
    rtx_ssrc: int | None = None
    """On which losses are repaired; used if the choice has a format for it."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """How we answer a section that we take part in."""

    choice: Choice
    direction: Direction
    """Ours: `sendonly` to who watches, `recvonly` to who publishes."""
    sending: Sending | None = None
    feedback: Collection[str] = FEEDBACK
    extensions: Collection[str] = field(default_factory=lambda: frozenset(ExtensionUri))
    """By URI: those of them that are offered are answered."""

    def ids(self, offered: Media) -> dict[str, int]:
        """The header extensions that both know, by URI: for `ExtensionMap`."""
        return {each.uri: each.number for each in _known(self, offered)}


@dataclass(frozen=True, slots=True)
class Transport:
    """How we are reached, and who we are."""

    credentials: Credentials
    fingerprint: Fingerprint
    candidates: Sequence[Candidate]


def dtls_role(offer: Description) -> str:
    """Our `a=setup` (RFC 8842, 5.3): `passive`, we wait for the peer, unless it waits for us.

    FFmpeg's publisher does wait unless it is told otherwise.
    """
    return "active" if offer.transport.setup == "passive" else "passive"


def build(
    offer: Description,
    accepted: Mapping[int, Accepted],
    transport: Transport,
    *,
    session_id: int,
    version: int = 0,
) -> str:
    """Write the answer to an offer.

    `accepted` has, by their place in the offer, the sections we take part in; the others are
    rejected. `session_id` is a number of 62 bits that no other session has, `version` grows with
    each answer of a session (RFC 8829, 5.2.1). Raises ValueError for an answer that the offer does
    not allow.
    """
    taken = [offer.medias[index] for index in sorted(accepted)]
    bundle = [media.mid for media in taken if media.mid]
    lines = [
        "v=0",
        f"o=- {session_id} {version} IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        "a=ice-lite",
    ]
    if offer.bundle and bundle:
        # In the offer's order (RFC 9143, 7.3): the first one's section has the candidates.
        bundle.sort(key=offer.bundle.index)
        lines.append(f"a=group:BUNDLE {' '.join(bundle)}")
    if streams := dict.fromkeys(a.sending.stream_id for a in accepted.values() if a.sending):
        lines.append(f"a=msid-semantic: WMS {' '.join(streams)}")
    role = dtls_role(offer)
    for index, media in enumerate(offer.medias):
        answer = accepted.get(index)
        if answer is None:
            lines += _rejected(media)
            continue
        if not offer.bundled(media) or answer.direction not in _ALLOWED[media.direction]:
            raise ValueError(f"{answer.direction} is no answer to section {index} of the offer")
        lines += _media(media, answer)
        lines += transport_lines(transport, role, first=not bundle or media.mid == bundle[0])
    return "\r\n".join(lines) + "\r\n"


def _rejected(media: Media) -> list[str]:
    """Port 0 switches it off; the m= line has to name formats all the same (RFC 8829, 5.3.1)."""
    lines = [f"m={media.kind} 0 {media.protocol} {media.format_names or '0'}", "c=IN IP4 0.0.0.0"]
    if media.mid:
        lines.append(f"a=mid:{media.mid}")
    return [*lines, "a=inactive"]


def _media(media: Media, answer: Accepted) -> list[str]:
    chosen, rtx = answer.choice.format, answer.choice.rtx
    numbers = [str(each.payload_type) for each in (chosen, rtx) if each]
    lines = [f"m={media.kind} 9 {media.protocol} {' '.join(numbers)}", "c=IN IP4 0.0.0.0"]
    if media.mid:
        lines.append(f"a=mid:{media.mid}")
    for each in _known(answer, media):
        direction = each.direction and f"/{_REVERSED.get(each.direction, each.direction)}"
        lines.append(f"a=extmap:{each.number}{direction or ''} {each.uri}")
    lines.append(f"a={answer.direction}")
    sending = answer.sending
    if sending:
        lines.append(f"a=msid:{sending.stream_id} {sending.track_id}")
    lines.append("a=rtcp-mux")
    if media.rtcp_rsize:
        lines.append("a=rtcp-rsize")
    for each_format in (chosen, rtx):
        if each_format:
            kept = tuple(word for word in each_format.feedback if word in answer.feedback)
            lines += format_lines(replace(each_format, feedback=kept))
    if sending:
        lines += source_lines(sending, repaired=rtx is not None)
    return lines


def _known(answer: Accepted, media: Media) -> list[Extension]:
    return [each for each in media.extensions if each.uri in answer.extensions]


def format_lines(described: Format) -> list[str]:
    """What a section says of one of its payload types."""
    number = described.payload_type
    channels = f"/{described.channels}" if described.channels else ""
    lines = [f"a=rtpmap:{number} {described.encoding}/{described.clock_rate}{channels}"]
    lines += [f"a=rtcp-fb:{number} {word}" for word in described.feedback]
    if described.fmtp:
        lines.append(f"a=fmtp:{number} {described.fmtp}")
    return lines


def source_lines(sending: Sending, *, repaired: bool) -> list[str]:
    """The SSRCs of what is sent, and which of them repairs which."""
    numbers = [sending.ssrc]
    lines = []
    if repaired and sending.rtx_ssrc is not None:
        numbers.append(sending.rtx_ssrc)
        lines.append(f"a=ssrc-group:FID {sending.ssrc} {sending.rtx_ssrc}")
    for number in numbers:
        lines.append(f"a=ssrc:{number} cname:{sending.cname}")
        lines.append(f"a=ssrc:{number} msid:{sending.stream_id} {sending.track_id}")
    return lines


def transport_lines(transport: Transport, role: str, *, first: bool) -> list[str]:
    """In every section, as browsers have it, but the candidates once (RFC 8829, 5.3.1)."""
    lines = [
        f"a=ice-ufrag:{transport.credentials.ufrag}",
        f"a=ice-pwd:{transport.credentials.password}",
        "a=ice-options:trickle ice2",
        f"a=fingerprint:{transport.fingerprint}",
        f"a=setup:{role}",
    ]
    if first:
        lines += [f"a={candidate}" for candidate in transport.candidates]
        lines.append("a=end-of-candidates")
    return lines
