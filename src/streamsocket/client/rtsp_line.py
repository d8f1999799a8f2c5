"""The line to an RTSP server."""

from __future__ import annotations

from streamsocket.client.line import Wish
from streamsocket.client.report import Transport
from streamsocket.rtsp.client import Protocol, RtspClient
from streamsocket.rtsp.sdp import Media

_MIXED: dict[str, Protocol] = {"video": "udp", "audio": "tcp"}


class RtspLine(RtspClient):
    """One connection; see `Line`."""

    async def set_up(self, track: int, media: Media, wish: Wish) -> Transport:
        """As Line has it."""
        protocol = _MIXED[media.kind] if wish == "mixed" else wish
        await self.setup(track, media, protocol)
        return protocol
