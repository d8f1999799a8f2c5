"""aiortc, which publishes a movie by WHIP or watches by WHEP, and tells as JSON what came.

aiortc_peer.py publish URL MOVIE H264|VP8    until standard input ends
aiortc_peer.py watch URL SECONDS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
import urllib.request
from typing import Any
from urllib.parse import urljoin

import numpy as np
from aiortc import (
    MediaStreamTrack,
    RTCConfiguration,
    RTCPeerConnection,
    RTCRtpSender,
    RTCSessionDescription,
)
from aiortc.contrib.media import MediaPlayer
from aiortc.mediastreams import MediaStreamError

_FIRST_WORD_S = 15.0


async def ask(method: str, url: str, body: str | None = None) -> tuple[str, str]:
    """Ask over HTTP; returns `Location` and the body."""

    def blocking() -> tuple[str, str]:
        headers = {"Content-Type": "application/sdp"}
        data = body.encode() if body else None
        request = urllib.request.Request(url, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.headers.get("Location", ""), answer.read().decode()

    return await asyncio.get_running_loop().run_in_executor(None, blocking)


async def connect(peer: RTCPeerConnection, url: str) -> str:
    """Offer, take the answer; returns the session's URL."""
    await peer.setLocalDescription(await peer.createOffer())
    location, answer = await ask("POST", url, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return urljoin(url, location)


async def publish(url: str, movie: str, codec: str) -> dict[str, Any]:
    """Publish the movie's picture and sound, encoded by aiortc."""
    player = MediaPlayer(movie)
    peer = RTCPeerConnection(RTCConfiguration([]))
    peer.addTrack(player.video)
    peer.addTrack(player.audio)
    codecs = RTCRtpSender.getCapabilities("video").codecs
    wanted = [each for each in codecs if each.mimeType in (f"video/{codec}", "video/rtx")]
    next(t for t in peer.getTransceivers() if t.kind == "video").setCodecPreferences(wanted)
    session = await connect(peer, url)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    state = peer.connectionState
    await ask("DELETE", session)
    await peer.close()
    player.video.stop()
    player.audio.stop()
    return {"state": state}


class Received:
    """What came of one track, counted from its first frame on."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.energy = 0.0
        self.broken = 0

    async def take(self, track: MediaStreamTrack) -> None:
        try:
            while True:
                frame = await track.recv()
                self.times.append(time.monotonic())
                if track.kind == "audio":
                    samples = frame.to_ndarray().astype(np.float64) / 32768
                    self.energy += float(np.square(samples).sum())
        except MediaStreamError:
            pass  # the end

    def told(self, since: float) -> dict[str, float]:
        times = [each for each in self.times if each >= since]
        span = times[-1] - times[0] if len(times) > 1 else 0.0
        rate = (len(times) - 1) / span if span else 0.0
        return {"frames": len(self.times), "rate": rate, "energy": self.energy}


async def watch(url: str, seconds: str) -> dict[str, Any]:
    """Watch picture and sound; rates are those of the time after the first second."""
    peer = RTCPeerConnection(RTCConfiguration([]))
    received = {"video": Received(), "audio": Received()}
    tasks = []

    @peer.on("track")
    def on_track(track: MediaStreamTrack) -> None:
        tasks.append(asyncio.create_task(received[track.kind].take(track)))

    for kind in received:
        peer.addTransceiver(kind, direction="recvonly")
    session = await connect(peer, url)
    deadline = time.monotonic() + _FIRST_WORD_S
    while not all(each.times for each in received.values()):
        if time.monotonic() > deadline:
            sys.exit("nothing came of " + ", ".join(k for k, r in received.items() if not r.times))
        await asyncio.sleep(0.05)
    since = time.monotonic() + 1
    await asyncio.sleep(1 + float(seconds))
    await ask("DELETE", session)
    await peer.close()
    await asyncio.gather(*tasks)
    lost = [each.packetsLost for each in (await peer.getStats()).values() if "inbound" in each.type]
    return {kind: each.told(since) for kind, each in received.items()} | {"lost": sum(lost)}


if __name__ == "__main__":
    act = {"publish": publish, "watch": watch}[sys.argv[1]]
    print(json.dumps(asyncio.run(act(*sys.argv[2:]))))
