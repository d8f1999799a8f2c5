"""A WHEP server made of aiortc: prints its URL, sends one viewer a moving picture and a tone.

aiortc_whep_server.py [CODEC]

With a CODEC, `VP8` or `H264`, the answer has that alone; without, all that both know, and what
comes first in the offer is sent. It ends when the viewer has left.
"""

from __future__ import annotations

import asyncio
import re
import sys
from fractions import Fraction

import numpy as np
from aiortc import RTCConfiguration, RTCPeerConnection, RTCSessionDescription
from aiortc.mediastreams import AudioStreamTrack, VideoStreamTrack
from av import AudioFrame, VideoFrame


class Picture(VideoStreamTrack):
    """A bar that moves, 30 times a second."""

    async def recv(self) -> VideoFrame:
        pts, time_base = await self.next_timestamp()
        image = np.full((240, 320, 3), 40, np.uint8)
        place = pts // 3000 * 4 % 320
        image[:, place : place + 16] = 220
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame.pts, frame.time_base = pts, time_base
        return frame


class Tone(AudioStreamTrack):
    """440 Hz, in frames of 20 ms."""

    _place = 0
    _began: float | None = None

    async def recv(self) -> AudioFrame:
        loop = asyncio.get_running_loop()
        self._began = self._began or loop.time()
        await asyncio.sleep(max(0.0, self._began + self._place / 48_000 - loop.time()))
        moments = np.arange(self._place, self._place + 960) / 48_000
        samples = (8000 * np.sin(2 * np.pi * 440 * moments)).astype(np.int16)
        frame = AudioFrame.from_ndarray(samples.reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._place, Fraction(1, 48_000)
        self._place += 960
        return frame


class Server:
    """Sends one viewer its tracks."""

    def __init__(self, codec: str | None) -> None:
        self.peer = RTCPeerConnection(RTCConfiguration([]))
        self.left = asyncio.Event()
        self._codec = codec

    async def answer(self, offer: str) -> str:
        if self._codec and (found := re.search(rf"a=rtpmap:(\d+) {self._codec}/", offer)):
            before, video, after = re.split(r"(m=video.*?)(?=m=|$)", offer, maxsplit=1, flags=re.S)
            video = re.sub(rf"a=(rtpmap|fmtp|rtcp-fb):(?!{found[1]} ).*\r\n", "", video)
            video = re.sub(r"(m=video \d+ \S+) [\d ]+", rf"\1 {found[1]}", video)
            offer = before + video + after
        await self.peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        for each in self.peer.getTransceivers():
            each.sender.replaceTrack(Picture() if each.kind == "video" else Tone())
            each.direction = "sendonly"
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
            writer.write(b"HTTP/1.1 405 Not Allowed\r\nContent-Length: 0\r\n\r\n")


async def main(codec: str | None) -> None:
    server = Server(codec)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    print(f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}/cam/whep", flush=True)
    await asyncio.wait_for(server.left.wait(), 60)
    await server.peer.close()


asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else None))
