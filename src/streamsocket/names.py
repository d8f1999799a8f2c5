"""What a stream may be called."""

from __future__ import annotations

import re

MAX_NAME = 200

# No part of it is "." or "..", which mean something else in URLs.
_NAME = re.compile(r"(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*")


def is_stream_name(name: str) -> bool:
    """Whether a stream can have that name: `lobby`, `live/lobby`."""
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def bad_name_reason(name: str) -> str:
    """The sentence for a name that is none."""
    shown = "".join(char if char.isprintable() else "?" for char in name[:60])
    return (
        f"'{shown}' cannot be a stream's name: use letters, digits and . _ ~ - /, "
        f"at most {MAX_NAME}."
    )
