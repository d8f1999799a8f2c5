"""The recorder as the server sees it: one child process that is started, fed and ended."""

from __future__ import annotations

import asyncio
import logging
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import suppress

from streamsocket.child import describe_exit, end_child, start_child
from streamsocket.errors import ParseError
from streamsocket.record.link import Decoder, Event
from streamsocket.record.rules import Rule, rules_to_json
from streamsocket.taps.feed import Feed
from streamsocket.taps.packets import Packets

_log = logging.getLogger("streamsocket.record")

_WORKER = "streamsocket.record.worker"
_RECEIVE_SIZE = 1 << 16

# A recording is in no hurry: less would only cost more system calls.
_GATHER_S = 0.1

# By how much the recorder may be behind, because the disk stalls.
_MAX_AGE_S = 10.0
_MAX_BYTES = 64 << 20

_FIRST_RETRY_S = 1.0
_LONGEST_RETRY_S = 30.0
_HEALTHY_AFTER_S = 60.0

# Every file that is open has to be finished, on a disk that may be slow.
_STOP_WAIT_S = 5.0


class RecorderProcess:
    """Runs the recorder, and starts it again when it crashes, after 1 s at first, 30 s at most.

    `on_start` is called whenever it runs: what it is to follow has to be said anew. Belongs to one
    event loop, which must know `add_reader`.
    """

    def __init__(
        self,
        rules: Sequence[Rule],
        loop: asyncio.AbstractEventLoop,
        on_start: Callable[[], None],
        on_event: Callable[[Event], None],
    ) -> None:
        self.feed: Feed | None = None
        """The way to the process; None while there is none."""
        self.message: str | None = None
        """Why there is none, a sentence."""
        self._rules = rules
        self._loop = loop
        self._on_start = on_start
        self._on_event = on_event
        self._socket: socket.socket | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._decoder = Decoder()
        self._started = 0.0
        self._retry_s = _FIRST_RETRY_S
        self._retry: asyncio.TimerHandle | None = None
        self._stopping = False
        self._exit_task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process and self.feed else None

    def start(self) -> None:
        """Start the process; where the system refuses, try again later."""
        self._retry = None
        try:
            self._process, self._socket = start_child(_WORKER, rules_to_json(self._rules))
        except OSError as error:
            self._retry_later(f"The recorder's process cannot be started: {error}.")
            return
        self._decoder = Decoder()
        self._started = self._loop.time()
        self.message = None
        self.feed = Feed(
            self._loop,
            self._socket,
            gather_s=_GATHER_S,
            max_age_s=_MAX_AGE_S,
            max_bytes=_MAX_BYTES,
        )
        self._loop.add_reader(self._socket, self._read)
        self._on_start()

    async def stop(self) -> None:
        """Let it finish its files, and end it. Nothing of it is left behind."""
        self._stopping = True
        if self._retry:
            self._retry.cancel()
        if self.feed and self._socket:
            await self.feed.drain(_STOP_WAIT_S)
            if self._socket:
                with suppress(OSError):  # it is gone already
                    self._socket.shutdown(socket.SHUT_WR)
        if self._process:
            await end_child(self._process, stop_wait_s=_STOP_WAIT_S)
        self._hang_up()
        if self._exit_task:
            await self._exit_task

    def _read(self) -> None:
        assert self._socket
        try:
            data = self._socket.recv(_RECEIVE_SIZE)
            for message in self._decoder.feed(data):
                if not isinstance(message, Packets):
                    self._on_event(message)
        except BlockingIOError:
            return
        except (OSError, ParseError):
            data = b""
        if not data:
            self._hang_up()
            if self._process:
                self._exit_task = self._loop.create_task(self._after_exit(self._process))

    async def _after_exit(self, process: subprocess.Popen[bytes]) -> None:
        await end_child(process)
        if self._stopping:
            return
        if self._loop.time() - self._started > _HEALTHY_AFTER_S:
            self._retry_s = _FIRST_RETRY_S
        self._retry_later(f"The recorder crashed ({describe_exit(process.returncode)}).")

    def _retry_later(self, reason: str) -> None:
        self.message = f"{reason} It starts again in {self._retry_s:g} s."
        _log.warning(self.message)
        self._retry = self._loop.call_later(self._retry_s, self.start)
        self._retry_s = min(2 * self._retry_s, _LONGEST_RETRY_S)

    def _hang_up(self) -> None:
        if self.feed:
            self.feed.close()
            self.feed = None
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None
