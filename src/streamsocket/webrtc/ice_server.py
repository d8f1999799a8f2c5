"""STUN and TURN servers: who tells a client how it is seen from outside, or relays for it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal

from streamsocket.errors import ParseError

MAX_TEXT = 1000
_USAGE = "write stun:HOST:PORT or turn:USER:PASSWORD@HOST:PORT"
_DEFAULT_PORTS = {"stun": 3478, "turn": 3478, "turns": 5349}
# RFC 7064, 3.1 and RFC 7065, 3.1; user and password before the host are our own.
_SERVER = re.compile(
    r"(stun|turn|turns):(?:([^:@\s]*):([^\s]*)@)?(\[[0-9A-Fa-f:.]+\]|[^]\[:/?#@\s]+)(?::(\d{1,5}))?"
    r"(?:\?transport=(udp|tcp))?",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class IceServer:
    """One server; a client uses the first of each kind."""

    kind: Literal["stun", "turn"]
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    transport: Literal["udp", "tcp"] = "udp"
    """How a TURN server is spoken with."""
    tls: bool = False
    """`turns:`: over TLS, on TCP."""

    @classmethod
    def parse(cls, text: str, user: str = "", password: str = "") -> IceServer:
        """Read `stun:HOST[:PORT]`, `turn:USER:PASSWORD@HOST[:PORT]`, `turns:…`.

        `user` and `password` are those that are told apart from it, as in a `Link` header. A TURN
        server may end with `?transport=tcp`. Raises ParseError, which never tells the password.
        """
        match = _SERVER.fullmatch(text.strip()) if len(text) <= MAX_TEXT else None
        if not match:
            shown = re.sub(r":.*@", ":…@", text[:200])
            raise ParseError(f"{shown!r} is no STUN or TURN server: {_USAGE}.")
        scheme, host = match[1].lower(), match[4].strip("[]")
        port = int(match[5] or _DEFAULT_PORTS[scheme])
        if not 0 < port < 1 << 16:
            raise ParseError(f"The STUN or TURN server {host} cannot have port {port}: {_USAGE}.")
        if scheme == "stun":
            return cls("stun", host, port)
        user, password = match[2] or user, match[3] or password
        if not user:
            raise ParseError(f"The TURN server {host} lacks a user and a password: {_USAGE}.")
        tls = scheme == "turns"
        transport: Literal["udp", "tcp"] = "tcp" if tls or match[6] == "tcp" else "udp"
        return cls("turn", host, port, user, password, transport, tls)


def parse_ice_servers(text: str) -> tuple[IceServer, ...]:
    """Read several, with commas or spaces between them. Raises ParseError."""
    return tuple(IceServer.parse(each) for each in re.split(r"[,\s]+", text) if each)
