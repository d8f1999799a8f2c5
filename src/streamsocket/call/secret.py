"""The secret that one of the two tells the other."""

from __future__ import annotations

import secrets

# Without what is easily taken for something else when read out: 0 and O, 1 and I and L, U and V.
_LETTERS = "23456789ABCDEFGHJKMNPQRSTWXYZ"
_GROUPS, _GROUP_LENGTH = 2, 4
SHORTEST = 6


def make_secret() -> str:
    """A new one, `7K3M-9QPX`: 39 bits, and wrong ones are slowed down."""
    return "-".join(
        "".join(secrets.choice(_LETTERS) for _ in range(_GROUP_LENGTH)) for _ in range(_GROUPS)
    )


def password(secret: str) -> str:
    """What both log in with: how the secret was typed does not matter."""
    return "".join(character for character in secret.upper() if character.isalnum())
