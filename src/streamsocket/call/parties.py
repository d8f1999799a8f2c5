"""What each of the two serves and pushes: the settings of two small servers.

Who listens has a server for WebRTC that takes nothing but what is sealed with the secret; it
carries both streams. Who calls has one for this machine alone, whose stream is pushed on to the
other's.
"""

from __future__ import annotations

from collections.abc import Sequence

from streamsocket.auth.authorization import Credentials
from streamsocket.auth.passwords import hash_password
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
    WebrtcSettings,
)
from streamsocket.webrtc.endpoint import SEALED

USER = "call"
LISTENER, CALLER = "listener", "caller"
"""The names of the two streams."""

_PUBLISHING = PublishSettings(wait_s=1.0, timeout_s=5.0)
"""Whoever has left is soon known to be gone."""

_THIS_MACHINE = RtspSettings(host="127.0.0.1", port=0)


def listener_settings(host: str, port: int, source: str, secret: str) -> Settings:
    """The server of who listens: only the secret opens it, in both directions."""
    return Settings(
        host=host,
        rtsp=_THIS_MACHINE,
        rtmp=RtmpSettings(port=None),
        http=HttpSettings(port=port),
        # By the same number, so that only one has to be let in: TCP is taken by HTTP.
        webrtc=WebrtcSettings(port=port, tcp=False, max_peers=16),
        publish=_PUBLISHING,
        streams={LISTENER: StreamSettings(source=source)},
        users={USER: _user(secret)},
    )


def caller_settings(
    host: str, port: int, source: str, secret: str, ice_servers: Sequence[str] = ()
) -> Settings:
    """The server of who calls: for this machine alone, it pushes the stream to who listens."""
    return Settings(
        rtsp=_THIS_MACHINE,
        rtmp=RtmpSettings(port=None),
        webrtc=WebrtcSettings(port=None, ice_servers=tuple(ice_servers)),
        streams={CALLER: StreamSettings(source=source)},
        users={USER: _user(secret)},
        forward=(ForwardSettings(streams=CALLER, url=publishing_url(host, port, secret)),),
    )


def credentials(secret: str) -> Credentials:
    """Who has the secret, to the server of who listens."""
    return Credentials(USER, password(secret))


def publishing_url(host: str, port: int, secret: str) -> str:
    """Where who calls publishes."""
    return _url(host, port, f"{CALLER}/whip", secret)


def watching_url(host: str, port: int, secret: str) -> str:
    """Where who calls watches who listens."""
    return _url(host, port, f"{LISTENER}/whep", secret)


def _url(host: str, port: int, path: str, secret: str) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{USER}:{password(secret)}@{shown}:{port}/{path}#{SEALED}"


def _user(secret: str) -> UserSettings:
    return UserSettings(
        password=hash_password(password(secret)), publish=(CALLER,), watch=(LISTENER,)
    )
