"""How a client proves who it is: Basic (RFC 7617) and Digest (RFC 7616, and 2069's old form)."""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

# A parameter, its value quoted or bare; else a word, which is the scheme of the next challenge.
_PART = re.compile(
    r'([\w-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]*))|([\w-]+)', re.ASCII | re.DOTALL
)
_HASHES: dict[str, Callable[[bytes], hashlib._Hash]] = {
    "MD5": lambda data: hashlib.md5(data, usedforsecurity=False),  # what cameras know
    "SHA-256": hashlib.sha256,
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """One way to authenticate that the server offers."""

    scheme: str
    """In lower case."""
    parameters: dict[str, str] = field(default_factory=dict)
    """Names in lower case."""

    @property
    def algorithm(self) -> str:
        """Digest's hash function."""
        return self.parameters.get("algorithm", "MD5").upper()

    @property
    def strength(self) -> int:
        """How good it is compared with others; 0 if we cannot answer it."""
        if self.scheme == "basic":
            return 1
        qop = self.parameters.get("qop")
        can_answer = (
            self.scheme == "digest"
            and self.algorithm in _HASHES
            and "nonce" in self.parameters
            and (qop is None or "auth" in _words(qop))
        )
        return (3 if self.algorithm == "SHA-256" else 2) if can_answer else 0


def parse_challenges(values: Iterable[str]) -> list[Challenge]:
    """What the WWW-Authenticate headers of a response offer, one or several in each."""
    challenges: list[Challenge] = []
    for value in values:
        for name, quoted, bare, scheme in _PART.findall(value):
            if scheme:
                challenges.append(Challenge(scheme.lower()))
            elif challenges:
                text = re.sub(r"\\(.)", r"\1", quoted) or bare
                challenges[-1].parameters.setdefault(name.lower(), text)
    return challenges


class Credentials:
    """A user and a password, and how the server wants to be given them.

    Nothing is given before it has asked; neither is ever shown.
    """

    def __init__(self, user: str, password: str) -> None:
        self._user = user
        self._password = password
        self._challenge: Challenge | None = None
        self._nonce_count = 0

    def __repr__(self) -> str:
        return "Credentials(…)"

    def accept(self, challenges: Iterable[Challenge]) -> bool:
        """Take the best challenge; False if none can be answered."""
        best = max(challenges, key=lambda challenge: challenge.strength, default=None)
        if best is None or not best.strength:
            return False
        self._challenge = best
        self._nonce_count = 0
        return True

    def authorization(self, method: str, url: str) -> str | None:
        """The Authorization header of a request, None as long as nothing was asked for."""
        if self._challenge is None:
            return None
        if self._challenge.scheme == "basic":
            pair = f"{self._user}:{self._password}".encode()
            return "Basic " + base64.b64encode(pair).decode()
        return self._digest(self._challenge, method, url)

    def _digest(self, challenge: Challenge, method: str, url: str) -> str:
        def hashed(text: str) -> str:
            return _HASHES[challenge.algorithm](text.encode()).hexdigest()

        given = challenge.parameters
        realm, nonce = given.get("realm", ""), given["nonce"]
        who = hashed(f"{self._user}:{realm}:{self._password}")
        what = hashed(f"{method}:{url}")
        fields = {"username": self._user, "realm": realm, "nonce": nonce, "uri": url}
        bare = {"algorithm": given["algorithm"]} if "algorithm" in given else {}
        if "qop" in given:
            self._nonce_count += 1
            count, cnonce = f"{self._nonce_count:08x}", secrets.token_hex(8)
            fields["response"] = hashed(f"{who}:{nonce}:{count}:{cnonce}:auth:{what}")
            fields["cnonce"] = cnonce
            bare |= {"qop": "auth", "nc": count}
        else:
            fields["response"] = hashed(f"{who}:{nonce}:{what}")
        if "opaque" in given:
            fields["opaque"] = given["opaque"]
        parts = [f'{name}="{_quoted(value)}"' for name, value in fields.items()]
        return "Digest " + ", ".join(parts + [f"{name}={value}" for name, value in bare.items()])


def _words(text: str) -> list[str]:
    return [word.strip().lower() for word in text.split(",")]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
