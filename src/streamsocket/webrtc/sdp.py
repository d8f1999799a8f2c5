"""Session descriptions of WebRTC (RFC 8866, as RFC 8829 uses it): what peers offer and answer.

Read generously: what is unknown or broken in a line is passed over, unless nothing works without
it. `sdp_answer` writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from streamsocket.errors import ParseError
from streamsocket.sdp_lines import Line, split_sections
from streamsocket.webrtc.candidate import Candidate
from streamsocket.webrtc.certificate import Fingerprint
from streamsocket.webrtc.ice import Credentials

MAX_BYTES = 128 * 1024
MAX_MEDIAS = 32
MAX_CANDIDATES = 64
"""Of one m= section: the rest is passed over."""
MAX_FORMATS = 128
_MAX_FINGERPRINTS = 8
_MAX_SOURCES = 256
_MAX_EXTENSIONS = 64

Direction = Literal["sendrecv", "sendonly", "recvonly", "inactive"]
_DIRECTIONS: dict[str, Direction] = {
    "sendrecv": "sendrecv",
    "sendonly": "sendonly",
    "recvonly": "recvonly",
    "inactive": "inactive",
}

_MEDIA = re.compile(r"([a-z]+) +([0-9]{1,5})(?:/[0-9]+)? +([A-Za-z0-9/]{1,64})((?: +[!-~]+)*) *")
_RTPMAP = re.compile(r"([0-9]{1,3}) +([!-.0-~]{1,64})/([0-9]{1,9})(?:/([0-9]{1,3}))? *")
_NUMBERED = re.compile(r"([0-9]{1,3}|\*) +(.+)")
_EXTMAP = re.compile(r"([0-9]{1,3})(?:/([a-z]+))? +([!-~]{1,255})(?: .*)?")
_SSRC = re.compile(r"([0-9]{1,10})(?: +([a-z-]+)(?::(.*))?)?")
# What JSEP takes for RTP, whether it is encrypted by its name or not (RFC 9429, 5.1.2).
_RTP = re.compile(r"((UDP/TLS|TCP/TLS|TCP/DTLS)/)?RTP/S?AVPF?", re.IGNORECASE)
_RID = re.compile(r"([A-Za-z0-9_-]{1,255}) +(send|recv)(?: .*)?")
_TOKEN = re.compile(r"[!-~]{1,255}")

# Payload types that mean something without an a=rtpmap (RFC 3551, 6), as far as WebRTC has them.
_STATIC_PAYLOAD_TYPES = {0: ("PCMU", 8000), 8: ("PCMA", 8000), 9: ("G722", 8000)}


@dataclass(frozen=True, slots=True)
class Format:
    """One payload type."""

    payload_type: int
    encoding: str
    """As it was written: `H264`, `VP8`, `opus`, `rtx`, …"""
    clock_rate: int
    channels: int | None = None
    fmtp: str = ""
    """The whole of its parameters, as written."""
    feedback: tuple[str, ...] = ()
    """`nack`, `nack pli`, `goog-remb`, …"""

    @property
    def parameters(self) -> dict[str, str]:
        """The fmtp's parameters, names in lower case."""
        pairs = (part.partition("=") for part in self.fmtp.split(";"))
        return {name.strip().lower(): value.strip() for name, _, value in pairs if name.strip()}


@dataclass(frozen=True, slots=True)
class Extension:
    """A header extension on offer."""

    number: int
    """1 to 14, or to 255 with two-byte headers."""
    uri: str
    direction: str | None = None


@dataclass(slots=True)
class Media:
    """One m= section."""

    kind: str
    """`audio`, `video`, `application`."""
    port: int
    protocol: str
    format_names: str
    """The m= line's formats, as written."""
    mid: str = ""
    """How other places name the section; empty where nothing names it."""
    direction: Direction = "sendrecv"
    formats: list[Format] = field(default_factory=list)
    """In the order of preference."""
    rtcp_mux: bool = False
    rtcp_rsize: bool = False
    """Whether RTCP may come without a report in front (RFC 5506)."""
    bundle_only: bool = False
    extensions: list[Extension] = field(default_factory=list)
    credentials: Credentials | None = None
    ice_options: frozenset[str] = frozenset()
    fingerprints: list[Fingerprint] = field(default_factory=list)
    """Those we accept; one of them has to be the certificate's (RFC 8122, 5)."""
    setup: str | None = None
    candidates: list[Candidate] = field(default_factory=list)
    end_of_candidates: bool = False
    msid: tuple[str, str] | None = None
    """Stream and track: media of one stream is played in sync (RFC 8830)."""
    sources: dict[int, str] = field(default_factory=dict)
    """Which SSRCs there are, and the canonical name of each."""
    source_groups: list[tuple[str, tuple[int, ...]]] = field(default_factory=list)
    """`FID`: a source and the one that repairs it; `SIM`: encodings of one picture."""
    rids: list[tuple[str, str]] = field(default_factory=list)
    """Restriction identifiers with `send` or `recv` (RFC 8851)."""
    simulcast: str | None = None
    """The attribute's value (RFC 8853)."""

    @property
    def rejected(self) -> bool:
        """Whether the section is switched off (RFC 8829, 5.2.1)."""
        return self.port == 0 and not self.bundle_only

    @property
    def is_rtp(self) -> bool:
        """Whether it is sound or picture by RTP, not a data channel."""
        return self.kind in ("audio", "video") and bool(_RTP.fullmatch(self.protocol))

    def repairs(self, ssrc: int) -> int | None:
        """The SSRC on which what is lost of `ssrc` comes again (RFC 4588, 8.4), if it is known."""
        groups = (numbers for name, numbers in self.source_groups if name == "FID")
        return next((numbers[1] for numbers in groups if numbers[:1] == (ssrc,)), None)


@dataclass(slots=True)
class Description:
    """An offer or an answer. What the session says of all media stands in each of them."""

    medias: list[Media]
    bundle: list[str]
    """The mids that share one transport; the first one's section describes it."""
    session_id: str = ""
    ice_lite: bool = False

    @property
    def transport(self) -> Media:
        """The section that describes the transport they all share."""
        bundled = [media for media in self.medias if self.bundled(media)]
        if self.bundle:
            bundled.sort(key=lambda media: self.bundle.index(media.mid))
        described = [media for media in bundled if media.credentials]
        return [*described, *bundled, *self.medias][0]

    def bundled(self, media: Media) -> bool:
        """Whether a section takes part in the transport and isn't switched off."""
        if media.rejected:
            return False
        if self.bundle:
            return media.mid in self.bundle
        return media is next(each for each in self.medias if not each.rejected)


def parse(text: str) -> Description:
    """Read a description. Raises ParseError where it is none."""
    if len(text) > MAX_BYTES:
        raise ParseError(f"A session description of {len(text)} characters is too long.")
    session, *sections = stripped_sections(text)
    if not sections:
        raise ParseError("The session description has no m= line: offer audio or video.")
    if len(sections) > MAX_MEDIAS:
        raise ParseError(f"{len(sections)} m= lines are more than the {MAX_MEDIAS} that are taken.")
    medias = [_parse_media(lines, session) for lines in sections]
    bundle: list[str] = []
    session_id, ice_lite = "", False
    for key, value in session:
        if key == "o" and len(fields := value.split()) > 1:
            session_id = fields[1]
        elif key == "a" and value == "ice-lite":
            ice_lite = True
        elif key == "a" and value.startswith("group:BUNDLE") and not bundle:
            bundle = value.split()[1:]
    return Description(medias, bundle, session_id, ice_lite)


def parse_offer(text: str) -> Description:
    """Read an offer that we can answer. Raises ParseError with what it lacks."""
    offer = parse(text)
    check(offer)
    if offer.transport.setup == "holdconn":
        raise ParseError("The offer's a=setup:holdconn allows no DTLS: use a=setup:actpass.")
    if offer.ice_lite:
        raise ParseError("The offer says a=ice-lite, and so does the server: one has to be full.")
    return offer


def check(description: Description) -> None:
    """Raise ParseError for what a transport that is shared by all media cannot do without."""
    active = [media for media in description.medias if not media.rejected]
    if not active:
        raise ParseError("Every m= line of the offer has port 0: nothing is offered.")
    if len(active) > 1 and not description.bundle:
        raise ParseError(
            "The offer has several m= lines without a=group:BUNDLE, but the server has one port "
            "for all: offer them bundled."
        )
    mids = [media.mid for media in description.medias if media.mid]
    if len(set(mids)) != len(mids):
        raise ParseError("Two m= sections of the offer have the same a=mid.")
    bundled = [media for media in active if description.bundled(media)]
    if not bundled:
        raise ParseError("a=group:BUNDLE of the offer names no a=mid that there is.")
    for media in bundled:
        if media.is_rtp and not media.rtcp_mux:
            raise ParseError(
                f"The {media.kind} section {media.mid} lacks a=rtcp-mux, but the server has one "
                "port for RTP and RTCP: offer it with rtcp-mux."
            )
    transport = description.transport
    if not transport.credentials:
        raise ParseError("The offer has no a=ice-ufrag and a=ice-pwd: only ICE peers are served.")
    if not transport.fingerprints:
        raise ParseError(
            "The offer has no a=fingerprint by sha-256, sha-384 or sha-512: media is only sent "
            "encrypted, to who can be told by it."
        )


def stripped_sections(text: str) -> list[list[Line]]:
    """As `sdp_lines.split_sections`, without spaces around the values."""
    return [[(key, value.strip()) for key, value in section] for section in split_sections(text)]


class Attributes:
    """The a= lines of a section, by name."""

    def __init__(self, lines: Iterable[Line]) -> None:
        self._values: dict[str, list[str]] = {}
        for key, value in lines:
            if key == "a":
                name, _, content = value.partition(":")
                self._values.setdefault(name, []).append(content.strip())

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def first(self, name: str) -> str | None:
        """The value of the first such line; None where there is none."""
        return next(iter(self._values.get(name, ())), None)

    def all(self, name: str, limit: int) -> list[str]:
        """The values of the first `limit` such lines."""
        return self._values.get(name, [])[:limit]

    def numbered(self, name: str) -> dict[str, list[str]]:
        """The values that begin with a payload type or *, by that."""
        found: dict[str, list[str]] = {}
        for value in self._values.get(name, []):
            if match := _NUMBERED.fullmatch(value):
                found.setdefault(match[1], []).append(match[2])
        return found


def parse_credentials(attributes: Attributes) -> Credentials | None:
    """What `a=ice-ufrag` and `a=ice-pwd` say; None where there are none. Raises ParseError."""
    ufrag, password = attributes.first("ice-ufrag"), attributes.first("ice-pwd")
    return None if ufrag is None or password is None else Credentials(ufrag, password)


def parse_candidates(attributes: Attributes) -> list[Candidate]:
    """The candidates that can be read."""
    found = []
    for value in attributes.all("candidate", MAX_CANDIDATES):
        try:
            found.append(Candidate.parse(value))
        except ParseError:
            continue  # nobody is called by them: peers come to us
    return found


def parse_media_line(value: str) -> Media:
    """Read what stands after `m=`. Raises ParseError."""
    match = _MEDIA.fullmatch(value)
    if not match or int(match[2]) > 0xFFFF:
        raise ParseError(f"m={value[:200]} is no media line (RFC 8866, 5.14).")
    return Media(match[1], int(match[2]), match[3], match[4].strip())


def _parse_media(lines: list[Line], session_lines: list[Line]) -> Media:
    media = parse_media_line(lines[0][1])
    own, session = Attributes(lines), Attributes(session_lines)
    media.mid = own.first("mid") or ""
    if media.mid and not _TOKEN.fullmatch(media.mid):
        raise ParseError(f"a=mid:{media.mid[:40]} is no name for a section (RFC 5888, 4).")
    media.direction = _direction(own) or _direction(session) or "sendrecv"
    media.rtcp_mux = "rtcp-mux" in own
    media.rtcp_rsize = "rtcp-rsize" in own
    media.bundle_only = "bundle-only" in own
    media.credentials = parse_credentials(own) or parse_credentials(session)
    options = own.first("ice-options") or session.first("ice-options") or ""
    media.ice_options = frozenset(re.split("[ ,]+", options)) - {""}
    media.fingerprints = _fingerprints(own) or _fingerprints(session)
    media.setup = own.first("setup") or session.first("setup")
    media.candidates = parse_candidates(own)
    media.end_of_candidates = "end-of-candidates" in own or "end-of-candidates" in session
    media.extensions = _extensions(own, session)
    if msid := (own.first("msid") or "").split():
        media.msid = msid[0], msid[1] if len(msid) > 1 else ""
    media.simulcast = own.first("simulcast")
    for value in own.all("rid", _MAX_SOURCES):
        if rid := _RID.fullmatch(value):
            media.rids.append((rid[1], rid[2]))
    if media.is_rtp:
        media.formats = _formats(media.format_names, own)
        _read_sources(media, own)
    return media


def _direction(attributes: Attributes) -> Direction | None:
    return next((each for name, each in _DIRECTIONS.items() if name in attributes), None)


def _fingerprints(attributes: Attributes) -> list[Fingerprint]:
    found = []
    for value in attributes.all("fingerprint", _MAX_FINGERPRINTS):
        try:
            found.append(Fingerprint.parse(value))
        except ParseError:
            continue  # of a hash function that is too new or too old: the others count
    return found


def _extensions(own: Attributes, session: Attributes) -> list[Extension]:
    found: dict[int, Extension] = {}
    for attributes in (own, session):
        for value in attributes.all("extmap", _MAX_EXTENSIONS):
            match = _EXTMAP.fullmatch(value)
            if match and 1 <= int(match[1]) <= 255:
                found.setdefault(int(match[1]), Extension(int(match[1]), match[3], match[2]))
    return list(found.values())


def _formats(names: str, attributes: Attributes) -> list[Format]:
    rtpmaps: dict[int, tuple[str, int, int | None]] = {
        number: (*form, None) for number, form in _STATIC_PAYLOAD_TYPES.items()
    }
    for value in attributes.all("rtpmap", MAX_FORMATS):
        if match := _RTPMAP.fullmatch(value):
            channels = int(match[4]) if match[4] else None
            rtpmaps[int(match[1])] = match[2], int(match[3]), channels
    fmtp, feedback = attributes.numbered("fmtp"), attributes.numbered("rtcp-fb")
    for_all = feedback.get("*", [])
    formats = []
    for name in dict.fromkeys(names.split()[:MAX_FORMATS]):
        number = int(name) if re.fullmatch("[0-9]{1,3}", name) else -1
        if 0 <= number <= 127 and number in rtpmaps:
            words = dict.fromkeys(" ".join(v.split()) for v in feedback.get(name, []) + for_all)
            parameters = ";".join(fmtp.get(name, []))
            formats.append(Format(number, *rtpmaps[number], parameters, tuple(words)))
    return formats


def _read_sources(media: Media, attributes: Attributes) -> None:
    for value in attributes.all("ssrc", 4 * _MAX_SOURCES):
        match = _SSRC.fullmatch(value)
        if not match or int(match[1]) >> 32 or len(media.sources) >= _MAX_SOURCES:
            continue
        name = (match[3] or "") if match[2] == "cname" else ""
        media.sources[int(match[1])] = media.sources.get(int(match[1])) or name
        if match[2] == "msid" and not media.msid and (msid := (match[3] or "").split()):
            media.msid = msid[0], msid[1] if len(msid) > 1 else ""
    for value in attributes.all("ssrc-group", _MAX_SOURCES):
        kind, _, rest = value.partition(" ")
        numbers = rest.split()
        if numbers and all(re.fullmatch("[0-9]{1,10}", number) for number in numbers):
            media.source_groups.append((kind, tuple(int(number) for number in numbers)))
