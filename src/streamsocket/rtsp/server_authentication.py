"""How the server asks who somebody is, and checks the answer: Digest (RFC 7616), Basic (RFC 7617).

One `ServerAuthentication` a connection: the nonce it hands out is good on this connection alone,
so that what is overheard is of no use on another.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from streamsocket.auth.passwords import REALM, digest_hash
from streamsocket.auth.users import User
from streamsocket.errors import ParseError
from streamsocket.rtsp.authentication import parse_challenges
from streamsocket.rtsp.url import parse_stream_url

# A person may have to type a password between challenge and answer.
NONCE_LIFETIME_S = 300.0

_MAX_LENGTH = 4096
_DIGEST_LENGTHS = {"MD5": 32, "SHA-256": 64}


@dataclass(frozen=True, slots=True)
class NoCredentials:
    """Nothing was said, or in a scheme that is not ours: challenge."""


@dataclass(frozen=True, slots=True)
class BasicCredentials:
    """A name and a password that nobody has checked yet."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class DigestVerified:
    """It is that user."""

    user: User


@dataclass(frozen=True, slots=True)
class DigestFailed:
    """Whoever it is, it is not that user, or there is none of that name: refuse, slowly."""

    user: str


@dataclass(frozen=True, slots=True)
class Stale:
    """It is the user, but the nonce is too old or used up: challenge with `stale=True`."""

    user: str


Result = NoCredentials | BasicCredentials | DigestVerified | DigestFailed | Stale


class ServerAuthentication:
    """The rules of one connection.

    `find` gives the user of a name; `algorithms` are Digest's hashes to offer, of `SHA-256` and
    `MD5`. `now` is any clock in seconds that only goes forward, the same at every call.
    """

    def __init__(self, find: Callable[[str], User | None], algorithms: Sequence[str]) -> None:
        self._find = find
        self._algorithms = algorithms
        self._nonce = ""
        self._nonce_until = 0.0
        self._nonce_count = 0
        self._last_response = ""

    def challenges(self, now: float, *, stale: bool = False) -> list[str]:
        """The values of the WWW-Authenticate headers of a 401 response, one header each.

        The order, SHA-256, MD5, Basic, is one that all players get along with. FFmpeg takes the
        last Digest there is, live555 too, and others the first without looking at its algorithm:
        all of them answer with MD5, and as realm and nonce are the same, that is right either way.
        live555 reads realm, nonce and stale in that order only, the last without quotes.
        """
        if now >= self._nonce_until:
            self._nonce = secrets.token_hex(16)
            self._nonce_until = now + NONCE_LIFETIME_S
            self._nonce_count = 0
            self._last_response = ""
        common = f'Digest realm="{REALM}", nonce="{self._nonce}"' + (", stale=true" * stale)
        # MD5 in its oldest form, without algorithm and qop: those who know more know SHA-256.
        forms = {"SHA-256": f'{common}, algorithm=SHA-256, qop="auth"', "MD5": common}
        return [forms[each] for each in self._algorithms] + [
            f'Basic realm="{REALM}", charset="UTF-8"'
        ]

    def check(self, method: str, url: str, authorization: str | None, now: float) -> Result:
        """What the Authorization header of a request proves.

        Raises `ParseError` for one that cannot be understood.
        """
        if authorization is None:
            return NoCredentials()
        if len(authorization) > _MAX_LENGTH:
            raise ParseError(f"The Authorization header is longer than {_MAX_LENGTH} characters.")
        scheme, _, rest = authorization.strip().partition(" ")
        if scheme.lower() == "basic":
            return _parse_basic(rest)
        if scheme.lower() == "digest":
            challenges = parse_challenges([authorization])  # the same grammar
            given = challenges[0].parameters if challenges else {}
            return self._check_digest(method, url, given, now)
        return NoCredentials()

    def _check_digest(self, method: str, url: str, given: dict[str, str], now: float) -> Result:
        name = _required(given, "username")
        nonce, uri = _required(given, "nonce"), _required(given, "uri")
        response = _required(given, "response").lower()
        algorithm = given.get("algorithm", "MD5").upper()
        qop = given.get("qop")
        if qop is not None and qop.lower() != "auth":
            raise ParseError(f"qop={qop[:20]} in the Authorization header was not offered.")
        if algorithm not in _DIGEST_LENGTHS:
            raise ParseError(f"algorithm={algorithm[:20]} was not offered.")
        user = self._find(name)
        ha1 = user and user.ha1(algorithm)
        if user is None or ha1 is None or given.get("realm") != REALM or not _same(uri, url):
            return DigestFailed(name)
        if qop is None:
            middle, count = nonce, None
        else:
            count_text = _required(given, "nc")
            if not re.fullmatch(r"[0-9a-fA-F]{1,8}", count_text):
                raise ParseError("nc in the Authorization header is no number in hexadecimal.")
            count = int(count_text, 16)
            middle = f"{nonce}:{count_text}:{_required(given, 'cnonce')}:{qop}"
        expected = digest_hash(
            algorithm, f"{ha1}:{middle}:{digest_hash(algorithm, f'{method}:{uri}')}"
        )
        if not hmac.compare_digest(expected.encode(), response.encode("utf-8", "replace")):
            return DigestFailed(name)
        if nonce != self._nonce or now >= self._nonce_until:
            return Stale(name)
        return DigestVerified(user) if self._is_new(count, response) else Stale(name)

    def _is_new(self, count: int | None, response: str) -> bool:
        """Whether the answer was not given before, as far as its nonce count tells.

        Loosely: some count every request as the first. The old form without qop has no count.
        """
        if count is None:
            return True
        if count < self._nonce_count or response == self._last_response:
            return False
        self._nonce_count = count
        self._last_response = response
        return True


def _parse_basic(text: str) -> BasicCredentials:
    try:
        pair = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raise ParseError("The Authorization header's Basic credentials are not Base64.") from None
    user, colon, password = _decoded(pair).partition(":")
    if not colon:
        raise ParseError("The Authorization header has no colon between user and password.")
    return BasicCredentials(user, password)


def _decoded(data: bytes) -> str:
    """UTF-8, as we ask for; Latin-1 from old clients that don't know it."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _required(given: dict[str, str], name: str) -> str:
    try:
        return given[name]
    except KeyError:
        raise ParseError(f"The Authorization header's Digest has no {name}.") from None


def _same(uri: str, url: str) -> bool:
    """Whether the URI that was hashed is of the same stream as the request's URL.

    They need not be the same text: players hash the stream's URL in the requests for its tracks,
    or the path alone.
    """
    return uri == url or ((path := _path(uri)) is not None and path == _path(url))


def _path(uri: str) -> str | None:
    try:
        return parse_stream_url("rtsp://host" + uri if uri.startswith("/") else uri).path
    except ParseError:
        return None
