"""A way to a hub's streams for this machine's own windows, whatever else is open or closed."""

from __future__ import annotations

import asyncio
import secrets

from streamsocket.auth.access import Access
from streamsocket.auth.passwords import digest_ha1
from streamsocket.auth.users import Permissions, User
from streamsocket.hub.hub import Hub
from streamsocket.rtsp.server import RtspOptions, RtspServer

_HOST = "127.0.0.1"
_USER = "preview"


class LocalDoor:
    """An RTSP server on a free port of this machine, with a password that is made up anew."""

    def __init__(self, hub: Hub, loop: asyncio.AbstractEventLoop) -> None:
        self._password = secrets.token_urlsafe(16)
        user = User(
            _USER,
            ha1_md5=digest_ha1("MD5", _USER, self._password),
            ha1_sha256=digest_ha1("SHA-256", _USER, self._password),
            permissions=Permissions(watch=("*",)),
        )
        self._access = Access({_USER: user})
        self._server = RtspServer(hub, loop, RtspOptions(_HOST, port=0), self._access)

    def open(self) -> None:
        """Listen. Raises StreamSocketError if no port can be had."""
        self._server.open()

    def url(self, name: str) -> str:
        """Where a stream can be watched, with the password."""
        return f"rtsp://{_USER}:{self._password}@{_HOST}:{self._server.port}/{name}"

    def close(self) -> None:
        """Let nobody in any more, and everybody out."""
        self._server.close()
        self._access.close()
