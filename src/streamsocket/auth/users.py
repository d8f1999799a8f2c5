"""Users and what they are allowed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from streamsocket.names import matches

Action = Literal["publish", "watch"]

ANYBODY = "any"
"""The entry that says what is allowed without a name and a password."""

MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Permissions:
    """The streams that may be published and watched, as patterns: see `matches`."""

    publish: tuple[str, ...] = ()
    watch: tuple[str, ...] = ("*",)

    def allow(self, action: Action, stream: str) -> bool:
        """Whether this may be done with that stream."""
        patterns = self.publish if action == "publish" else self.watch
        return any(matches(pattern, stream) for pattern in patterns)


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password. No secret shows in its `repr`."""

    name: str
    password_hash: str | None = field(default=None, repr=False)
    """`$argon2id$…`; None for `any`, who has none."""
    ha1_md5: str | None = field(default=None, repr=False)
    """In hex; there only if the user may log in by Digest with MD5."""
    ha1_sha256: str | None = field(default=None, repr=False)
    permissions: Permissions = Permissions()

    def ha1(self, algorithm: str) -> str | None:
        """The HA1 for `MD5` or `SHA-256`, if there is one."""
        return {"MD5": self.ha1_md5, "SHA-256": self.ha1_sha256}.get(algorithm)


def bad_user_name_reason(name: str) -> str | None:
    """Why nobody can be called that, as one sentence; None for a name that is fine.

    Basic ends the name at the colon (RFC 7617, 2).
    """
    if name and len(name) <= MAX_NAME and name.isprintable() and not set(name) & set(':"\\'):
        return None
    return (
        f"'{harmless(name)}' cannot be a user's name: use 1 to {MAX_NAME} printable characters "
        'without : " and \\.'
    )


def unusable_user_reason(name: str, *, has_password: bool) -> str | None:
    """Why the settings cannot have such a user, as one sentence; None where they can."""
    if name == ANYBODY:
        if not has_password:
            return None
        return f"'{ANYBODY}' stands for everybody and has no password: choose another name."
    if reason := bad_user_name_reason(name):
        return reason
    if has_password:
        return None
    return f"the user '{name}' has no password: 'streamsocket auth hash {name}' makes one."


def harmless(text: str, longest: int = MAX_NAME) -> str:
    """Text from outside for a log or a terminal: printable, short, on one line."""
    shown = "".join(char if char.isprintable() else "?" for char in text[:longest])
    return shown + "…" if len(text) > longest else shown


def common_algorithms(users: Iterable[User]) -> tuple[str, ...]:
    """Digest's hashes to offer, best first: those that every one of the users can log in with.

    A challenge goes out before the user is known, and players take Digest wherever it is offered:
    to offer what only some can answer would lock the others out. For the same reason SHA-256 is
    never offered without MD5: FFmpeg would neither answer it nor fall back to Basic.
    """
    users = tuple(users)
    if not users or not all(user.ha1_md5 for user in users):
        return ()
    return ("SHA-256", "MD5") if all(user.ha1_sha256 for user in users) else ("MD5",)
