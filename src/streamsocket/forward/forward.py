"""One stream that is pushed on to another server, for as long as there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

from streamsocket.backoff import Backoff
from streamsocket.errors import StreamSocketError
from streamsocket.forward.rtmp import ABILITY as RTMP_ABILITY
from streamsocket.forward.rtmp import push_rtmp
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Stream
from streamsocket.matching.matcher import Matcher
from streamsocket.rtsp.push import PushTransport, push_rtsp
from streamsocket.rtsp.url import without_credentials
from streamsocket.status import ForwardStatus
from streamsocket.webrtc.endpoint import is_http
from streamsocket.webrtc.ice_server import IceServer

_HEALTHY_AFTER_S = 10.0


class Forward:
    """Pushes one stream of the hub to a URL: again and again, whatever goes wrong.

    Belongs to the hub's event loop.
    """

    def __init__(
        self,
        hub: Hub,
        loop: asyncio.AbstractEventLoop,
        name: str,
        url: str,
        *,
        transport: PushTransport = "auto",
        on_status: Callable[[ForwardStatus], None] = lambda status: None,
        backoff: Backoff | None = None,
        matcher: Matcher | None = None,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        """`url` is `rtsp://…`, `rtmp://…` or `http://…/whip`, with user and password where needed.

        `backoff` says how long it waits before it tries again. Without a `matcher` the stream is
        pushed on as it is. `ice_servers` are for WebRTC.
        """
        self.name = name
        self.url = url
        self.status = ForwardStatus(name, without_credentials(url))
        self._hub = hub
        self._loop = loop
        self._transport: PushTransport = transport
        self._on_status = on_status
        self._backoff = backoff or Backoff()
        self._matcher = matcher or Matcher()
        self._ice_servers = ice_servers
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        hub.subscribe(self._stream_changed)

    @property
    def target(self) -> str:
        """Where it goes, without user and password."""
        return self.status.url

    def start(self) -> None:
        """Begin, as soon as the stream is there."""
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Leave the other server, in a second at most."""
        self._hub.unsubscribe(self._stream_changed)
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self._set(state="ended")

    def _stream_changed(self, stream: Stream) -> None:
        if stream.name == self.name:
            self._changed.set()

    async def _run(self) -> None:
        backoff = self._backoff
        while True:
            stream = await self._live_stream()
            self._set(state="connecting")
            began = self._loop.time()
            try:
                await self._push(stream)
            except StreamSocketError as error:
                message = str(error)
            except Exception as error:  # whatever a stranger answers must not end the trying
                message = f"{self.target} cannot be pushed to ({error!r})."
            else:
                backoff.reset()
                continue
            if self._loop.time() - began > _HEALTHY_AFTER_S:
                backoff.reset()
            pause_s = backoff.next_s()
            failures = self.status.failures + 1
            self._set(state="retrying", message=message, failures=failures)
            await asyncio.sleep(pause_s)

    async def _live_stream(self) -> Stream:
        while True:
            self._changed.clear()
            stream = self._hub.find(self.name)
            if stream and stream.publication:
                return stream
            self._set(state="waiting", message=None)
            await self._changed.wait()

    async def _push(self, stream: Stream) -> None:
        def live(message: str | None = None) -> None:
            self._set(state="live", message=message)

        if self.url.lower().startswith("rtmp://"):
            tracks = await self._matcher.tracks_for(stream, RTMP_ABILITY)
            await push_rtmp(stream, tracks, self.url, on_live=live)
        elif is_http(self.url):
            whip = await asyncio.to_thread(_whip)
            tracks = await self._matcher.tracks_for(stream, whip.ABILITY)
            await whip.push_whip(
                stream, tracks, self.url, ice_servers=self._ice_servers, on_live=live
            )
        else:
            await push_rtsp(stream, self.url, transport=self._transport, on_live=live)

    def _set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        self._on_status(self.status)


def _whip() -> ModuleType:
    """What publishes by WHIP. It takes its time to load, which others needn't wait for."""
    import httpx  # noqa: F401

    from streamsocket.webrtc import push

    return push
