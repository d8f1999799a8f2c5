"""Receiving a stream as arrays, for those who block; `aio_subscriber.py` does the work."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import NoReturn, Self

from streamsocket.client.session import TransportWish
from streamsocket.errors import ClosedError
from streamsocket.frames import aio_subscriber as aio
from streamsocket.frames.aio_subscriber import MAX_QUEUE, check_timeout
from streamsocket.frames.background import Background
from streamsocket.frames.decoding import Decoding, T
from streamsocket.frames.frame import AudioBlock, Frame
from streamsocket.frames.hardware import SOFTWARE
from streamsocket.frames.states import State, StateChange

_CLOSE_S = 2.0


class Subscriber:
    """Receives a stream, from entering the context to leaving it; iterate over it for pictures.

        with ss.Subscriber("rtsp://host:8554/lobby") as sub:
            for frame in sub:
                frame.image

    It gives the newest picture, each once, and never one that a newer one has overtaken:
    `frame.dropped` tells how many a slow consumer has missed. With `every_frame=True` it gives them
    all, in order, as long as no more than `max_queue` wait; then it goes on with the newest
    keyframe.

    A lost stream is connected to again, for ever, while whoever waits for a picture waits on.

    It may be used by any number of threads, each picture going to one of them; closing it, by
    leaving the context or by `close`, ends the iterations of all. It is to be used in the process
    that made it: after a fork, make a new one.
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
        `on_state`: called at each change of state, in the thread that receives; it must not block.

        Raises ArgumentError.
        """
        self._subscriber = aio.Subscriber(
            url,
            every_frame=every_frame,
            video=video,
            audio=audio,
            transport=transport,
            timeout=timeout,
            wait=wait,
            reconnect=reconnect,
            max_queue=max_queue,
            damaged=damaged,
            decoder=decoder,
            ice_servers=ice_servers,
            on_state=on_state,
        )
        self._background: Background | None = None
        self._closed = False

    def __reduce__(self) -> NoReturn:
        self._subscriber.__reduce__()

    def __repr__(self) -> str:
        return repr(self._subscriber)

    def __del__(self, _warn: Callable[..., None] = warnings.warn) -> None:
        background = getattr(self, "_background", None)
        if background and not background.closed:
            _warn(f"{self!r} was not closed: use 'with'.", ResourceWarning, source=self)
            self.close()

    # How it stands.

    @property
    def url(self) -> str:
        """What it was told, without user and password."""
        return self._subscriber.url

    @property
    def state(self) -> State:
        """`connecting`, `live`, `lost` or `ended`."""
        return self._subscriber.state

    @property
    def decoder(self) -> str:
        """The name of the pictures' decoder, with its device if it has one; empty before one."""
        return self._subscriber.decoder

    @property
    def tracks(self) -> dict[str, str]:
        """What is received of the stream, such as `{"video": "h264", "audio": "opus"}`.

        As of the last connection; empty before the first.
        """
        return self._subscriber.tracks

    def states(self) -> Iterator[StateChange]:
        """The state it is in, then every change, until it is closed or over.

        Of those that are not taken in time, the last 64 are kept.
        """
        changes = self._subscriber.states()

        async def following() -> StateChange | None:
            return await anext(changes, None)

        background = self._running()
        while True:
            try:
                change = background.run(following())
            except ClosedError:
                if not self._ended:
                    raise
                return
            if change is None:
                return
            yield change

    # Opening and closing.

    def open(self) -> Self:
        """What entering the context does, for those who have to `close` it elsewhere.

        Connects, and waits until the stream is live, unless `wait=False`. Raises ConnectError for
        what trying again cannot mend, and where the stream was refused or not there until
        `timeout`; TimedOutError where there was no answer at all.
        """
        if self._closed or self._background:
            raise ClosedError(f"The Subscriber of {self.url} can be entered once: make a new one.")
        self._background = Background(f"Subscriber of {self.url}")
        try:
            self._background.run(self._subscriber.open())
        except BaseException:
            self.close()
            raise
        return self

    def close(self) -> None:
        """Leave the server and end all threads; who waits for a picture waits no more.

        Takes two seconds at most. Safe to call again, by any thread.
        """
        self._closed = True
        background = self._background
        if background is None or background.forked:
            return
        if background.inside:
            background.close()  # nobody waits: this is the thread that has to end
            return
        try:
            background.run(self._subscriber.close(), _CLOSE_S)
        except (ClosedError, TimeoutError):
            pass  # somebody else has closed it, or the thread is to be ended regardless
        finally:
            background.close()
            self._subscriber.end_decoding()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    # Pictures and sound.

    @property
    def audio(self) -> Sound:
        """The blocks of sound, to be iterated over; see `Sound`."""
        return Sound(self)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Frame:
        return self._next(self._subscriber._video)

    def read(self, timeout: float | None = None) -> Frame:
        """The next picture, waited for at most `timeout` seconds; None waits for ever.

        Raises TimedOutError; ClosedError once it is closed or the stream is over; ConnectError
        where it was lost for good.
        """
        return self._read(self._subscriber._video, timeout, "picture")

    def latest(self) -> Frame | None:
        """The next picture if one is here that was not handed out yet; never waits."""
        self._running().check()
        return self._subscriber.latest()

    def show(self, *, width: int | None = None) -> None:
        """Show the stream in a Jupyter notebook, below the cell, until the cell is interrupted.

        `width`: of what is shown, in pixels; by default the picture's own. Raises
        StreamSocketError outside of a notebook.
        """
        from streamsocket.frames.notebook import show

        show(self, width=width)

    # Waiting: for the decoder's thread, without a detour by the one that receives.

    def _next(self, which: Callable[[], Decoding[T]]) -> T:
        try:
            made = self._wait(which(), None)
        except ClosedError:
            if not self._ended:
                raise
            made = None
        if made is None:
            raise StopIteration
        return made

    def _read(self, which: Callable[[], Decoding[T]], timeout: float | None, what: str) -> T:
        if timeout is not None:
            check_timeout(timeout)
        self._running().check()
        decoding = which()
        made = self._wait(decoding, timeout)
        if made is not None:
            return made
        if decoding.over:
            raise self._subscriber._nothing_more()
        raise self._subscriber._timed_out(timeout, what)

    def _wait(self, decoding: Decoding[T], timeout: float | None) -> T | None:
        self._running().check()
        made = decoding.wait(timeout)
        if made is None and decoding.over:
            self._subscriber._raise_failure(decoding)
        return made

    def _running(self) -> Background:
        if self._background is None:
            raise ClosedError(f"The Subscriber of {self.url} is to be used within its 'with'.")
        return self._background

    @property
    def _ended(self) -> bool:
        """It has been closed, by its user or by the interpreter's end."""
        background = self._background
        if background is None:
            return False
        return self._closed or (background.closed and not background.forked)


class Sound:
    """The sound of a Subscriber that was made with `audio=True`: iterate over it for its blocks.

    Blocks are in order and none is left out as long as no more than `max_queue` wait; then the
    oldest go. Their `capture_time` is by the same clock as the pictures'. It may be read by
    another thread than the pictures.
    """

    def __init__(self, subscriber: Subscriber) -> None:
        self._subscriber = subscriber

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> AudioBlock:
        return self._subscriber._next(self._subscriber._subscriber._audio)

    def read(self, timeout: float | None = None) -> AudioBlock:
        """The next block; as `Subscriber.read`."""
        return self._subscriber._read(self._subscriber._subscriber._audio, timeout, "sound")

    def latest(self) -> AudioBlock | None:
        """The next block if one is here; never waits."""
        self._subscriber._running().check()
        return self._subscriber._subscriber.audio.latest()
