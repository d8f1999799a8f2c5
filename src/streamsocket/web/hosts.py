"""By which names browsers may use this server: what a page elsewhere cannot make up.

A page of a stranger's site may let its own name resolve to 127.0.0.1 once it is loaded (DNS
rebinding). To the browser it is then of the same origin as this server, and to this server it is
on this machine, which is trusted. What the stranger cannot help is that the browser tells the name
in `Host`.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections import Counter
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streamsocket.auth.slowing import is_loopback

_HOST = re.compile(r"(?:\[(?P<address>[^\[\]]*)\]|(?P<name>[^\s:/@?#\[\]]+))(?::[0-9]*)?")
_LONGEST_TOLD = 100


def machine_names() -> list[str]:
    """What the system calls this machine. DNS may take long, and may be somebody else's."""
    name = socket.gethostname()
    return [name, f"{name.partition('.')[0]}.local"] if name else []


class KnownHosts:
    """The names by which this server is known.

    IP addresses, `localhost` and this machine's own names always are: nobody else's pages have
    them. Without `allowed`, whoever comes from another machine may use any name, for there an
    address is worth nothing; whoever comes from this one, a reverse proxy too, may use no other.
    With `allowed`, nobody may.
    """

    def __init__(self, allowed: Iterable[str] = (), own: Iterable[str] = ()) -> None:
        """`allowed`: names such as `tv.example.org`, `*.example.org`; `*` is any.

        `own` are this machine's names.
        """
        self._allowed = frozenset(map(_canonical, allowed))
        self._own = frozenset(map(_canonical, own))

    def allow(self, header: str | None, peer: str) -> bool:
        """Whether a request may say `header` in `Host` if it comes from the address `peer`."""
        if header is None or "*" in self._allowed:
            return True  # no browser is without it
        if not self._allowed and not is_loopback(peer):
            return True
        host = _host_of(header)
        if _is_ip_address(host) or host in self._own or host in self._allowed:
            return True
        if host == "localhost" or host.endswith(".localhost"):
            return True
        _, _, parents = host.partition(".")
        while parents:
            if f"*.{parents}" in self._allowed:
                return True
            _, _, parents = parents.partition(".")
        return False


class HostCheck:
    """Middleware that answers 421 (RFC 9110, 15.5.20) to who uses another's name."""

    def __init__(self, app: ASGIApp, hosts: KnownHosts, refused: Counter[str]) -> None:
        """`refused` counts it as `foreign_host`."""
        self._app = app
        self._hosts = hosts
        self._refused = refused

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            header = Headers(scope=scope).get("host")
            peer = scope["client"][0] if scope.get("client") else ""
            if not self._hosts.allow(header, peer):
                self._refused["foreign_host"] += 1
                told = (header or "")[:_LONGEST_TOLD]
                answer = PlainTextResponse(
                    f"This server is not known by the name in 'Host: {told}'. If it should be, put "
                    "the name into allowed_hosts under [http] in streamsocket.toml.\n",
                    421,
                )
                await answer(scope, receive, send)
                return
        await self._app(scope, receive, send)


def _host_of(header: str) -> str:
    """The name or address in `Host`, without the port; empty where there is none."""
    match = _HOST.fullmatch(header)
    return _canonical(match["address"] or match["name"]) if match else ""


def _canonical(name: str) -> str:
    return name.lower().removesuffix(".")


def _is_ip_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
