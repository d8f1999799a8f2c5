"""A WebRTC server with its HTTP application, in the test's own loop, and a stream to watch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction

from client_helpers import PICTURE, PPS, SOUND, SPS, VIDEO
from status_helpers import server_status

from streamsocket.auth.access import Access
from streamsocket.auth.users import User
from streamsocket.codecs.coded import Coded
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Track
from streamsocket.sources.packing import Packer
from streamsocket.web.app import create_app
from streamsocket.web.runner import HttpServer
from streamsocket.web.webrtc import WebRtcRoutes
from streamsocket.webrtc.server import WebRtcOptions, WebRtcServer

INTERVAL_S = 0.01
KEYFRAME_EVERY = 10
PICTURE_BYTES = 2500
"""Three packets."""


class WhepServer:
    """A hub with the stream `lobby`, a picture and a piece of sound every 10 ms."""

    def __init__(
        self,
        users: dict[str, User] | None = None,
        ice_servers: Sequence[str] = (),
        tracks: Sequence[Track] = (VIDEO, SOUND),
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.hub = Hub(self.loop)
        self.access = Access(users or {})
        self.webrtc = WebRtcServer(self.hub, self.loop, WebRtcOptions("127.0.0.1", 0), self.access)
        self.webrtc.open()
        routes = WebRtcRoutes(self.webrtc, self.loop, ice_servers).routes()
        self.http = HttpServer(
            create_app(server_status, rtsp_port=8554, routes=routes), "127.0.0.1", 0
        )
        self.http.start()
        self.tracks = tracks
        self.keyframe_requests = 0
        self.publication: Publication | None = None
        self._packers = [Packer(track.codec) for track in tracks]
        self._count = 0
        self._began = time.time()
        self._timer: asyncio.TimerHandle | None = None
        self.publish()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.port}/lobby/whep"

    def publish(self) -> None:
        """Begin the stream, or go on with it after its end."""
        self.publication = self.hub.publish("lobby", self.tracks, self._keyframe_wanted)
        self._send()

    def end_stream(self) -> None:
        """The stream is over, as a file is that isn't repeated."""
        self.stop_sending()
        self.hub.remove("lobby")

    def fall_deaf(self) -> None:
        """Take nothing over UDP any more."""
        self.loop.remove_reader(self.webrtc._socket)

    def _keyframe_wanted(self) -> None:
        self.keyframe_requests += 1

    def _send(self) -> None:
        self._timer = self.loop.call_later(INTERVAL_S, self._send)
        assert self.publication
        moment = Fraction(self._count) * Fraction(INTERVAL_S).limit_denominator(1000)
        for index, (track, packer) in enumerate(zip(self.tracks, self._packers, strict=True)):
            keyframe = self._count % KEYFRAME_EVERY == 0
            if track.kind == "audio":
                units = [bytes(100)]
            elif keyframe:
                units = [SPS, PPS, PICTURE[:2] + bytes(PICTURE_BYTES)]
            else:
                units = [b"\x41\x88" + bytes(PICTURE_BYTES)]
            batch = packer.pack(
                Coded(units, moment, moment, Fraction(INTERVAL_S), keyframe), moment
            )
            assert batch
            self.publication.write(index, replace(batch, capture_time=time.time()))
        self.publication.flush()
        self._count += 1

    def stop_sending(self) -> None:
        """Fall silent."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    async def close(self) -> None:
        self.stop_sending()
        self.webrtc.close()
        self.hub.close()
        self.access.close()
        await asyncio.to_thread(self.http.stop)


@asynccontextmanager
async def whep_server(
    users: dict[str, User] | None = None,
    ice_servers: Sequence[str] = (),
    tracks: Sequence[Track] = (VIDEO, SOUND),
) -> AsyncIterator[WhepServer]:
    server = WhepServer(users, ice_servers, tracks)
    try:
        yield server
    finally:
        await server.close()
