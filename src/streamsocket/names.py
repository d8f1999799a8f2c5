"""What a stream may be called, and patterns of such names."""

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


def matches(pattern: str, stream: str) -> bool:
    """Whether the pattern means that stream. `*` stands for any characters, slashes too.

    `*` is every stream, `live/*` all that begin with `live/`, `lobby` that one alone. All other
    characters mean themselves, upper and lower case differ.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return stream == pattern
    *middle, last = rest
    if len(stream) < len(first) + len(last):
        return False
    if not stream.startswith(first) or not stream.endswith(last):
        return False
    position, end = len(first), len(stream) - len(last)
    for part in middle:
        found = stream.find(part, position, end)
        if found < 0:
            return False
        position = found + len(part)
    return True
