"""The settings, as each part of the server takes them."""

from __future__ import annotations

import ssl
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Network

from streamsocket.auth.users import Permissions, User
from streamsocket.errors import ParseError
from streamsocket.forward.forwards import ForwardRule
from streamsocket.hub.limits import Limits
from streamsocket.record.rules import Rule
from streamsocket.rtmp.server import RtmpOptions
from streamsocket.rtsp.multicast import MulticastOptions
from streamsocket.rtsp.server import RtspOptions
from streamsocket.settings import Settings
from streamsocket.tls import server_context
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.server import WebRtcOptions


def rtsp_options(settings: Settings) -> RtspOptions:
    """What the RTSP server takes."""
    return RtspOptions(
        host=settings.rtsp.host or settings.host,
        port=settings.rtsp.port,
        udp_port=settings.rtsp.udp_port,
        session_timeout_s=settings.rtsp.session_timeout_s,
        publisher_timeout_s=settings.publish.timeout_s,
        replace_publishers=settings.publish.replace,
        tls_port=settings.rtsps.port,
        multicast=_multicast_options(settings),
        max_connections=settings.rtsp.max_connections,
        max_connections_per_address=settings.rtsp.max_connections_per_address,
    )


def _multicast_options(settings: Settings) -> MulticastOptions | None:
    multicast = settings.multicast
    if multicast.network is None:
        return None
    return MulticastOptions(
        IPv4Network(multicast.network),
        multicast.port,
        multicast.ttl,
        multicast.interface or _one_ipv4_address(settings.host),
    )


def _one_ipv4_address(host: str) -> str | None:
    """The host if it is the address of one interface; not a name, a wildcard or IPv6's."""
    try:
        address = IPv4Address(host)
    except ValueError:
        return None
    return None if address.is_unspecified else host


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """What RTSPS takes; None where it is off. Raises `StreamSocketError` for unusable files."""
    rtsps = settings.rtsps
    if rtsps.port is None or not rtsps.certificate or not rtsps.key:
        return None
    return server_context(rtsps.certificate, rtsps.key)


def hub_limits(settings: Settings) -> Limits:
    """What the hub takes."""
    hub = settings.hub
    return Limits(
        reader_max_age_s=hub.reader_max_age_s,
        keyframe_cache_bytes=round(hub.keyframe_cache_mb * 1_000_000),
        history_s=hub.history_s,
        history_bytes=round(hub.history_mb * 1_000_000),
        join_seconds=hub.join_seconds,
        publisher_wait_s=settings.publish.wait_s,
    )


def rtmp_options(host: str, port: int, settings: Settings) -> RtmpOptions:
    """What the RTMP server takes."""
    return RtmpOptions(
        host=host,
        port=port,
        max_connections=settings.rtmp.max_connections,
        max_connections_per_address=settings.rtmp.max_connections_per_address,
        idle_timeout_s=settings.publish.timeout_s,
    )


def webrtc_options(host: str, port: int, settings: Settings) -> WebRtcOptions:
    """What the WebRTC server takes."""
    return WebRtcOptions(
        host,
        port,
        tcp=settings.webrtc.tcp,
        max_peers=settings.webrtc.max_peers,
        public_hosts=settings.webrtc.public_host,
        publisher_timeout_s=settings.publish.timeout_s,
        replace_publishers=settings.publish.replace,
    )


def users(settings: Settings) -> dict[str, User]:
    """The users, for `Access`."""
    return {
        name: User(
            name,
            password_hash=user.password,
            ha1_md5=user.digest_md5,
            ha1_sha256=user.digest_sha256,
            permissions=Permissions(publish=user.publish, watch=user.watch),
        )
        for name, user in settings.users.items()
    }


def record_rules(settings: Settings) -> list[Rule]:
    """What is recorded, and how."""
    return [Rule(**rule.model_dump()) for rule in settings.record]


def ice_servers(settings: Settings) -> tuple[IceServer, ...]:
    """The STUN and TURN servers that this server itself uses."""
    found = []
    for text in settings.webrtc.ice_servers:
        with suppress(ParseError):  # browsers know kinds that we don't
            found.append(IceServer.parse(text))
    return tuple(found)


def forward_rules(settings: Settings) -> list[ForwardRule]:
    """What is pushed on, and where to."""
    servers = ice_servers(settings)
    return [
        ForwardRule(each.streams, each.url, each.transport, servers) for each in settings.forward
    ]
