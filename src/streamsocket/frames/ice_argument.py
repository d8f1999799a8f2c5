"""`ice_servers=`, of Subscribers and Publishers."""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.errors import ArgumentError, ParseError
from streamsocket.webrtc.ice_server import IceServer


def checked_ice_servers(texts: Sequence[str]) -> tuple[IceServer, ...]:
    """The servers that were given. Raises ArgumentError."""
    try:
        return tuple(IceServer.parse(text) for text in texts)
    except ParseError as error:
        raise ArgumentError(f"ice_servers: {error}") from None
