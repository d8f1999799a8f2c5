"""A source as the server sees it: a child process that is started, listened to and ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from streamsocket.child import describe_exit, end_child, start_child
from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.sources import link
from streamsocket.sources.spec import SourceSpec, spec_to_json
from streamsocket.sources.state import SourceStatus

_WORKER = "streamsocket.sources.worker"

# Small enough for the allocator to have it at hand: a larger buffer would be mapped and unmapped
# by the kernel at every wakeup.
_RECEIVE_SIZE = 1 << 16
# One wakeup takes no more than this, so that a source in a rush leaves the loop to others too.
_RECEIVES_A_WAKEUP = 16

_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 30.0
_MAX_MESSAGE = 1000

# A source that ran for so long before it crashed is started again as if it were the first time.
_HEALTHY_AFTER_S = 60.0


class Publication(Protocol):
    """The way into a stream of the hub."""

    def write(self, track: int, batch: Batch) -> None:
        """Take a batch of the track with that index."""

    def flush(self) -> None:
        """Send on what was written."""

    def close(self) -> None:
        """The publisher leaves."""


Publish = Callable[[str, Sequence[Track], Callable[[], None] | None], Publication]


class SourceProcess:
    """Runs a source in a process of its own and hands what it makes to the hub.

    A source that crashes is started again, after 1 s at first and 30 s at most; one that says
    itself why it cannot go on is not. Belongs to one event loop, which must know `add_reader`.
    """

    def __init__(
        self,
        name: str,
        spec: SourceSpec,
        loop: asyncio.AbstractEventLoop,
        publish: Publish,
        on_status: Callable[[SourceStatus], None] = lambda status: None,
    ) -> None:
        self.name = name
        self.spec = spec
        self.status = SourceStatus()
        self._loop = loop
        self._publish = publish
        self._on_status = on_status
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._decoder = link.Decoder()
        self._publication: Publication | None = None
        self._started = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._retry: asyncio.TimerHandle | None = None
        self._explained = False
        self._crash: str | None = None
        self._exit_task: asyncio.Task[None] | None = None
        self._muted = False
        self._hidden = False

    @property
    def over(self) -> bool:
        """Whether it has ended, or failed, for good."""
        return self._explained and self.status.state in ("ended", "failed")

    def start(self) -> None:
        """Start the process. Raises `StreamSocketError` where the system refuses."""
        try:
            self._process, ours = start_child(_WORKER, spec_to_json(self.spec))
        except OSError as error:
            raise StreamSocketError(
                f"The process of '{self.name}' cannot be started: {error}."
            ) from error
        self._socket = ours
        self._decoder = link.Decoder()
        self._started = self._loop.time()
        self._explained = False
        self._crash = None
        self._loop.add_reader(ours, self._read)
        if self._muted:
            self._tell(link.MUTE)
        if self._hidden:
            self._tell(link.HIDE)

    async def stop(self) -> None:
        """End the process: asked first, then made to. Nothing of it is left behind."""
        if self._retry:
            self._retry.cancel()
        self._explained = True  # from here on its end is no crash
        if self._socket:
            self._tell(link.STOP)
        if self._process:
            await end_child(self._process)
        self._hang_up()
        if self._exit_task:
            await self._exit_task
        if self.status.state in ("starting", "live"):
            self._set(state="ended")

    def mute(self, muted: bool) -> None:
        """Have a microphone's source send silence, or its sound again."""
        self._muted = muted
        self._tell(link.MUTE if muted else link.UNMUTE)

    def hide_picture(self, hidden: bool) -> None:
        """Have a camera's source close it and send a dark picture, or open it again."""
        self._hidden = hidden
        self._tell(link.HIDE if hidden else link.SHOW)

    def _request_keyframe(self) -> None:
        self._tell(link.KEYFRAME)

    def _tell(self, command: bytes) -> None:
        if self._socket:
            try:
                self._socket.send(command)
            except OSError:
                pass  # it is gone, which reading notices

    def _read(self) -> None:
        assert self._socket
        try:
            for _ in range(_RECEIVES_A_WAKEUP):
                data = self._socket.recv(_RECEIVE_SIZE)
                if not data:
                    self._disconnected()
                    break
                for message in self._decoder.feed(data):
                    if isinstance(message, link.TrackBatch):
                        if self._publication:
                            self._publication.write(message.track, message.batch)
                    else:
                        self._handle(message)
                if len(data) < _RECEIVE_SIZE:
                    break
        except BlockingIOError:
            pass
        except (OSError, ParseError) as error:
            self._crash = str(error)
            self._disconnected()
        if self._publication:
            self._publication.flush()

    def _handle(self, event: link.Event) -> None:
        match event:
            case link.Tracks(tracks, makes_keyframes):
                self._go_live(tracks, self._request_keyframe if makes_keyframes else None)
            case link.Note(text):
                notes = [self.status.message, text] if self.status.message else [text]
                self._set(message=" ".join(notes)[:_MAX_MESSAGE])
            case link.Waiting(text):
                self._set(state="waiting", message=text)
            case link.Live(text):
                self._set(state="live", message=text)
            case link.Progress(position_s, duration_s, loops):
                self._set(position_s=position_s, duration_s=duration_s, loops=loops)
            case link.Ended():
                self._explained = True
                self._set(state="ended")
            case link.Failed(text, final=True):
                self._explained = True
                self._set(state="failed", message=text)
            case link.Failed(text):
                self._crash = text

    def _go_live(
        self, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> None:
        try:
            self._publication = self._publish(self.name, tracks, request_keyframe)
        except StreamSocketError as error:
            self._explained = True
            self._set(state="failed", message=str(error))
            self._tell(link.STOP)
        else:
            if self.status.state == "waiting":
                self._set(state="live", message=None)  # what it waited for is here
            else:
                self._set(state="live")

    def _disconnected(self) -> None:
        """The process hung up: see to its end, and to its return where it crashed."""
        self._hang_up()
        if self._process:
            self._exit_task = self._loop.create_task(self._after_exit(self._process))

    async def _after_exit(self, process: subprocess.Popen[bytes]) -> None:
        await end_child(process)
        if self._explained:
            return
        if self._loop.time() - self._started > _HEALTHY_AFTER_S:
            self._retry_s = _FIRST_RETRY_S
        reason = self._crash or describe_exit(process.returncode)
        self._retry_later(f"The source of '{self.name}' crashed ({reason}).")

    def _retry_later(self, reason: str) -> None:
        message = f"{reason} It starts again in {self._retry_s:g} s."
        self._set(state="failed", message=message)
        self._retry = self._loop.call_later(self._retry_s, self._start_again)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _start_again(self) -> None:
        self._set(state="starting", message=None)
        try:
            self.start()
        except StreamSocketError as error:
            self._retry_later(str(error))

    def _hang_up(self) -> None:
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
        if self._publication:
            self._publication.flush()
            self._publication.close()
            self._publication = None

    def _set(self, **changes: Any) -> None:
        self.status = replace(self.status, **changes)
        self._on_status(self.status)
