"""The values of RTSP headers that have a grammar of their own (RFC 2326, 12).

Each is parsed as generously as real peers need; `ParseError` is for what could be misunderstood.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streamsocket.errors import ParseError

DEFAULT_SESSION_TIMEOUT_S = 60

KEEP_TIMESTAMPS = "X-StreamSocket-Timestamps"
"""Ours alone: with the value `kept`, PLAY sends the current group of pictures as it was."""

# What lies between separators that are not quoted; a quote without its end reaches to the end.
_BETWEEN_COMMAS = re.compile(r'(?:[^,"]|"[^"]*(?:"|$))+')
_BETWEEN_SEMICOLONS = re.compile(r'(?:[^;"]|"[^"]*(?:"|$))+')
_PAIR = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_HEX32 = re.compile(r"(?:0x)?([0-9a-f]{1,8})", re.IGNORECASE)
_HOST = re.compile(r"[0-9A-Za-z.:%_\[\]-]+")
_NPT_SECONDS = re.compile(r"([0-9]{1,12})(\.[0-9]*)?")
_NPT_CLOCK = re.compile(r"([0-9]{1,8}):([0-5]?[0-9]):([0-5]?[0-9](?:\.[0-9]*)?)")
_MODE = re.compile(r"[A-Z]+(?:,[A-Z]+)*")
_RTP_INFO_FIELD = re.compile(r";\s*(seq|rtptime)\s*=\s*([0-9]{1,10})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class TransportSpec:
    """One alternative of a Transport header (RFC 2326, 12.39)."""

    protocol: Literal["udp", "tcp"]
    profile: str = "AVP"
    """RTP's profile in capitals: AVP, AVPF, SAVP or SAVPF."""
    multicast: bool = False
    """Multicast was asked for by name. The RFC makes it the default; no real peer means that."""
    client_ports: tuple[int, int] | None = None
    """The client's UDP ports of RTP and RTCP."""
    server_ports: tuple[int, int] | None = None
    """The server's UDP ports of RTP and RTCP."""
    interleaved: tuple[int, int] | None = None
    """The channels of RTP and RTCP in the RTSP connection."""
    destination: str | None = None
    source: str | None = None
    ssrc: int | None = None
    mode: str | None = None
    """PLAY or RECORD, in capitals."""
    ports: tuple[int, int] | None = None
    """The UDP ports of RTP and RTCP in a multicast group, whose address is the destination."""
    ttl: int | None = None
    """How many networks multicast packets may pass through."""

    def serialise(self) -> str:
        """The value as it is sent."""
        # UDP is not named: it is the profile's default, and old peers know no other form.
        parts = [f"RTP/{self.profile}{'/TCP' if self.protocol == 'tcp' else ''}"]
        parts.append("multicast" if self.multicast else "unicast")
        for name, value in (("destination", self.destination), ("source", self.source)):
            if value is not None:
                parts.append(f"{name}={value}")
        for name, pair in (
            ("interleaved", self.interleaved),
            ("client_port", self.client_ports),
            ("server_port", self.server_ports),
            ("port", self.ports),
        ):
            if pair is not None:
                parts.append(f"{name}={pair[0]}-{pair[1]}")
        if self.ttl is not None:
            parts.append(f"ttl={self.ttl}")
        if self.ssrc is not None:
            parts.append(f"ssrc={self.ssrc:08X}")
        if self.mode is not None:
            # As FFmpeg writes it, and as its own server alone reads it: without the quotes.
            parts.append(f'mode="{self.mode}"' if "," in self.mode else f"mode={self.mode.lower()}")
        return ";".join(parts)


@dataclass(frozen=True, slots=True)
class Session:
    """A Session header (RFC 2326, 12.37)."""

    id: str
    timeout_s: int = DEFAULT_SESSION_TIMEOUT_S

    def serialise(self) -> str:
        """The value as a server sends it."""
        return f"{self.id};timeout={self.timeout_s}"


@dataclass(frozen=True, slots=True)
class Range:
    """A Range header (RFC 2326, 12.29). Times are read for `npt` only."""

    unit: str
    """`npt`, `clock` or `smpte`."""
    start: float | None = None
    """Seconds from the beginning; None is now, or open."""
    end: float | None = None
    """Seconds from the beginning; None is open."""


@dataclass(frozen=True, slots=True)
class RtpInfo:
    """Where one track's RTP begins (RFC 2326, 12.33). Real servers leave anything out."""

    url: str
    sequence: int | None = None
    rtp_timestamp: int | None = None

    def serialise(self) -> str:
        """The entry as it is sent."""
        fields = [f"url={self.url}"]
        if self.sequence is not None:
            fields.append(f"seq={self.sequence}")
        if self.rtp_timestamp is not None:
            fields.append(f"rtptime={self.rtp_timestamp}")
        return ";".join(fields)


def parse_transport(value: str) -> list[TransportSpec]:
    """The alternatives in the order of preference.

    Those over anything but RTP are left out, so the list may be empty. Raises ParseError for
    ports or channels that are none.
    """
    specs = map(_parse_transport_spec, _BETWEEN_COMMAS.findall(value))
    return [spec for spec in specs if spec is not None]


def _parse_transport_spec(text: str) -> TransportSpec | None:
    name, *parameters = (part.strip() for part in _BETWEEN_SEMICOLONS.findall(text) or [""])
    transport, _, rest = name.upper().partition("/")
    profile, _, lower = rest.partition("/")
    if transport != "RTP" or profile not in ("AVP", "AVPF", "SAVP", "SAVPF"):
        return None
    if lower not in ("", "UDP", "TCP"):
        return None
    values: dict[str, str] = {}
    for parameter in parameters:
        key, _, parameter_value = parameter.partition("=")
        values.setdefault(key.strip().lower(), parameter_value.replace('"', "").strip())
    ssrc = _HEX32.fullmatch(values.get("ssrc", ""))
    ttl = re.fullmatch(r"[0-9]{1,3}", values.get("ttl", ""))
    return TransportSpec(
        protocol="tcp" if lower == "TCP" else "udp",
        profile=profile,
        multicast="multicast" in values,
        client_ports=_parse_pair(values, "client_port", 65_535),
        server_ports=_parse_pair(values, "server_port", 65_535),
        interleaved=_parse_pair(values, "interleaved", 255),
        destination=_parse_host(values, "destination"),
        source=_parse_host(values, "source"),
        ssrc=int(ssrc[1], 16) if ssrc else None,  # cameras write all sorts of things here
        mode=_parse_mode(values.get("mode", "")),
        ports=_parse_pair(values, "port", 65_535),
        ttl=int(ttl[0]) if ttl and int(ttl[0]) <= 255 else None,
    )


def _parse_host(values: dict[str, str], key: str) -> str | None:
    value = values.get(key, "")
    return value if _HOST.fullmatch(value) else None


def _parse_mode(value: str) -> str | None:
    """Methods in capitals; None for what is no method, which is as good as nothing."""
    mode = value.replace(" ", "").upper()
    return mode if _MODE.fullmatch(mode) else None


def _parse_pair(values: dict[str, str], key: str, highest: int) -> tuple[int, int] | None:
    """Two ports or channels; one alone has the next for its RTCP."""
    if key not in values:
        return None
    match = _PAIR.fullmatch(values[key].replace(" ", ""))
    if match:
        first = int(match[1])
        second = int(match[2]) if match[2] else first + 1
        if first <= highest and second <= highest:
            return first, second
    raise ParseError(f"{key}={values[key][:40]} in the Transport header is no pair of numbers.")


def parse_session(value: str) -> Session:
    """A Session header's id and timeout in seconds; 60 where it gives none (RFC 2326, 12.37)."""
    session_id, *parameters = (part.strip() for part in value.split(";"))
    if not session_id:
        raise ParseError("The Session header has no session id.")
    for parameter in parameters:
        match = re.fullmatch(r"timeout\s*=\s*([0-9]{1,9})", parameter, re.IGNORECASE)
        if match and int(match[1]) > 0:
            return Session(session_id, int(match[1]))
    return Session(session_id)


def parse_range(value: str) -> Range:
    """A Range header. Raises ParseError for an unknown unit or impossible times."""
    text, _, _ = value.partition(";")  # ";time=", when to begin: nobody sends it
    unit, equals, span = (part.strip() for part in text.partition("="))
    unit = unit.lower()
    if unit.startswith("smpte"):  # smpte-30-drop and the like
        unit = "smpte"
    start_text, dash, end_text = (part.strip() for part in span.partition("-"))
    if not equals or unit not in ("npt", "clock", "smpte") or not (start_text or end_text):
        raise ParseError(f"Range {value[:60]!r} is none that RTSP knows.")
    if unit != "npt":
        return Range(unit)
    start, end = _parse_npt(start_text), _parse_npt(end_text)
    if not dash or (start is not None and end is not None and end < start):
        raise ParseError(f"Range {value[:60]!r} does not lead from a beginning to an end.")
    return Range("npt", start, end)


def _parse_npt(text: str) -> float | None:
    """Normal play time in seconds (RFC 2326, 3.6); None for "now" and for nothing."""
    if text.lower() in ("", "now"):
        return None
    if _NPT_SECONDS.fullmatch(text):
        return float(text)
    if clock := _NPT_CLOCK.fullmatch(text):
        return int(clock[1]) * 3600 + int(clock[2]) * 60 + float(clock[3])
    raise ParseError(f"{text[:40]!r} is no time in a range.")


def parse_rtp_info(value: str) -> list[RtpInfo]:
    """The entries of an RTP-Info header; what cannot be read of an entry is None."""
    return [_parse_rtp_info_entry(entry) for entry in re.split(r",\s*(?=url\s*=)", value)]


def _parse_rtp_info_entry(entry: str) -> RtpInfo:
    numbers = {match[1].lower(): int(match[2]) for match in _RTP_INFO_FIELD.finditer(";" + entry)}
    sequence, rtp_timestamp = numbers.get("seq"), numbers.get("rtptime")
    # A URL may have semicolons of its own: it ends where a known field begins.
    url = re.match(r"\s*url\s*=\s*\"?(.*?)\"?\s*(?:;\s*(?:seq|rtptime)\s*=|;?$)", entry)
    return RtpInfo(
        url[1] if url else "",
        sequence if sequence is not None and sequence < 1 << 16 else None,
        rtp_timestamp if rtp_timestamp is not None and rtp_timestamp < 1 << 32 else None,
    )


def build_rtp_info(entries: Iterable[RtpInfo]) -> str:
    """The value of an RTP-Info header."""
    return ",".join(entry.serialise() for entry in entries)
