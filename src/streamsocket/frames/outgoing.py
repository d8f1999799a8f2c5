"""What is published, on its way to the server: connected to again whenever it is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from streamsocket.backoff import Backoff
from streamsocket.errors import ConnectError, TimedOutError
from streamsocket.forward.forward import Forward
from streamsocket.frames.encoding import Made
from streamsocket.frames.states import State, StateChange
from streamsocket.hub.hub import Hub
from streamsocket.hub.limits import Limits
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Track
from streamsocket.rtsp.push import PushTransport
from streamsocket.status import ForwardStatus
from streamsocket.webrtc.ice_server import IceServer

_NAME = "published"
_FIRST_RETRY_S, _LAST_RETRY_S = 0.25, 4.0

# What was sent last over UDP has to be read before the end comes over TCP.
_FAREWELL_S = 0.1


class Outgoing:
    """A hub with one stream and one way out. Belongs to the running loop."""

    def __init__(
        self,
        url: str,
        tracks: Sequence[Track],
        *,
        transport: PushTransport,
        request_keyframe: Callable[[], None],
        on_state: Callable[[StateChange], None],
        ice_servers: Sequence[IceServer] = (),
    ) -> None:
        """`on_state` is told of every change; `live` is when a keyframe is wanted, too."""
        loop = asyncio.get_running_loop()
        # Without a cache of pictures: who is connected to begins with a new one, not an old one.
        self._hub = Hub(loop, Limits(keyframe_cache_bytes=0))
        self._tracks = tracks
        self._request_keyframe = request_keyframe
        self._on_state = on_state
        self._publication: Publication | None = None
        self._settled: asyncio.Future[None] = loop.create_future()
        self._awaits_keyframe = True
        self._report_due = True
        self._state: State | None = None
        self._forward = Forward(
            self._hub,
            loop,
            _NAME,
            url,
            transport=transport,
            on_status=self._changed,
            backoff=Backoff(_FIRST_RETRY_S, _LAST_RETRY_S),
            ice_servers=ice_servers,
        )

    async def open(self, timeout_s: float) -> None:
        """Connect and publish. Raises ConnectError if the server refuses or isn't there."""
        self._publication = self._hub.publish(_NAME, self._tracks, self._request_keyframe)
        self._forward.start()
        try:
            async with asyncio.timeout(timeout_s):
                await self._settled
        except TimeoutError:
            raise TimedOutError(
                f"{self._forward.target} has not taken the stream within {timeout_s:g} s."
            ) from None

    def send(self, made: Made) -> None:
        """Send what was made, if there is somebody to send it to."""
        publication = self._publication
        if publication is None or self._state != "live":
            return
        if made.codec:
            publication.learn(0, made.codec)
        for track, batch in made.batches:
            if track == 0 and self._awaits_keyframe:
                if not batch.keyframe:
                    continue
                self._awaits_keyframe = False
            publication.write(track, batch)
            if self._report_due and (stream := self._hub.find(_NAME)):
                # Before the first packets: the server dates them by it.
                self._report_due = False
                stream.report(time.monotonic())
        publication.flush()

    async def close(self) -> None:
        """Say goodbye and leave, in a second or so."""
        if self._state == "live":
            await asyncio.sleep(_FAREWELL_S)
        self._hub.remove(_NAME)
        await self._forward.stop()
        self._hub.close()

    def _changed(self, status: ForwardStatus) -> None:
        match status.state:
            case "connecting" if self._state is None:
                self._set("connecting")
            case "live":
                self._awaits_keyframe = self._report_due = True
                self._set("live")
                self._request_keyframe()
                if not self._settled.done():
                    self._settled.set_result(None)
            case "retrying":
                sentence = status.message or f"{self._forward.target} is not there."
                if not self._settled.done():
                    self._settled.set_exception(ConnectError(sentence))
                elif self._state == "live":
                    self._set("lost", sentence)

    def _set(self, state: State, sentence: str = "") -> None:
        if state == self._state:
            return  # it goes on over another transport
        self._state = state
        self._on_state(StateChange(state, sentence, time.time()))
