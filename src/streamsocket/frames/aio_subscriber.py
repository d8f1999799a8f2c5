"""Receiving a stream as arrays, for asyncio; `subscriber.py` has the form that blocks."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing
from functools import partial
from typing import Any, NoReturn, Self, get_args

from streamsocket.client.follow import Away, Live, follow
from streamsocket.client.line import Wish
from streamsocket.client.receiver import Received
from streamsocket.client.session import Session, TransportWish
from streamsocket.errors import (
    ArgumentError,
    ClosedError,
    ConnectError,
    TimedOutError,
)
from streamsocket.frames.catching_up import CatchingUp
from streamsocket.frames.coded_queue import Coded, CodedQueue, Connection
from streamsocket.frames.decoders import PictureDecoder, SoundDecoder
from streamsocket.frames.decoding import Decoding, T
from streamsocket.frames.frame import AudioBlock, Clock, Frame
from streamsocket.frames.hardware import SOFTWARE, check_decoder
from streamsocket.frames.ice_argument import checked_ice_servers
from streamsocket.frames.states import State, StateChange
from streamsocket.media.codec import Kind
from streamsocket.rtsp.url import without_credentials

MAX_QUEUE = 256
"""Pictures, or pieces of sound, that wait for somebody who is slow: 5 to 10 s."""
_LATE_S = 0.2
_OLD_CHANGES = 64
_TRANSPORTS = ("auto", *get_args(Wish))


class Subscriber:
    """Receives a stream, from entering the context to leaving it; iterate over it for pictures.

        async with ss.aio.Subscriber("rtsp://host:8554/lobby") as sub:
            async for frame in sub:
                frame.image

    It gives the newest picture, each once, and never one that a newer one has overtaken:
    `frame.dropped` tells how many a slow consumer has missed. With `every_frame=True` it gives them
    all, in order, as long as no more than `max_queue` wait; then it goes on with the newest
    keyframe.

    A lost stream is connected to again, for ever, while whoever waits for a picture waits on.
    """

    def __init__(
        self,
        url: str,
        *,
        every_frame: bool = False,
        video: bool = True,
        audio: bool = False,
        transport: TransportWish = "auto",
        timeout: float = 10.0,
        wait: bool = True,
        reconnect: bool = True,
        max_queue: int = MAX_QUEUE,
        damaged: bool = False,
        decoder: str = SOFTWARE,
        ice_servers: Sequence[str] = (),
        on_state: Callable[[StateChange], object] | None = None,
    ) -> None:
        """Nothing is connected to before the context is entered.

        `transport`: `auto` (picture over UDP, sound over TCP, or what the network allows), `udp`,
        `tcp`, `mixed`, `multicast`. `timeout`: how many seconds the first connection may take, and
        how long a server may be silent before it counts as lost. `wait=False`: entering does not
        wait for the stream. `reconnect=False`: a stream that is lost or ends is over.
        `max_queue`: how many pictures (with `every_frame`) and blocks of sound may wait.
        `damaged=True`: pictures with holes, after a loss, are handed out too (`frame.intact`).
        `decoder`: `software`; `hardware` for the first device that opens; or a device of that name
        (`cuda`, `vaapi`, …); where none opens, software, see the property `decoder`.
        `ice_servers`: for WebRTC, `stun:HOST:PORT` or `turn:USER:PASSWORD@HOST:PORT`, instead of
        those that the server tells of.
        `on_state`: called at each change of state, in the loop's thread; it must not block.

        Raises ArgumentError.
        """
        if not isinstance(url, str):
            raise ArgumentError(f"url: {url!r} is not a text like 'rtsp://host:8554/name'.")
        if not video and not audio:
            raise ArgumentError("video: with audio=False too, there would be nothing to receive.")
        if transport not in _TRANSPORTS:
            raise ArgumentError(f"transport: {transport!r} is none of {', '.join(_TRANSPORTS)}.")
        check_timeout(timeout)
        if not isinstance(max_queue, int) or max_queue < 1:
            raise ArgumentError(f"max_queue: {max_queue!r} is not a number of pictures from 1 on.")
        check_decoder(decoder)
        self._ice_servers = checked_ice_servers(ice_servers)
        self._url = url
        self.url = without_credentials(url)
        """What it was told, without user and password."""
        self._transport = transport
        self._timeout = timeout
        self._wait = wait
        self._reconnect = reconnect
        self._every_frame = every_frame
        self._on_state = on_state
        self._make_video = partial(PictureDecoder, decoder=decoder, damaged=damaged)
        wants: dict[Kind, bool] = {"video": video, "audio": audio}
        self._kinds = [kind for kind, is_wanted in wants.items() if is_wanted]
        self._max_queue = max_queue
        self._pictures: Decoding[Frame] | None = None
        self._sound: Decoding[AudioBlock] | None = None
        self._following: asyncio.Task[None] | None = None
        self._tracks: dict[str, str] = {}
        self._closed = False
        self._failure: Exception | None = None
        self._change = StateChange("connecting", time=time.time())
        self._changes: list[tuple[StateChange, asyncio.Event]] = [(self._change, asyncio.Event())]

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Subscriber cannot be pickled: make one in the process that uses it.")

    def __repr__(self) -> str:
        return f"<Subscriber {self.url} {self.state}>"

    # How it stands.

    @property
    def state(self) -> State:
        """`connecting`, `live`, `lost` or `ended`."""
        return self._change.state

    @property
    def decoder(self) -> str:
        """The name of the pictures' decoder, with its device if it has one; empty before one."""
        return self._pictures.decoder if self._pictures else ""

    @property
    def tracks(self) -> dict[str, str]:
        """What is received of the stream, such as `{"video": "h264", "audio": "opus"}`.

        As of the last connection; empty before the first.
        """
        return dict(self._tracks)

    async def states(self) -> AsyncIterator[StateChange]:
        """The state it is in, then every change, until it is closed or over.

        Of those that are not taken in time, the last 64 are kept.
        """
        change, following = self._changes[-1]
        while True:
            yield change
            await following.wait()
            places = [place for place, (_, event) in enumerate(self._changes) if event is following]
            later = self._changes[places[0] + 1 if places else 0 :]
            if not later:
                return
            change, following = later[0]

    # Opening and closing.

    async def open(self) -> Self:
        """What entering the context does, for those who have to `close` it elsewhere.

        Connects, and waits until the stream is live, unless `wait=False`. Raises ConnectError for
        what trying again cannot mend, and where the stream was refused or not there until
        `timeout`; TimedOutError where there was no answer at all.
        """
        if self._closed or self._following:
            raise ClosedError(f"The Subscriber of {self.url} can be entered once: make a new one.")
        self._start()
        try:
            if self._wait:
                await self._live()
        except BaseException:
            await self.close()
            raise
        return self

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Leave the server and end the decoders' threads; who waits for a picture waits no more.

        Takes two seconds at most. Safe to call again.
        """
        self._closed = True
        if self._following:
            self._following.cancel()
            await asyncio.wait([self._following])
        self.end_decoding()
        self._changes[-1][1].set()

    def end_decoding(self) -> None:
        """End the decoders' threads; a part of `close` that needs no loop."""
        for decoding in self._decodings:
            decoding.close()

    # Pictures and sound.

    @property
    def audio(self) -> Sound:
        """The blocks of sound, to be iterated over; see `Sound`."""
        return Sound(self)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Frame:
        frame = await self._next(self._video())
        if frame is None:
            raise StopAsyncIteration
        return frame

    async def read(self, timeout: float | None = None) -> Frame:  # noqa: ASYNC109 - as blocking
        """The next picture, waited for at most `timeout` seconds; None waits for ever.

        Raises TimedOutError; ClosedError once it is closed or the stream is over; ConnectError
        where it was lost for good.
        """
        return await self._read(self._video(), timeout, what="picture")

    def latest(self) -> Frame | None:
        """The next picture if one is here that was not handed out yet; never waits."""
        return self._video().take()

    def _video(self) -> Decoding[Frame]:
        self._check_entered()
        if self._pictures is None:
            raise ArgumentError("video: this Subscriber was made with video=False.")
        return self._pictures

    def _audio(self) -> Decoding[AudioBlock]:
        self._check_entered()
        if self._sound is None:
            raise ArgumentError("audio: this Subscriber was made without audio=True.")
        return self._sound

    @property
    def _decodings(self) -> list[Decoding[Any]]:
        return [each for each in (self._pictures, self._sound) if each is not None]

    def _check_entered(self) -> None:
        if not self._following:
            raise ClosedError(f"The Subscriber of {self.url} is to be used within its 'with'.")

    async def _next(self, decoding: Decoding[T]) -> T | None:
        """None when nothing will come any more; raises ConnectError where that is a failure."""
        made = await decoding.next()
        if made is None:
            self._raise_failure(decoding)
        return made

    async def _read(
        self,
        decoding: Decoding[T],
        timeout: float | None,  # noqa: ASYNC109
        *,
        what: str,
    ) -> T:
        if timeout is not None:
            check_timeout(timeout)
        try:
            async with asyncio.timeout(timeout) as waiting:
                made = await self._next(decoding)
        except TimeoutError:
            if not waiting.expired():
                raise
            raise self._timed_out(timeout, what) from None
        if made is None:
            raise self._nothing_more()
        return made

    # What the form that blocks says as well.

    def _raise_failure(self, decoding: Decoding[Any]) -> None:
        """Where nothing will come any more because something is wrong."""
        failure = decoding.failure or self._failure
        if failure and not self._closed:
            raise failure

    def _timed_out(self, timeout: float | None, what: str) -> TimedOutError:
        return TimedOutError(
            f"No {what} came from {self.url} within {timeout:g} s; the stream is {self.state}."
            + (f" {self._change.sentence}" if self._change.sentence else "")
        )

    def _nothing_more(self) -> ClosedError:
        reason = "is closed" if self._closed else "is at the stream's end"
        return ClosedError(f"The Subscriber of {self.url} {reason}.")

    # Following the stream.

    def _start(self) -> None:
        newest = not self._every_frame
        if "video" in self._kinds:
            self._pictures = Decoding(
                "decode video",
                self._make_video,
                CodedQueue(
                    pictures=True, max_units=self._max_queue, late_s=_LATE_S if newest else None
                ),
                newest=newest,
            )
        if "audio" in self._kinds:
            queue = CodedQueue(pictures=False, max_units=self._max_queue)
            self._sound = Decoding("decode audio", SoundDecoder, queue, newest=False)
        self._following = asyncio.create_task(self._follow())

    async def _live(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                async for change in self.states():
                    if change.state == "live":
                        return
        except TimeoutError:
            if self._change.sentence:
                raise ConnectError(self._change.sentence) from None
            raise TimedOutError(
                f"{self.url} was not live within {self._timeout:g} s: does the server answer, is "
                "the address right?"
            ) from None
        if self._failure:
            raise self._failure
        raise ClosedError(f"The Subscriber of {self.url} is closed.")

    async def _follow(self) -> None:
        reception: _Reception | None = None
        try:
            # With the timestamps kept, a picture from before we joined shows how old it is.
            following = follow(
                self._url,
                transport=self._transport,
                timeout_s=self._timeout,
                kinds=self._kinds,
                keep_timestamps=True,
                ice_servers=self._ice_servers,
            )
            async with aclosing(following) as events:
                async for event in events:
                    match event:
                        case Live(session):
                            self._tracks = {
                                track.kind: track.codec.name for track in session.tracks
                            }
                            reception = _Reception(session, self._pictures, self._sound)
                            self._set("live")
                        case Away(sentence, ended):
                            self._set("ended" if ended else "lost", sentence)
                            if not self._reconnect:
                                if not ended:
                                    self._failure = ConnectError(sentence)
                                break
                            if self._pictures and not self._every_frame:
                                self._pictures.clear()
                        case received if reception:
                            reception.put(received)
        except asyncio.CancelledError:
            for decoding in self._decodings:
                decoding.end()
            raise
        except Exception as error:  # what trying again can't mend, for those who wait to be told
            self._failure = error
            self._set("lost", str(error))
        finally:
            for decoding in self._decodings:
                decoding.finish()
            self._changes[-1][1].set()

    def _set(self, state: State, sentence: str = "") -> None:
        if (state, sentence) == (self._change.state, self._change.sentence):
            return
        self._change = StateChange(state, sentence, time.time())
        before = self._changes[-1][1]
        self._changes.append((self._change, asyncio.Event()))
        del self._changes[:-_OLD_CHANGES]
        before.set()
        if self._on_state:
            try:
                self._on_state(self._change)
            except Exception as error:  # a callback's mistake is not to end the stream
                context = {"message": "on_state has failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)


class Sound:
    """The sound of a Subscriber that was made with `audio=True`: iterate over it for its blocks.

    Blocks are in order and none is left out as long as no more than `max_queue` wait; then the
    oldest go. Their `capture_time` is by the same clock as the pictures'.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> AudioBlock:
        block = await self._subscriber._next(self._subscriber._audio())
        if block is None:
            raise StopAsyncIteration
        return block

    async def read(self, timeout: float | None = None) -> AudioBlock:  # noqa: ASYNC109
        """The next block; as `Subscriber.read`."""
        return await self._subscriber._read(self._subscriber._audio(), timeout, what="sound")

    def latest(self) -> AudioBlock | None:
        """The next block if one is here; never waits."""
        return self._subscriber._audio().take()


class _Reception:
    """What comes by one connection, on its way to the decoders."""

    def __init__(
        self,
        session: Session,
        pictures: Decoding[Frame] | None,
        sound: Decoding[AudioBlock] | None,
    ) -> None:
        self._session = session
        self._connections = [Connection(track.codec) for track in session.tracks]
        self._decodings: list[Decoding[Any] | None] = [
            pictures if track.kind == "video" else sound for track in session.tracks
        ]
        self._catching_up = CatchingUp()

    def put(self, received: Received) -> None:
        decoding = self._decodings[received.track]
        if decoding is None:
            return
        track = self._session.tracks[received.track]
        reported = track.receiver.clock.source == "sender_report"
        clock: Clock = "sender" if reported else "arrival"
        captured = received.unit.capture_time
        stale = (
            decoding.newest
            and captured is not None
            and self._catching_up.is_stale(captured, received.arrival)
        )
        decoding.put(Coded(received, clock, self._connections[received.track], stale))


def check_timeout(timeout: float) -> None:
    """Raise ArgumentError where that is no number of seconds to wait."""
    if not isinstance(timeout, int | float) or not 0 < timeout < float("inf"):
        raise ArgumentError(f"timeout: {timeout!r} is not a number of seconds above 0.")
