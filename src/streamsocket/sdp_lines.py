"""SDP as lines (RFC 8866, 5), before any protocol makes sense of them."""

from __future__ import annotations

import re

Line = tuple[str, str]
"""Type and value: `("a", "recvonly")`."""


def split_sections(text: str) -> list[list[Line]]:
    """The session's lines first, then a list for each m= line; what is no line is left out."""
    sections: list[list[Line]] = [[]]
    for line in re.split(r"[\r\n]+", text):
        key, equals, value = line.strip().partition("=")
        if not equals:
            continue
        if key == "m":
            sections.append([])
        sections[-1].append((key, value))
    return sections
