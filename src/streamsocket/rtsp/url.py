"""RTSP URLs: the stream and the track that a request means, the server that a client wants."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from streamsocket.errors import ParseError

_DEFAULT_PORTS = {"rtsp": 554, "rtsps": 322}

INSECURE = "insecure"
"""A URL that ends with `#insecure` is one whose server's certificate is not checked."""

_REQUEST_URL = re.compile(r"rtsp[su]?://[^/?#]*([^#]*)", re.IGNORECASE)
# Players append the track to the URL as a whole, so that it comes after a query string; proxies
# and cameras' tools put it in front. It ends the path, or it ends the query.
_TRACK = re.compile(r"/trackID=([0-9]{1,3})/?(?=\?|$)", re.IGNORECASE)
_FORBIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\\]")


@dataclass(frozen=True, slots=True)
class StreamUrl:
    """What a request's URL asks for."""

    path: str
    """The stream's name, decoded: `live/lobby`. Empty for the server itself."""
    query: str = ""
    """What follows the question mark, as it was written."""
    track: int | None = None
    """The track's index where the URL is a single track's, None where it is the stream's."""


def parse_stream_url(url: str) -> StreamUrl:
    """Read a request's absolute URL.

    Raises ParseError for one that is none, and for names that could mean something to a file
    system or a terminal: `..`, empty parts, backslashes, control characters.
    """
    match = _REQUEST_URL.fullmatch(url)
    if not match:
        raise ParseError("The URL of the request is no rtsp:// URL.")
    rest, track = match[1], None
    if found := _TRACK.search(rest):
        track = int(found[1])
        rest = rest[: found.start()] + rest[found.end() :]
    raw_path, _, query = rest.partition("?")
    try:
        path = unquote(raw_path, errors="strict").removeprefix("/").removesuffix("/")
    except UnicodeDecodeError:
        raise ParseError("The URL's path is not UTF-8.") from None
    if path and (_FORBIDDEN.search(path) or {"", ".", ".."} & set(path.split("/"))):
        raise ParseError("The URL's path has parts that no stream's name may have.")
    return StreamUrl(path, query.removesuffix("/"), track)


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """A URL as a client's user gives it, taken apart."""

    url: str
    """The URL without user and password: what goes over the wire and into messages."""
    host: str
    port: int
    path: str
    """The stream's name as a person would read it."""
    user: str | None = None
    password: str = ""
    tls: bool = False
    """The whole conversation is encrypted, packets included: `rtsps://`."""
    verify: bool = True
    """Whether the server has to show a certificate that is trusted."""

    @property
    def scheme(self) -> str:
        """`rtsp` or `rtsps`."""
        return "rtsps" if self.tls else "rtsp"

    def __repr__(self) -> str:
        """Without the password."""
        return f"ServerUrl({self.url!r})"


def parse_server_url(url: str) -> ServerUrl:
    """Take an rtsp:// or rtsps:// URL apart. Raises ParseError with a sentence for the user."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ParseError("The URL is not of the form rtsp://host:port/name.") from None
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ParseError(f"{parts.scheme or 'No scheme'!r} is not rtsp://: check the URL.")
    if not host or port == 0 or _FORBIDDEN.search(url) or " " in url:
        raise ParseError("The URL is not of the form rtsp://host:port/name.")
    return ServerUrl(
        url=_without_credentials(parts._replace(fragment="")),
        host=host,
        port=port or _DEFAULT_PORTS[scheme],
        path=unquote(parts.path).strip("/"),
        user=unquote(parts.username) if parts.username is not None else None,
        password=unquote(parts.password or ""),
        tls=scheme == "rtsps",
        verify=parts.fragment.lower() != INSECURE,
    )


def without_credentials(url: str) -> str:
    """The URL without user and password; a URL that cannot be parsed is returned as it is."""
    try:
        return _without_credentials(urlsplit(url))
    except ValueError:
        return url


def _without_credentials(parts: SplitResult) -> str:
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
