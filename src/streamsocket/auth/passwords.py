"""Passwords as they are kept: an argon2id hash, and for Digest what it needs instead.

Digest (RFC 7616) cannot be checked against a slow hash: the server has to know HA1, a fast hash of
name, realm and password. An HA1 that is stolen logs in by Digest, and a short password is soon
guessed from it. So it is kept only for users who are meant to log in by Digest.
"""

from __future__ import annotations

import hashlib
from functools import cache

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

REALM = "StreamSocket"
"""What users log in to. A part of every HA1, so it never changes."""

MAX_PASSWORD = 256
"""Characters. Longer ones are no passwords but an attempt to keep us busy."""

# 32 MB and about 50 ms on one core of 2026: RFC 9106, 4, asks for as much as one can afford.
_HASHER = PasswordHasher(time_cost=2, memory_cost=32 * 1024, parallelism=1)


def hash_password(password: str, hasher: PasswordHasher = _HASHER) -> str:
    """Return `$argon2id$…`, with a salt of its own. Takes 50 ms: never on the media thread."""
    return hasher.hash(_encoded(password))


def verify_password(password_hash: str | None, password: str) -> bool:
    """Whether it is the password. Takes 50 ms: never on the media thread.

    With None for a user who does not exist it takes as long, so that the time tells nothing.
    """
    if len(password) > MAX_PASSWORD:
        return False
    try:
        _HASHER.verify(password_hash or _nobodys_hash(), _encoded(password))
    except (VerificationError, InvalidHashError):
        return False
    return password_hash is not None


def digest_ha1(algorithm: str, user: str, password: str) -> str:
    """H(user:realm:password) in hex, for `MD5` or `SHA-256` (RFC 7616, 3.4.2)."""
    return digest_hash(algorithm, f"{user}:{REALM}:{password}")


def digest_hash(algorithm: str, text: str) -> str:
    """Digest's H, in hex. `algorithm` is `MD5` or `SHA-256`."""
    data = _encoded(text)
    if algorithm == "MD5":
        return hashlib.md5(data, usedforsecurity=False).hexdigest()  # what players know
    return hashlib.sha256(data).hexdigest()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # from outside, text may be anything


@cache
def _nobodys_hash() -> str:
    return _HASHER.hash("")
