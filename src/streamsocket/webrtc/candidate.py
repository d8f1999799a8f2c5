"""ICE candidates as SDP carries them (RFC 8839, 5.1; for TCP RFC 6544, 4.5), and our own."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass

from streamsocket.errors import ParseError

RTP_COMPONENT = 1
"""The only component where RTP and RTCP share a port."""

# How much a type of candidate is preferred (RFC 8445, 5.1.2.2). Over TCP one lost packet holds up
# all that follow, so it comes after every way over UDP, relayed ones (0) apart.
_UDP_HOST = 126
_TCP_HOST = 90
# A passive host candidate's direction preference (RFC 6544, 4.2), above 13 bits for the address.
_TCP_PASSIVE = 4 << 13

_MAX_LENGTH = 1000
_VALUE = re.compile(
    r"(?:candidate:)?([!-~]{1,64}) +([0-9]{1,3}) +([!-~]{1,16}) +([0-9]{1,10}) +"
    r"([!-~]{1,255}) +([0-9]{1,5}) +typ +([a-z]{1,16})((?: +[!-~]+ +[!-~]+)*) *",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Where an agent may be reached."""

    foundation: str
    component: int
    transport: str
    """`udp` or `tcp`; others may be offered."""
    priority: int
    host: str
    """An IP address, or a name: browsers hide theirs behind `….local`."""
    port: int
    type: str = "host"
    tcp_type: str | None = None
    """`active`, `passive` or `so`."""
    related: tuple[str, int] | None = None
    """Of one that others have told us of: where it leads to (`raddr`, `rport`)."""

    @classmethod
    def parse(cls, value: str) -> Candidate:
        """Read the attribute's value, with or without `candidate:` before it. Raises ParseError."""
        match = _VALUE.fullmatch(value.strip()) if len(value) <= _MAX_LENGTH else None
        if not match:
            raise ParseError(f"{value[:200]!r} is no ICE candidate (RFC 8839, 5.1).")
        foundation, component, transport, priority, host, port, kind, rest = match.groups()
        words = rest.split()
        more = dict(zip(words[::2], words[1::2], strict=True))
        if int(port) > 0xFFFF or int(priority) >= 1 << 32:
            raise ParseError(f"The ICE candidate {value[:200]!r} has an impossible number.")
        return cls(
            foundation,
            int(component),
            transport.lower(),
            int(priority),
            host,
            int(port),
            kind.lower(),
            more.get("tcptype"),
            _related(more.get("raddr"), more.get("rport")),
        )

    def __str__(self) -> str:
        """The attribute's value."""
        related = f" raddr {self.related[0]} rport {self.related[1]}" if self.related else ""
        tcp_type = f" tcptype {self.tcp_type}" if self.tcp_type else ""
        return (
            f"candidate:{self.foundation} {self.component} {self.transport} {self.priority} "
            f"{self.host} {self.port} typ {self.type}{related}{tcp_type}"
        )


def _related(host: str | None, port: str | None) -> tuple[str, int] | None:
    if host is None or port is None or not re.fullmatch("[0-9]{1,5}", port):
        return None
    return host, int(port)


def host_candidates(
    udp: Iterable[tuple[str, int]] = (), tcp: Iterable[tuple[str, int]] = ()
) -> list[Candidate]:
    """Our own candidates: addresses and ports where we listen, the preferred first.

    Every way over UDP is preferred to any over TCP. Raises ValueError for what is no IP address.
    """
    found: list[Candidate] = []
    for transport, addresses in (("udp", udp), ("tcp", tcp)):
        for place, (host, port) in enumerate(addresses):
            found.append(_host_candidate(str(len(found) + 1), transport, place, host, port))
    return found


def _host_candidate(foundation: str, transport: str, place: int, host: str, port: int) -> Candidate:
    ipaddress.ip_address(host)
    if transport == "udp":
        type_preference, local_preference, tcp_type = _UDP_HOST, 0xFFFF - place, None
    else:
        type_preference, tcp_type = _TCP_HOST, "passive"
        local_preference = _TCP_PASSIVE | (0x1FFF - place)
    priority = type_preference << 24 | local_preference << 8 | (256 - RTP_COMPONENT)
    return Candidate(foundation, RTP_COMPONENT, transport, priority, host, port, tcp_type=tcp_type)
