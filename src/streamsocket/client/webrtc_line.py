"""The line to a WebRTC server, by WHEP."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from streamsocket.client.line import Wish
from streamsocket.client.report import Transport
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Kind
from streamsocket.rtsp.client import PacketHandler
from streamsocket.rtsp.sdp import Media, SessionDescription
from streamsocket.webrtc.client_offer import AgreedTrack
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.webrtc.whep_client import WhepClient


class WebRtcLine:
    """One connection for all tracks; see `Line`."""

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        kinds: Collection[Kind],
        ice_servers: Sequence[IceServer],
        on_packet: PacketHandler,
        on_lost: Callable[[ConnectError], None],
    ) -> None:
        self._kinds = sorted(kinds, key=lambda kind: kind != "video")
        self._client = WhepClient(
            url,
            timeout_s=timeout_s,
            ice_servers=ice_servers,
            on_packet=on_packet,
            on_lost=on_lost,
        )

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._client.url

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        return self._client.server

    @property
    def round_trip_s(self) -> float | None:
        """How soon the server has answered at its quickest."""
        return self._client.round_trip_s

    async def connect(self) -> None:
        """Reach the server over HTTP."""
        await self._client.find_servers()

    async def describe(self) -> SessionDescription:
        """Make an offer; the answer says what the stream is made of."""
        return SessionDescription(
            medias=[_media(each) for each in await self._client.ask(self._kinds)]
        )

    async def set_up(self, track: int, media: Media, wish: Wish) -> Transport:
        """All that was agreed on comes, one track of a kind, under its place in the description."""
        return "webrtc"

    async def play(self, *, keep_timestamps: bool = False) -> dict[int, int]:
        """Connect. Timestamps come as the server sends them to all who join."""
        await self._client.connect()
        self._client.play()
        return {}

    def send_rtcp(self, track: int, data: bytes) -> None:
        """Send RTCP about a track."""
        self._client.send_rtcp(data)

    async def close(self) -> None:
        """Leave the server, in a second at most."""
        await self._client.close()


def _media(track: AgreedTrack) -> Media:
    agreed = track.format
    return Media(
        track.kind,
        agreed.payload_type,
        agreed.codec,
        encoding=agreed.codec.name,
        clock_rate=agreed.codec.clock_rate,
        fmtp=agreed.parameters,
        feedback=agreed.feedback,
    )
