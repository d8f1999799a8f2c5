"""The server's side of Basic and Digest: an Authorization header and a request's URL."""

from __future__ import annotations

import base64

from streamsocket.auth.passwords import digest_ha1
from streamsocket.auth.users import User
from streamsocket.errors import ParseError
from streamsocket.rtsp.authentication import Credentials, parse_challenges
from streamsocket.rtsp.server_authentication import DigestVerified, ServerAuthentication

_BOB = User("bob", None, digest_ha1("MD5", "bob", "x"), digest_ha1("SHA-256", "bob", "x"))
_URL = "rtsp://192.0.2.1:8554/live/lobby"
_SEPARATOR = "\n"


def _answer(take: int) -> bytes:
    credentials = Credentials("bob", "x")
    authentication = ServerAuthentication({"bob": _BOB}.get, ("SHA-256", "MD5"))
    assert credentials.accept(parse_challenges([authentication.challenges(0.0)[take]]))
    return f"{_URL}{_SEPARATOR}{credentials.authorization('DESCRIBE', _URL)}".encode()


SEEDS = [
    _answer(0),
    _answer(1),
    f"{_URL}{_SEPARATOR}Basic {base64.b64encode(b'bob:x').decode()}".encode(),
    b'/x\nDigest username="bob", realm="StreamSocket", nonce="n", uri="/x", response="00"',
]


def fuzz_one(data: bytes) -> None:
    """Only who knows the password, and the nonce of this connection, is verified."""
    url, _, header = data.decode("utf-8", "replace").partition(_SEPARATOR)
    authentication = ServerAuthentication({"bob": _BOB}.get, ("SHA-256", "MD5"))
    authentication.challenges(0.0)
    try:
        result = authentication.check("DESCRIBE", url, header, 1.0)
    except ParseError:
        return
    assert not isinstance(result, DigestVerified)
