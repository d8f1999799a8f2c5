"""A WHIP server made of aiortc: prints its URL, takes one stream, and tells as JSON what came.

aiortc_whip_server.py SECONDS
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
from typing import Any

from aiortc import MediaStreamTrack, RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError


class Server:
    """Takes one publisher."""

    def __init__(self) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration([]))
        self.peer.on("track", self._on_track)
        self.frames: dict[str, list[float]] = {"video": [], "audio": []}
        self.size: tuple[int, int] | None = None
        self.came = asyncio.Event()
        self.left = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def _on_track(self, track: MediaStreamTrack) -> None:
        self._tasks.append(asyncio.ensure_future(self._take(track)))

    async def _take(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                self.frames[track.kind].append(float(frame.pts * frame.time_base))
                if track.kind == "video":
                    self.size = frame.width, frame.height
                self.came.set()
        except MediaStreamError:
            pass

    async def answer(self, offer: str) -> str:
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await self.peer.setLocalDescription(await self.peer.createAnswer())
        return str(self.peer.localDescription.sdp)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
            except (asyncio.IncompleteReadError, asyncio.CancelledError):
                writer.close()
                return
            length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
            body = (await reader.readexactly(int(length[1]) if length else 0)).decode()
            if head.startswith("POST"):
                answer = await self.answer(body)
                lines = ["HTTP/1.1 201 Created", "Location: /session"]
                lines += ["Content-Type: application/sdp", f"Content-Length: {len(answer)}"]
                writer.write(("\r\n".join(lines) + "\r\n\r\n" + answer).encode())
                continue
            if head.startswith("DELETE"):
                self.left.set()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


async def main(seconds: float) -> None:
    server = Server()
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/cam/whip", flush=True)
    await asyncio.wait_for(server.came.wait(), 15)
    await asyncio.sleep(seconds)
    told: dict[str, Any] = {**server.frames, "size": server.size}
    print(json.dumps(told), flush=True)
    await asyncio.wait_for(server.left.wait(), 15)
    await server.peer.close()


asyncio.run(main(float(sys.argv[1])))
