"""A source's end of the line to the server: events and batches up, commands down, waiting between.

Everything here belongs to the source's own process and its main thread.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections.abc import Iterable

from streamsocket.sources import link
from streamsocket.sources.waker import Waker

# A keyframe of a very large picture should fit, so that the source is never kept from its clock.
_SEND_BUFFER = 4 << 20


class StoppedError(Exception):
    """The server asked the source to end, or is gone."""


class Outlet:
    """The socket to the server, and the only place where a source waits."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._keyframe_wanted = False
        self.muted = False
        """Silence is to be sent instead of the sound."""
        self.hidden = False
        """A dark picture is to be sent instead of the camera's."""
        sock.setblocking(True)
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def event(self, event: link.Event) -> None:
        """Tell the server something. Raises `StoppedError`."""
        self._send(link.encode_event(event))

    def batches(self, batches: Iterable[link.TrackBatch]) -> None:
        """Hand batches over, all in one write. Raises `StoppedError`."""
        self._send(b"".join(link.encode_batch(track, batch) for track, batch in batches))

    def wait_until(self, deadline: float) -> None:
        """Wait until that moment of `time.monotonic()`, minding the server's commands.

        Raises `StoppedError` as soon as the server wants the source to end.
        """
        while True:
            remaining = deadline - time.monotonic()
            readable, _, _ = select.select([self._socket], [], [], max(0.0, remaining))
            if readable:
                self._take_commands()
            elif remaining <= 0:
                return

    def wait_for(self, waker: Waker, deadline: float) -> None:
        """The same, but only until a command comes or another thread rings."""
        remaining = max(0.0, deadline - time.monotonic())
        both: list[socket.socket | Waker] = [self._socket, waker]
        readable, _, _ = select.select(both, [], [], remaining)
        if waker in readable:
            waker.reset()
        if self._socket in readable:
            self._take_commands()

    def keyframe_wanted(self) -> bool:
        """Whether a keyframe was asked for since the last time this was called."""
        wanted = self._keyframe_wanted
        self._keyframe_wanted = False
        return wanted

    def _take_commands(self) -> None:
        try:
            commands = self._socket.recv(256)
        except OSError as error:
            raise StoppedError from error
        if not commands or link.STOP in commands:
            raise StoppedError
        for command in (commands[at : at + 1] for at in range(len(commands))):
            if command == link.KEYFRAME:
                self._keyframe_wanted = True
            elif command in (link.MUTE, link.UNMUTE):
                self.muted = command == link.MUTE
            elif command in (link.HIDE, link.SHOW):
                self.hidden = command == link.HIDE

    def _send(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise StoppedError from error
