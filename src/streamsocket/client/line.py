"""What a session needs of a server, whatever protocol it speaks: a Line to it.

In this order: connect, describe, set_up for each track, play, close. Every step but `close` raises
ConnectError with a sentence for the user. `close` has to be called whatever happened.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from streamsocket.client.report import Transport
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Kind
from streamsocket.rtsp import client as rtsp_client
from streamsocket.rtsp.client import PacketHandler, RtspClient
from streamsocket.rtsp.sdp import Media, SessionDescription
from streamsocket.rtsp.url import parse_server_url
from streamsocket.webrtc.endpoint import is_http, parse_endpoint

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

Wish = Literal["mixed", "udp", "tcp", "multicast"]

_MIXED: dict[str, rtsp_client.Protocol] = {"video": "udp", "audio": "tcp"}


class Line(Protocol):
    """One connection to a server, for one stream."""

    @property
    def url(self) -> str:
        """Without user and password."""

    @property
    def server(self) -> str | None:
        """What the server calls itself."""

    @property
    def round_trip_s(self) -> float | None:
        """How soon the server has answered at its quickest: hardly more than the network takes."""

    async def connect(self) -> None:
        """Reach the server."""

    async def describe(self) -> SessionDescription:
        """Ask what the stream is made of."""

    async def set_up(self, track: int, media: Media, wish: Wish) -> Transport:
        """Ask for a track; its packets will be handed on under the number `track`.

        Raises TransportRefusedError if another wish may do.
        """

    async def play(self, *, keep_timestamps: bool = False) -> dict[int, int]:
        """Let the packets come; returns the sequence numbers they begin with, as far as known."""

    def send_rtcp(self, track: int, data: bytes) -> None:
        """Send RTCP about a track."""

    async def close(self) -> None:
        """Leave the server, in a second at most."""


class RtspLine(RtspClient):
    """To an RTSP server."""

    async def set_up(self, track: int, media: Media, wish: Wish) -> Transport:
        """As Line has it."""
        protocol = _MIXED[media.kind] if wish == "mixed" else wish
        await self.setup(track, media, protocol)
        return protocol


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
