"""HTTP's `Authorization` header: who somebody says to be."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

CHALLENGE = 'Bearer realm="StreamSocket"'
"""For `WWW-Authenticate`. Not Basic, for which browsers would ask in a window of their own."""

_MAX_LENGTH = 4096


class Credentials(NamedTuple):
    """A name and a password that are yet to be checked."""

    user: str | None = None
    password: str | None = None


NOBODY = Credentials()


def credentials_of(header: str | None) -> Credentials:
    """Read `Basic` (RFC 7617), or `Bearer` (RFC 6750) with the same `USER:PASSWORD` for a token.

    Of the token either form is understood, encoded in Base64 or as it is: what WHIP's publishers
    have is one field for it. Anything else is nobody.
    """
    scheme, _, token = (header or "").strip().partition(" ")
    token = token.strip()
    if scheme.lower() not in ("basic", "bearer") or len(token) > _MAX_LENGTH:
        return NOBODY
    if ":" not in token:
        try:
            token = base64.b64decode(token + "=" * (-len(token) % 4), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError, ValueError):
            return NOBODY
    user, colon, password = token.partition(":")
    return Credentials(user, password) if colon and user else NOBODY
