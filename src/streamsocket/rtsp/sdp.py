"""Session descriptions: what a stream is made of and how each track is asked for.

SDP is RFC 8866 (before: 4566); RFC 2326, appendix C says how RTSP uses it. Cameras break nearly
every rule of it, so the parser takes what it can and says of each media what it could not.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from streamsocket.errors import ParseError
from streamsocket.media.codec import Codec, Kind, Track
from streamsocket.rtp.payload import FIRST_PAYLOAD_TYPE, codec_from_sdp, sdp_attributes
from streamsocket.sdp_lines import Line, split_sections

MAX_MEDIAS = 32

_RTPMAP = re.compile(r"\s*([0-9]{1,3})\s+([^/\s]+)(?:/([0-9]{1,9}))?(?:/([0-9]{1,3}))?")
_FMTP = re.compile(r"\s*([0-9]{1,3})\s+(.*)")
_FEEDBACK = re.compile(r"([0-9]{1,3}|\*)\s+(.{1,60})")
_FRAME_RATE = re.compile(r"\s*([0-9]{1,6}(?:\.[0-9]{1,9})?)")
_ABSOLUTE_URL = re.compile(r"rtsp[su]?://", re.IGNORECASE)

# Payload types that mean something without an a=rtpmap (RFC 3551, 6).
_STATIC_PAYLOAD_TYPES: dict[int, tuple[str, int, int | None]] = {
    0: ("PCMU", 8000, 1),
    3: ("GSM", 8000, 1),
    4: ("G723", 8000, 1),
    8: ("PCMA", 8000, 1),
    9: ("G722", 8000, 1),
    10: ("L16", 44100, 2),
    11: ("L16", 44100, 1),
    14: ("MPA", 90000, None),
    18: ("G729", 8000, 1),
    26: ("JPEG", 90000, None),
    32: ("MPV", 90000, None),
    33: ("MP2T", 90000, None),
    34: ("H263", 90000, None),
}


@dataclass(slots=True)
class Media:
    """One m= section."""

    kind: str
    """What the m= line says: `video`, `audio`, `application`, …"""
    payload_type: int = -1
    """The RTP payload type that the fields below describe; -1 where the section names none."""
    codec: Codec | None = None
    unsupported: str | None = None
    """Why there is no `codec`: a sentence."""
    control: str | None = None
    """The a=control value as it stands; see `resolve_control`."""
    encoding: str = ""
    clock_rate: int = 0
    channels: int | None = None
    fmtp: dict[str, str] = field(default_factory=dict)
    """The format's parameters, names in lower case."""
    direction: str = "sendrecv"
    """`sendonly` is what a camera calls the way back, for the viewer's own voice."""
    frame_rate: Fraction | None = None
    profile: str = "AVP"
    """RTP's profile in capitals: AVPF where feedback comes at once (RFC 4585), or another."""
    feedback: frozenset[str] = frozenset()
    """What the peer answers of RFC 4585's feedback: `nack`, `nack pli`, …"""


@dataclass(slots=True)
class SessionDescription:
    """What a server says of a stream."""

    name: str = ""
    control: str | None = None
    medias: list[Media] = field(default_factory=list)


def track_control(index: int) -> str:
    """The a=control value of a stream's track, as `build` writes it."""
    return f"trackID={index}"


def build(
    tracks: Sequence[Track],
    *,
    name: str,
    host: str,
    control: str = "*",
    profile: str = "AVP",
    indices: Sequence[int] | None = None,
) -> str:
    """Describe a live stream: one m= section a track, payload types from 96 on.

    `host` is the server's own address, `name` what players show as the title. What is missing may
    be asked for whatever the `profile` is; most players only do so by AVPF (RFC 4585, 4.1).
    `indices` are the tracks' in the stream, where they aren't all of it.
    """
    lines = [
        "v=0",
        f"o=- 0 0 IN {'IP6' if ':' in host else 'IP4'} {host}",
        f"s={name or '-'}",
        f"c=IN {'IP6 ::' if ':' in host else 'IP4 0.0.0.0'}",
        "t=0 0",
        f"a=control:{control}",
        "a=range:npt=now-",
    ]
    for index, track in zip(indices or range(len(tracks)), tracks, strict=True):
        payload_type = FIRST_PAYLOAD_TYPE + index
        rtpmap, fmtp = sdp_attributes(track.codec, payload_type)
        lines.append(f"m={track.kind} 0 RTP/{profile} {payload_type}")
        lines.append(f"a=rtpmap:{rtpmap}")
        lines.append(f"a=rtcp-fb:{payload_type} nack")
        if track.kind == "video":
            lines.append(f"a=rtcp-fb:{payload_type} nack pli")
        if fmtp:
            lines.append(f"a=fmtp:{fmtp}")
        if track.frame_rate:
            # Six places keep 30000/1001 apart from 29.97.
            rate = f"{float(track.frame_rate):.6f}".rstrip("0").rstrip(".")
            lines.append(f"a=framerate:{rate}")
        lines.append(f"a=control:{track_control(index)}")
    return "\r\n".join(lines) + "\r\n"


def parse(text: str) -> SessionDescription:
    """Read a description. Raises ParseError where there is no media in it, or far too many."""
    session_lines, *sections = split_sections(text)
    if not sections:
        raise ParseError("The description has no media in it: no line begins with m=.")
    if len(sections) > MAX_MEDIAS:
        raise ParseError(f"The description has more than {MAX_MEDIAS} media in it.")
    session = _Attributes(session_lines)
    return SessionDescription(
        name=next((value for key, value in session_lines if key == "s"), "").strip(),
        control=session.control,
        medias=[_parse_media(section, session.direction) for section in sections],
    )


def choose(medias: Iterable[Media]) -> tuple[list[tuple[Media, Codec]], list[Media]]:
    """The first picture and the first sound whose codecs are known; and all that is left."""
    chosen: dict[Kind, tuple[Media, Codec]] = {}
    left = []
    # To a camera, what is marked sendonly is the viewer's own voice: it comes last.
    for media in sorted(medias, key=lambda media: media.direction == "sendonly"):
        if media.codec is None or media.codec.kind in chosen:
            left.append(media)
        else:
            chosen[media.codec.kind] = media, media.codec
    return list(chosen.values()), left


def resolve_control(base_url: str, control: str | None) -> str:
    """The URL that an a=control value stands for (RFC 2326, C.1.1).

    A relative one is appended to the base, query string and all, as FFmpeg, live555 and GStreamer
    do, rather than resolved by RFC 3986: servers expect what players send.
    """
    control = (control or "*").strip()
    if control in ("", "*"):
        return base_url
    if _ABSOLUTE_URL.match(control):
        return control
    return f"{base_url.rstrip('/')}/{control.lstrip('/')}"


class _Attributes:
    """The a= lines of one section that matter here; where one comes twice, the first counts."""

    def __init__(self, lines: list[Line]) -> None:
        self.control: str | None = None
        self.direction: str | None = None
        self.frame_rate: Fraction | None = None
        self.formats: dict[int, tuple[str, int, int | None]] = {}
        self.fmtp: dict[int, dict[str, str]] = {}
        self.feedback: dict[int | None, set[str]] = {}
        """By payload type; under None what is meant for all (RFC 4585, 4.2)."""
        for key, line in lines:
            if key == "a":
                name, _, value = line.partition(":")
                self._read(name.strip().lower(), value)

    def _read(self, name: str, value: str) -> None:
        if name == "control" and self.control is None:
            self.control = value.strip()
        elif name in ("sendrecv", "sendonly", "recvonly", "inactive") and self.direction is None:
            self.direction = name
        elif name == "framerate" and (match := _FRAME_RATE.match(value)):
            self.frame_rate = Fraction(match[1]).limit_denominator(1001) or None
        elif name == "rtpmap" and (match := _RTPMAP.match(value)):
            channels = int(match[4]) if match[4] else None
            form = match[2], int(match[3] or 0), channels
            self.formats.setdefault(int(match[1]), form)
        elif name == "rtcp-fb" and (match := _FEEDBACK.fullmatch(value.strip())):
            payload_type = None if match[1] == "*" else int(match[1])
            self.feedback.setdefault(payload_type, set()).add(" ".join(match[2].lower().split()))
        elif name == "fmtp" and (match := _FMTP.match(value)):
            parameters = self.fmtp.setdefault(int(match[1]), {})
            for parameter in match[2].split(";"):
                key, _, parameter_value = parameter.partition("=")
                if key.strip():
                    parameters.setdefault(key.strip().lower(), parameter_value.strip())


def _parse_media(lines: list[Line], session_direction: str | None) -> Media:
    attributes = _Attributes(lines)
    kind, *fields = lines[0][1].split() or ["unknown"]
    payload_types = [int(each) for each in fields[2:] if re.fullmatch("[0-9]{1,3}", each)]
    media = Media(
        kind=kind.lower(),
        control=attributes.control,
        direction=attributes.direction or session_direction or "sendrecv",
        frame_rate=attributes.frame_rate,
        profile=fields[1].upper().removeprefix("RTP/") if len(fields) > 1 else "AVP",
    )
    if not payload_types:
        media.unsupported = "Its m= line names no RTP payload type."
        return media
    # Where several formats are on offer, the first that can be played; else the first is named.
    for payload_type in [*dict.fromkeys(payload_types), payload_types[0]]:
        _describe_format(media, payload_type, attributes)
        if media.codec:
            break
    return media


def _describe_format(media: Media, payload_type: int, attributes: _Attributes) -> None:
    unknown = ("", 0, None)
    form = attributes.formats.get(payload_type) or _STATIC_PAYLOAD_TYPES.get(payload_type, unknown)
    media.payload_type = payload_type
    media.encoding, media.clock_rate, media.channels = form
    media.fmtp = attributes.fmtp.get(payload_type, {})
    feedback = attributes.feedback
    media.feedback = frozenset(feedback.get(payload_type, set()) | feedback.get(None, set()))
    media.codec = media.unsupported = None
    if not media.encoding:
        media.unsupported = f"Nothing says what payload type {payload_type} is (no a=rtpmap)."
    elif not media.clock_rate:
        media.unsupported = f"{media.encoding} is described without its clock rate."
    else:
        try:
            codec = codec_from_sdp(media.encoding, media.clock_rate, media.channels, media.fmtp)
        except ParseError as error:
            media.unsupported = str(error)
            return
        if codec.kind == media.kind:
            media.codec = codec
        else:
            media.unsupported = f"{media.encoding} is announced as {media.kind[:20]}."
