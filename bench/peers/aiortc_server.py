"""aiortc as a server of WHEP: one RTCPeerConnection a viewer, packets passed through as they are.

python aiortc_server.py MOVIE PORT
"""

from __future__ import annotations

import asyncio
import sys

from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.contrib.media import MediaPlayer, MediaRelay


class Whep:
    """Answers offers, whatever the path."""

    def __init__(self, movie: str) -> None:
        self._player = MediaPlayer(movie, decode=False, loop=True)
        self._relay = MediaRelay()
        self._peers: list[RTCPeerConnection] = []

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one HTTP request."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        lengths = [line for line in head.splitlines() if line.startswith("content-length:")]
        offer = await reader.readexactly(int(lengths[0].partition(":")[2]) if lengths else 0)
        answer = await self._answer(offer.decode()) if head.startswith("post") else ""
        body = answer.encode()
        status = b"201 Created" if body else b"200 OK"
        writer.write(b"HTTP/1.1 %s\r\nContent-Length: %d\r\n" % (status, len(body)))
        writer.write(b"Location: /session\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()

    async def _answer(self, offer: str) -> str:
        peer = RTCPeerConnection(RTCConfiguration([]))
        self._peers.append(peer)
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for track in (self._player.video, self._player.audio):
            peer.addTrack(self._relay.subscribe(track))  # type: ignore[arg-type]
        await peer.setLocalDescription(await peer.createAnswer())
        return str(peer.localDescription.sdp)


async def main(movie: str, port: int) -> None:
    """Serve until the process is ended."""
    server = await asyncio.start_server(Whep(movie).handle, "127.0.0.1", port)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    try:
        asyncio.run(main(sys.argv[1], int(sys.argv[2])))
    except KeyboardInterrupt:
        pass
