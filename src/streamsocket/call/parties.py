"""What each of the two serves and pushes: the settings of two small servers.

Who listens has a server that both log in to; it carries both streams. Who calls has one for this
machine alone, whose stream is pushed on to the other's.
"""

from __future__ import annotations

from streamsocket.auth.passwords import digest_ha1, hash_password
from streamsocket.call.secret import password
from streamsocket.settings.model import (
    ForwardSettings,
    HttpSettings,
    PublishSettings,
    RtmpSettings,
    RtspSettings,
    Settings,
    StreamSettings,
    UserSettings,
)

USER = "call"
LISTENER, CALLER = "listener", "caller"
"""The names of the two streams."""

_PUBLISHING = PublishSettings(wait_s=1.0, timeout_s=5.0)
"""Whoever has left is soon known to be gone."""


def listener_settings(host: str, port: int, source: str, secret: str) -> Settings:
    """The server of who listens: only the secret opens it, in both directions."""
    return Settings(
        host=host,
        rtsp=RtspSettings(port=port),
        rtmp=RtmpSettings(port=None),
        http=HttpSettings(port=0),
        publish=_PUBLISHING,
        streams={LISTENER: StreamSettings(source=source)},
        users={USER: _user(secret, publish=(CALLER,), watch=(LISTENER, CALLER))},
    )


def caller_settings(host: str, port: int, source: str, secret: str) -> Settings:
    """The server of who calls: closed to others, it pushes the stream to who listens."""
    return Settings(
        rtsp=RtspSettings(port=0),
        rtmp=RtmpSettings(port=None),
        http=HttpSettings(port=0),
        streams={CALLER: StreamSettings(source=source)},
        users={USER: _user(secret, publish=(), watch=(CALLER,))},
        forward=(ForwardSettings(streams=CALLER, url=stream_url(host, port, CALLER, secret)),),
    )


def _user(secret: str, *, publish: tuple[str, ...], watch: tuple[str, ...]) -> UserSettings:
    word = password(secret)
    return UserSettings(
        password=hash_password(word),
        digest_md5=digest_ha1("MD5", USER, word),
        digest_sha256=digest_ha1("SHA-256", USER, word),
        publish=publish,
        watch=watch,
    )


def stream_url(host: str, port: int, name: str, secret: str) -> str:
    """The URL of one of the streams at who listens, with what it takes to log in."""
    shown = f"[{host}]" if ":" in host else host
    return f"rtsp://{USER}:{password(secret)}@{shown}:{port}/{name}"
