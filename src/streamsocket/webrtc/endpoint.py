"""URLs where WebRTC is asked for over HTTP: WHEP to watch, WHIP to publish."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from streamsocket.errors import ParseError
from streamsocket.webrtc.seal import Seal

_DEFAULT_PORTS = {"http": 80, "https": 443}
_FORM = "http://HOST/NAME/whep or, to publish, …/whip"

INSECURE = "insecure"
"""A URL that ends with `#insecure` is one whose server's certificate is not checked."""

SEALED = "sealed"
"""A URL that ends with `#sealed` is one whose password is not sent, but seals what is sent."""

_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\x9f\\]")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A URL as a user gives it, taken apart."""

    url: str
    """Without user, password and fragment: what is asked for, and what messages tell."""
    scheme: str
    """`http` or `https`."""
    host: str
    port: int
    path: str
    """Decoded, without slashes at its ends."""
    authorization: str | None = field(default=None, repr=False)
    """The header of that name."""
    verify: bool = True
    """Whether the server has to show a certificate that is trusted."""
    seal: Seal | None = field(default=None, repr=False)
    """What requests are sealed with, and the answer has to be."""

    @property
    def name(self) -> str:
        """The stream's name as a person would read it."""
        return re.sub(r"(^|/)(whep|whip)$", "", self.path)

    @property
    def address(self) -> str:
        """`host:port`, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def origin(self) -> tuple[str, str, int]:
        """What was given for one origin is for no other (RFC 6454)."""
        return self.scheme, self.host, self.port


def is_http(url: str) -> bool:
    """Whether a URL is HTTP's, not RTSP's."""
    return bool(re.match(r"https?:", url, re.IGNORECASE))


def is_whep(url: str) -> bool:
    """Whether a URL is one to watch at, by its end."""
    return is_http(url) and _path_of(url).endswith("/whep")


def is_whip(url: str) -> bool:
    """Whether a URL is one to publish at, by its end."""
    return is_http(url) and _path_of(url).endswith("/whip")


def _path_of(url: str) -> str:
    return url.partition("#")[0].partition("?")[0].rstrip("/")


def parse_endpoint(url: str) -> Endpoint:
    """Take an http:// or https:// URL apart.

    `USER:PASSWORD@` becomes Basic authorization (RFC 7617), `TOKEN@` Bearer (RFC 6750). Raises
    ParseError with a sentence for the user, which tells nothing of the URL.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ParseError(f"The URL is not of the form {_FORM}.") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS or not host or port == 0 or _FORBIDDEN.search(url):
        raise ParseError(f"The URL is not of the form {_FORM}.")
    fragment = parts.fragment.lower()
    shown = parts._replace(scheme=scheme, netloc=parts.netloc.rpartition("@")[2], fragment="")
    return Endpoint(
        shown.geturl(),
        scheme,
        host,
        port or _DEFAULT_PORTS[scheme],
        unquote(parts.path).strip("/"),
        None if fragment == SEALED else _authorization(parts.username, parts.password),
        fragment != INSECURE,
        Seal(unquote(parts.password or "")) if fragment == SEALED else None,
    )


def _authorization(user: str | None, password: str | None) -> str | None:
    if user is None:
        return None
    if password is None:
        return f"Bearer {unquote(user)}"
    login = f"{unquote(user)}:{unquote(password)}".encode()
    return f"Basic {base64.b64encode(login).decode()}"
