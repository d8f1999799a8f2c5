"""A stream of another server, or of a camera, as a source: connected to again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from streamsocket.backoff import Backoff
from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.hub.pulling import Publish
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Track
from streamsocket.rtsp.pull import pull_rtsp
from streamsocket.sources.spec import PulledSpec
from streamsocket.sources.state import SourceStatus
from streamsocket.webrtc.endpoint import is_http

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

UNWATCHED_S = 10.0
"""How long a stream on demand goes on without anybody who watches."""

_POLL_S = 1.0


class PulledSource:
    """Plays a stream from elsewhere and publishes it here, for ever or on demand.

    Whatever goes wrong, it is tried again: after 1 s at first, after 30 s at most. Belongs to the
    hub's event loop.
    """

    def __init__(
        self,
        name: str,
        spec: PulledSpec,
        loop: asyncio.AbstractEventLoop,
        hub: Hub,
        on_status: Callable[[SourceStatus], None] = lambda status: None,
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        """`ice_servers`: of WebRTC, instead of those that the other server tells of."""
        self.name = name
        self.spec = spec
        self.status = SourceStatus(state="waiting")
        self.over = False
        self._loop = loop
        self._hub = hub
        self._on_status = on_status
        self._ice_servers = ice_servers
        self._wanted = asyncio.Event()
        self._wanted_until = 0.0
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: at once, or when somebody wants to watch."""
        self._task = self._loop.create_task(self._run())

    async def stop(self) -> None:
        """Leave the server, in a second at most."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        self.over = True
        self._set(state="ended")

    def want(self) -> None:
        """Somebody asks for the stream."""
        self._wanted_until = self._loop.time() + UNWATCHED_S
        self._wanted.set()

    async def _run(self) -> None:
        backoff = Backoff()
        while True:
            if self.spec.on_demand and not self._is_wanted():
                self._set(state="waiting", message="It is connected to when somebody watches.")
                self._wanted.clear()
                await self._wanted.wait()
            message = await self._pull(backoff)
            if message is None:
                continue
            pause_s = backoff.next_s()
            self._set(state="waiting", message=f"{message} Trying again in {pause_s:.0f} s.")
            self._wanted.clear()
            try:
                # Whoever asks for the stream needn't wait for the end of a long pause.
                await asyncio.wait_for(self._wanted.wait(), pause_s)
                await asyncio.sleep(min(1.0, pause_s))
            except TimeoutError:
                pass

    async def _pull(self, backoff: Backoff) -> str | None:
        """Play until something ends it; return what, or None if nobody watches any more."""

        def publish(
            tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
        ) -> Publication:
            publication = self._hub.publish(self.name, tracks, request_keyframe)
            backoff.reset()
            self._set(state="live", message=None)
            return publication

        playing = self._loop.create_task(self._play(publish))
        try:
            while not playing.done():
                await asyncio.wait((playing,), timeout=_POLL_S)
                if self.spec.on_demand and not self._is_wanted():
                    return None
            playing.result()
        except StreamSocketError as error:
            return str(error)
        except Exception as error:  # whatever a stranger sends must not end the trying
            return f"{self.spec.text} cannot be played ({error!r})."
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
        return f"{self.spec.text} has ended."

    async def _play(self, publish: Publish) -> None:
        if is_http(self.spec.url):
            pull = await asyncio.to_thread(_whep, self._ice_servers)
            await pull(self.spec.url, publish)
        else:
            await pull_rtsp(self.spec.url, publish)

    def _is_wanted(self) -> bool:
        stream = self._hub.find(self.name)
        if stream and stream.readers:
            self._wanted_until = self._loop.time() + UNWATCHED_S
        return self._loop.time() < self._wanted_until

    def _set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        self._on_status(self.status)


def _whep(ice_servers: Sequence[IceServer]) -> Callable[[str, Publish], Coroutine[Any, Any, None]]:
    """What watches by WHEP. It takes its time to load, which others needn't wait for."""
    import httpx  # noqa: F401

    from streamsocket.webrtc.pull import pull_whep

    return partial(pull_whep, ice_servers=ice_servers)
