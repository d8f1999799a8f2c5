"""Which line a URL wants, and what its stream is called."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from streamsocket.client.line import Line
from streamsocket.client.rtsp_line import RtspLine
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Kind
from streamsocket.rtsp.client import PacketHandler
from streamsocket.rtsp.url import parse_server_url
from streamsocket.webrtc.endpoint import is_http, parse_endpoint

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer


def stream_name(url: str) -> str:
    """What a stream is called, by its URL. Raises ParseError for one that is none."""
    return parse_endpoint(url).name if is_http(url) else parse_server_url(url).path


def open_line(
    url: str,
    *,
    timeout_s: float,
    kinds: Collection[Kind],
    ice_servers: Sequence[IceServer],
    on_packet: PacketHandler,
    on_lost: Callable[[ConnectError], None],
) -> Line:
    """The line that a URL wants; nothing is connected to yet. Raises ConnectError for a bad URL."""
    if is_http(url):
        # Encryption takes its time to load, and memory.
        from streamsocket.client.webrtc_line import WebRtcLine

        return WebRtcLine(
            url,
            timeout_s=timeout_s,
            kinds=kinds,
            ice_servers=ice_servers,
            on_packet=on_packet,
            on_lost=on_lost,
        )
    return RtspLine(url, timeout_s=timeout_s, on_packet=on_packet, on_lost=on_lost)
