"""Receiving a stream for a window: a thread that stays with it, and its tracks' decoders."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from streamsocket.client.follow import LAST_RETRY_S, Away, Live, follow
from streamsocket.client.session import Session, TransportWish
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Codec, Kind
from streamsocket.player.picture_track import PictureTrack
from streamsocket.player.schedule import Schedule

if TYPE_CHECKING:
    from streamsocket.player.sound_track import SoundTrack
    from streamsocket.webrtc.ice_server import IceServer

_CLOSE_S = 3.0
_LEAST_PATIENCE_S = 0.02


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a user asks of a stream that is played."""

    url: str
    kinds: tuple[Kind, ...] = ("video", "audio")
    transport: TransportWish = "auto"
    latency_s: float | None = None
    """How much is held in store; None for as little as the network allows."""
    timeout_s: float = 10.0
    longest_retry_s: float = LAST_RETRY_S
    """A stream that is away is tried again at least so often."""
    ice_servers: tuple[IceServer, ...] = ()
    """Of WebRTC: STUN and TURN servers, instead of those that the server tells of."""


@dataclass(frozen=True, slots=True)
class State:
    """How it stands with the stream."""

    kind: Literal["connecting", "live", "away", "refused"]
    sentence: str = ""
    """Why it is away or refused."""
    ended: bool = False
    """It came to its end, rather than being lost."""


class Reception:
    """Receives a stream from `start` to `close`, whatever becomes of it meanwhile.

    `pictures` and `sound` are those of the connection there is; they change with it. Everything
    may be read by any thread.
    """

    def __init__(
        self,
        wishes: Wishes,
        *,
        clock: Callable[[], float],
        make_sound: Callable[[Codec, Schedule], SoundTrack] | None,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when there is something new to be seen; None makes no sound."""
        self.wishes = wishes
        self.schedule = Schedule(wishes.latency_s)
        self.state = State("connecting")
        self.session: Session | None = None
        """The last connection that played: its figures remain when it is gone."""
        self.pictures: PictureTrack | None = None
        self.sound: SoundTrack | None = None
        self._clock = clock
        self._make_sound = make_sound
        self._wake = wake
        self._loop: asyncio.AbstractEventLoop | None = None
        self._following: asyncio.Task[None] | None = None
        self._started = threading.Event()
        self._thread = threading.Thread(target=self._run, name="network", daemon=True)

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()
        self._started.wait()

    def close(self) -> None:
        """Leave the server, in a few seconds at most."""
        if not self._thread.is_alive():
            return
        if self._loop and self._following:
            with suppress(RuntimeError):  # it has just ended by itself
                self._loop.call_soon_threadsafe(self._following.cancel)
        self._thread.join(_CLOSE_S)

    def request_keyframe(self) -> None:
        """Ask the server for a whole picture, where it understands that."""
        session, loop = self.session, self._loop
        if session and loop and not loop.is_closed():
            for index, track in enumerate(session.tracks):
                if track.kind == "video":
                    loop.call_soon_threadsafe(session.request_keyframe, index)

    def _run(self) -> None:
        # A selector loop on Windows too: the proactor reads no datagrams in batches.
        with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
            try:
                runner.run(self._follow())
            except asyncio.CancelledError:
                pass

    async def _follow(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._following = asyncio.current_task()
        self._started.set()
        wishes = self.wishes
        try:
            async for event in follow(
                wishes.url,
                transport=wishes.transport,
                timeout_s=wishes.timeout_s,
                kinds=wishes.kinds,
                longest_retry_s=wishes.longest_retry_s,
                ice_servers=wishes.ice_servers,
            ):
                match event:
                    case Live(session):
                        self._begin(session)
                    case Away(sentence, ended):
                        # First what it is: without a picture it would be a stream of sound only.
                        self._set(State("away", sentence, ended))
                        self._end()
                    case received:
                        kind = self._kinds[received.track]
                        if kind == "video" and self.pictures:
                            self.pictures.put(received)
                        elif kind == "audio" and self.sound:
                            self.sound.put(received.unit)
        except ConnectError as error:
            self._set(State("refused", str(error)))
        finally:
            self._end()

    def _begin(self, session: Session) -> None:
        self.schedule.reset()
        self._kinds = [track.kind for track in session.tracks]
        if self.wishes.latency_s is not None:
            session.patience_s = max(_LEAST_PATIENCE_S, self.wishes.latency_s)
        for track in session.tracks:
            if track.kind == "video":
                self.pictures = PictureTrack(
                    track.codec,
                    clock=self._clock,
                    on_ready=lambda captured, at: self.schedule.ready("video", captured, at),
                    on_picture=self._wake,
                )
            elif self._make_sound:
                self.sound = self._make_sound(track.codec, self.schedule)
        self.session = session
        self._set(State("live"))

    def _end(self) -> None:
        pictures, self.pictures = self.pictures, None
        sound, self.sound = self.sound, None
        if pictures:
            pictures.close()
        if sound:
            sound.close()

    def _set(self, state: State) -> None:
        self.state = state
        self._wake()
