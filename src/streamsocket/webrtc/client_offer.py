"""Offers to servers (RFC 8829, 5.2), and what their answers to them mean. No I/O."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass, replace

from streamsocket.errors import ParseError
from streamsocket.matching.match import NothingFitsError
from streamsocket.media.codec import Codec, Kind, Opus, Track
from streamsocket.webrtc import sdp
from streamsocket.webrtc.codec_choice import Encoding, encoding_of, h264_profile
from streamsocket.webrtc.header_extensions import ExtensionUri
from streamsocket.webrtc.negotiation import codec_of
from streamsocket.webrtc.sdp import Description, Extension, Format, Media
from streamsocket.webrtc.sdp_answer import (
    Sending,
    Transport,
    format_lines,
    source_lines,
    transport_lines,
)
from streamsocket.wording import codec_name

_FIRST_DYNAMIC = 96
_STATIC = {"pcmu": 0, "pcma": 8}

_STREAM_ID = "stream"
_CNAME = "streamsocket"

_IDS = {ExtensionUri.MID: 1, ExtensionUri.ABS_CAPTURE_TIME: 2}
# Which section a packet is of, for servers that don't read a=ssrc.
_SENT_EXTENSIONS = (ExtensionUri.MID,)
_READ_EXTENSIONS = (ExtensionUri.MID, ExtensionUri.ABS_CAPTURE_TIME)

_VIDEO_FEEDBACK = ("nack", "nack pli", "ccm fir")


def _h264(profile: str) -> Encoding:
    parameters = {
        "level-asymmetry-allowed": "1",
        "packetization-mode": "1",
        "profile-level-id": f"{profile}34",
    }
    return Encoding("h264", parameters=parameters)


def _h265(profile: int) -> Encoding:
    parameters = {"level-id": "186", "profile-id": str(profile), "tier-flag": "1"}
    return Encoding("h265", parameters={**parameters, "tx-mode": "SRST"})


def _av1(profile: str) -> Encoding:
    return Encoding("av1", parameters={"level-idx": "5", "profile": profile, "tier": "0"})


# What the client decodes, as far as WebRTC carries it.
_WATCHED: dict[Kind, tuple[Encoding, ...]] = {
    "video": (
        # Constrained baseline, main, high, and high 4:4:4, at the highest level.
        *(_h264(profile) for profile in ("42e0", "4d00", "6400", "f400")),
        _h265(1),
        _h265(2),
        Encoding("vp8"),
        *(Encoding("vp9", parameters={"profile-id": profile}) for profile in ("0", "2")),
        *(_av1(profile) for profile in ("0", "1")),
    ),
    "audio": (
        Encoding("opus", 48_000, 2, {"minptime": "10", "stereo": "1", "useinbandfec": "1"}),
        Encoding("pcmu", 8000),
        Encoding("pcma", 8000),
    ),
}

CARRIED: dict[Kind, tuple[str, ...]] = {
    kind: tuple(dict.fromkeys(each.name for each in encodings))
    for kind, encodings in _WATCHED.items()
}
"""The codecs that WebRTC carries, by the names of `media/codec.py`, the preferred first."""

# How peers write the profiles: many compare text, not what it means. The level follows.
_H264_PREFIXES = {
    "constrained baseline": "42e0",
    "baseline": "4200",
    "main": "4d00",
    "constrained high": "640c",
    "high": "6400",
}


@dataclass(frozen=True, slots=True)
class OfferedTrack:
    """One section of an offer of ours."""

    media: Media
    track: int | None = None
    """Of what we send, its index."""
    sending: Sending | None = None
    """On which SSRCs we send; None where we receive."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What is asked of a server."""

    text: str
    sections: tuple[OfferedTrack, ...]


@dataclass(frozen=True, slots=True)
class AgreedFormat:
    """A payload type that both know."""

    payload_type: int
    codec: Codec
    parameters: dict[str, str]
    """The answer's fmtp, names in lower case."""
    rtx_payload_type: int | None
    """Of repairs (RFC 4588); None where they come, or are sent, as the first packet was."""
    feedback: frozenset[str]
    """`nack`, `nack pli`, …: what may be asked for."""


@dataclass(frozen=True, slots=True)
class AgreedTrack:
    """A section that the server takes part in."""

    kind: Kind
    mid: str
    formats: tuple[AgreedFormat, ...]
    """The one that is meant first. A server may go over to any of them."""
    ssrc: int | None
    """Ours or, where we receive, the server's, if it says which."""
    rtx_ssrc: int | None
    extensions: dict[str, int]
    """The ids of the header extensions that both know, by URI: for `ExtensionMap`."""
    takes_reduced: bool
    """RTCP to the server needn't begin with a report (RFC 5506)."""
    track: int | None = None
    """Of what we send, its index."""

    @property
    def format(self) -> AgreedFormat:
        """The format that is meant first."""
        return self.formats[0]


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an offer and its answer come to."""

    tracks: tuple[AgreedTrack, ...]
    refused: tuple[Kind, ...]
    """The kinds of the sections that the server doesn't take part in."""
    answer: Description
    """Its `transport` says how the server is reached and who it is."""


def build_watching(kinds: Iterable[Kind], transport: Transport, session_id: int) -> Offer:
    """Ask for one track of each kind, in everything that we can decode."""
    sections: list[OfferedTrack] = []
    for kind in kinds:
        formats = _formats(_WATCHED[kind], _free_number(sections))
        media = _media(kind, str(len(sections)), formats, "recvonly", _READ_EXTENSIONS)
        sections.append(OfferedTrack(media))
    return _offer(sections, transport, session_id)


def build_publishing(
    tracks: Sequence[tuple[int, Track, int]], transport: Transport, session_id: int
) -> Offer:
    """Offer these tracks as they are; they come with their index and their SSRC.

    Raises `NothingFitsError` if there is one that WebRTC doesn't carry.
    """
    sections: list[OfferedTrack] = []
    for index, track, ssrc in tracks:
        encoding = published_as(track.codec)
        if encoding is None:
            raise NothingFitsError(not_carried(track.codec))
        formats = _formats([encoding, *_besides(encoding)], _free_number(sections))
        media = _media(track.kind, str(len(sections)), formats, "sendonly", _SENT_EXTENSIONS)
        rtx_ssrc = secrets.randbits(32) if track.kind == "video" else None
        sending = Sending(ssrc, _STREAM_ID, track.kind, _CNAME, rtx_ssrc)
        sections.append(OfferedTrack(media, index, sending))
    return _offer(sections, transport, session_id)


def not_carried(codec: Codec) -> str:
    """Why a track can't be published: a sentence."""
    kind = "picture" if codec.kind == "video" else "sound"
    return f"The {kind} is {codec_name(codec.name)}, which WebRTC doesn't carry."


def published_as(codec: Codec) -> Encoding | None:
    """How a track of ours is offered; None where WebRTC has no place for it."""
    if codec.name not in CARRIED[codec.kind]:
        return None
    if isinstance(codec, Opus):
        return Encoding("opus", 48_000, 2, {"minptime": "10", "sprop-stereo": "1"})
    try:
        encoding = encoding_of(codec)
    except ParseError:
        return Encoding(codec.name)
    if encoding.name in _STATIC and (encoding.clock_rate, encoding.channels) != (8000, 1):
        return None
    if encoding.name == "h264":
        own = encoding.parameters.get("profile-level-id", "42e01f")
        prefix = _H264_PREFIXES.get(h264_profile(own) or "", own[:4])
        return Encoding(
            "h264",
            parameters={
                "level-asymmetry-allowed": "1",
                "packetization-mode": "1",
                "profile-level-id": prefix + own[4:],
            },
        )
    return encoding


def _besides(encoding: Encoding) -> list[Encoding]:
    """What the same stream is offered as, too.

    Servers that know no more of H.264 than what every browser has to decode (RFC 7742, 6.2) pass
    other profiles on all the same, and browsers decode most of them.
    """
    level = encoding.parameters.get("profile-level-id", "")[4:]
    usual = f"{_H264_PREFIXES['constrained baseline']}{level}"
    if encoding.name != "h264" or encoding.parameters["profile-level-id"] == usual:
        return []
    return [replace(encoding, parameters={**encoding.parameters, "profile-level-id": usual})]


def _free_number(sections: Iterable[OfferedTrack]) -> int:
    """The first dynamic payload type that no section has: they share them (RFC 9143, 9.1)."""
    taken = [each.payload_type for section in sections for each in section.media.formats]
    return max([_FIRST_DYNAMIC - 1, *taken]) + 1


def _formats(encodings: Iterable[Encoding], number: int) -> list[Format]:
    """Give them payload types from `number` on, and pictures formats for their repair."""
    formats: list[Format] = []
    for each in encodings:
        name = each.name if each.name == "opus" else each.name.upper()
        fmtp = ";".join(f"{key}={value}" for key, value in each.parameters.items())
        if (static := _STATIC.get(each.name)) is not None:
            formats.append(Format(static, name, each.clock_rate))
            continue
        is_video = each.channels is None
        feedback = _VIDEO_FEEDBACK if is_video else ()
        formats.append(Format(number, name, each.clock_rate, each.channels, fmtp, feedback))
        if is_video:
            formats.append(Format(number + 1, "rtx", each.clock_rate, fmtp=f"apt={number}"))
        number += 2
    return formats


def _media(
    kind: Kind,
    mid: str,
    formats: list[Format],
    direction: sdp.Direction,
    extensions: Iterable[ExtensionUri],
) -> Media:
    return Media(
        kind,
        9,
        "UDP/TLS/RTP/SAVPF",
        " ".join(str(each.payload_type) for each in formats),
        mid,
        direction,
        formats,
        extensions=[Extension(_IDS[uri], uri) for uri in extensions],
    )


def _offer(sections: Sequence[OfferedTrack], transport: Transport, session_id: int) -> Offer:
    lines = [
        "v=0",
        f"o=- {session_id} 0 IN IP4 127.0.0.1",
        "s=-",
        "t=0 0",
        f"a=group:BUNDLE {' '.join(section.media.mid for section in sections)}",
        f"a=msid-semantic: WMS {_STREAM_ID}",
    ]
    for place, section in enumerate(sections):
        media, sending = section.media, section.sending
        lines += [
            f"m={media.kind} {media.port} {media.protocol} {media.format_names}",
            "c=IN IP4 0.0.0.0",
            f"a=mid:{media.mid}",
            *(f"a=extmap:{each.number} {each.uri}" for each in media.extensions),
            f"a={media.direction}",
        ]
        if sending:
            lines.append(f"a=msid:{sending.stream_id} {sending.track_id}")
        lines += ["a=rtcp-mux", "a=rtcp-rsize"]
        for each_format in media.formats:
            lines += format_lines(each_format)
        if sending:
            lines += source_lines(sending, repaired=sending.rtx_ssrc is not None)
        lines += transport_lines(transport, "actpass", first=place == 0)
    return Offer("\r\n".join(lines) + "\r\n", tuple(sections))


def read_answer(offer: Offer, text: str) -> Agreement:
    """What the server takes of an offer.

    Raises ParseError for an answer that doesn't fit it, or can't work, or takes nothing.
    """
    answer = sdp.parse(text)
    if len(answer.medias) != len(offer.sections):
        raise ParseError(
            f"The server's answer has {len(answer.medias)} m= lines to an offer of "
            f"{len(offer.sections)}."
        )
    tracks, refused = [], []
    for section, media in zip(offer.sections, answer.medias, strict=True):
        track = _read_section(section, media)
        if track:
            tracks.append(track)
        else:
            refused.append(_kind(section.media))
    if not tracks:
        raise ParseError(f"The server takes nothing of what it was offered: {_said(offer)}.")
    _check_transport(answer, {track.mid for track in tracks})
    return Agreement(tuple(tracks), tuple(refused), answer)


def _read_section(section: OfferedTrack, answered: Media) -> AgreedTrack | None:
    """What is agreed on in a section; None where the server takes no part in it."""
    offered, sending = section.media, section.sending
    kind = _kind(offered)
    if answered.kind != kind or (answered.mid or offered.mid) != offered.mid:
        raise ParseError(
            f"The server's answer has {answered.kind} {answered.mid!r} where {kind} "
            f"{offered.mid!r} was offered."
        )
    if answered.rejected or answered.direction == "inactive":
        return None
    if answered.direction == offered.direction:
        raise ParseError(f"The server answers the {kind} with a={answered.direction} as offered.")
    if not answered.rtcp_mux:
        raise ParseError(f"The server's answer lacks a=rtcp-mux for the {kind}.")
    formats = _agreed_formats(offered.formats, answered.formats)
    if not formats:
        names = ", ".join(dict.fromkeys(each.encoding for each in answered.formats)) or "none"
        raise ParseError(
            f"The server answers with formats of {kind} that weren't offered: {names}."
        )
    ssrc, rtx_ssrc = (sending.ssrc, sending.rtx_ssrc) if sending else _sources(answered)
    uris = {each.uri for each in offered.extensions}
    return AgreedTrack(
        kind,
        offered.mid,
        tuple(formats),
        ssrc,
        rtx_ssrc,
        {each.uri: each.number for each in answered.extensions if each.uri in uris},
        answered.rtcp_rsize,
        section.track,
    )


def _agreed_formats(offered: Sequence[Format], answered: Sequence[Format]) -> list[AgreedFormat]:
    known = {each.payload_type: each for each in offered}
    agreed = []
    for each in answered:
        ours = known.get(each.payload_type)
        if not ours or ours.encoding == "rtx" or _form(ours) != _form(each):
            continue
        rtx = next((r for r in answered if _repairs(r, each) and r.payload_type in known), None)
        agreed.append(
            AgreedFormat(
                each.payload_type,
                codec_of(each),
                each.parameters,
                rtx.payload_type if rtx else None,
                frozenset(each.feedback) & frozenset(ours.feedback),
            )
        )
    return agreed


def _form(described: Format) -> tuple[str, int, int]:
    return described.encoding.lower(), described.clock_rate, described.channels or 1


def _repairs(rtx: Format, repaired: Format) -> bool:
    return rtx.encoding.lower() == "rtx" and rtx.parameters.get("apt") == str(repaired.payload_type)


def _sources(media: Media) -> tuple[int | None, int | None]:
    """The server's SSRC and the one of its repairs, as far as it names them."""
    for name, numbers in media.source_groups:
        if name == "FID" and len(numbers) == 2:
            return numbers[0], numbers[1]
    return next(iter(media.sources), None), None


def _check_transport(answer: Description, mids: Set[str]) -> None:
    """Raise ParseError for what a transport that all tracks share cannot do without."""
    if len(mids) > 1 and not mids <= set(answer.bundle):
        raise ParseError("The server's answer has several m= lines, but not all in one BUNDLE.")
    transport = answer.transport
    if not transport.credentials:
        raise ParseError("The server's answer has no a=ice-ufrag and a=ice-pwd.")
    if not transport.fingerprints:
        raise ParseError("The server's answer has no a=fingerprint by sha-256, -384 or -512.")
    if transport.setup not in ("active", "passive"):
        raise ParseError("The server's answer says neither a=setup:active nor a=setup:passive.")


def _said(offer: Offer) -> str:
    names = (each.encoding for section in offer.sections for each in section.media.formats)
    return ", ".join(dict.fromkeys(name for name in names if name != "rtx"))


def _kind(media: Media) -> Kind:
    return "video" if media.kind == "video" else "audio"
