"""Offers and answers that prove to both sides that the other knows a secret, without telling it.

WebRTC encrypts what is sent, for whoever shows the certificate whose fingerprint stands in the
offer and in the answer (RFC 8827, 5.6.4). Over plain HTTP somebody on the way could put in a
fingerprint of their own. Two who share a secret seal both texts with it: what was changed is not
taken. Who only listens learns nothing that would open the media, not even with the secret.
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

HEADER = "StreamSocket-Seal"
"""The header of requests and of responses."""

# A tenth of a second for each guess of somebody who has recorded a seal.
_SCRYPT_COST, _SCRYPT_BLOCK, _SCRYPT_MEMORY = 1 << 15, 8, 64 << 20
_SALT = b"StreamSocket seal 1"


class Seal:
    """What one secret seals: texts together with what they are for."""

    def __init__(self, secret: str) -> None:
        self._key = _key(secret)

    def of_request(self, method: str, path: str, text: str = "") -> str:
        """The seal of a request of that method for that path, with its body."""
        return self._seal("request", method, path, text)

    def of_answer(self, path: str, offer: str, answer: str) -> str:
        """The seal of an answer to an offer that was made to that path."""
        return self._seal("answer", path, offer, answer)

    def _seal(self, *parts: str) -> str:
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            data = part.encode("utf-8", "surrogatepass")
            mac.update(len(data).to_bytes(8, "big") + data)
        return mac.hexdigest()


def is_same(seal: str, other: str | None) -> bool:
    """Whether two seals are the same, told in the same time wherever they differ."""
    return other is not None and hmac.compare_digest(seal.encode(), other.encode())


@lru_cache(maxsize=8)
def _key(secret: str) -> bytes:
    return hashlib.scrypt(
        secret.encode(),
        salt=_SALT,
        n=_SCRYPT_COST,
        r=_SCRYPT_BLOCK,
        p=1,
        maxmem=_SCRYPT_MEMORY,
        dklen=32,
    )
