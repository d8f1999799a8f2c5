"""The server's end of the line to the recorder: what streams flush goes into one socket.

A recording is in no hurry, so that what all streams flush is gathered and written together, a few
times a second. A recorder that does not keep up, because the disk stalls, is waited for within
bounds; past them, each stream goes on at its next keyframe.
"""

from __future__ import annotations

import asyncio
import socket
from asyncio import AbstractEventLoop, TimerHandle
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from streamsocket.hub.track import StreamTrack
from streamsocket.record.link import Event, batch_header, encode_event

GATHER_S = 0.1
"""The longest that anything waits for company; less would only cost more system calls."""
GATHER_BYTES = 1 << 16

MAX_AGE_S = 10.0
MAX_BYTES = 64 << 20
"""By how much the recorder may be behind."""

_SEND_BUFFER = 1 << 20
_DRAIN_POLL_S = 0.02


class Feed:
    """Owns the writing side of the socket; the socket itself is for its owner to close."""

    def __init__(self, loop: AbstractEventLoop, connection: socket.socket) -> None:
        self.overrun = False
        """The recorder is too far behind: it gets nothing more until it has caught up by half."""
        self._loop = loop
        self._socket = connection
        self._gathered: list[bytes | bytearray] = []
        self._gathered_bytes = 0
        self._timer: TimerHandle | None = None
        self._waiting: deque[tuple[float, memoryview]] = deque()
        self._waiting_bytes = 0
        self._closed = False
        with suppress(OSError):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def event(self, event: Event) -> None:
        """Tell the recorder something, after all that was gathered before."""
        self.gather(encode_event(event), b"")

    def gather(self, head: bytes, body: bytes | bytearray) -> None:
        """Take one message in two parts; it is written soon."""
        if self._closed:
            return
        if self._timer is None:
            self._timer = self._loop.call_later(GATHER_S, self._write_gathered)
        self._gathered += (head, body)
        self._gathered_bytes += len(head) + len(body)
        if self._gathered_bytes >= GATHER_BYTES:
            self._write_gathered()

    def close(self) -> None:
        """Write nothing more."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
        if self._waiting:
            self._loop.remove_writer(self._socket)
            self._waiting.clear()

    async def drain(self, within_s: float) -> None:
        """Return when everything is written, or after that time."""
        if self._gathered:
            self._write_gathered()
        deadline = self._loop.time() + within_s
        while self._waiting and self._loop.time() < deadline:  # noqa: ASYNC110 - ends either way
            await asyncio.sleep(_DRAIN_POLL_S)

    def _write_gathered(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        data = memoryview(b"".join(self._gathered))
        self._gathered.clear()
        self._gathered_bytes = 0
        sent = 0
        if not self._waiting:
            sent = self._send(data)
            if self._closed or sent == len(data):
                return
            self._loop.add_writer(self._socket, self._writable)
        self._waiting.append((self._loop.time(), data[sent:]))
        self._waiting_bytes += len(data) - sent
        self._judge()
        if self._waiting_bytes > 2 * MAX_BYTES:
            # Not even what has to be said about the streams fits any more: begin anew.
            self.close()
            self._socket.shutdown(socket.SHUT_RDWR)

    def _writable(self) -> None:
        waiting = self._waiting
        while waiting:
            since, data = waiting[0]
            sent = self._send(data)
            if self._closed:
                return
            self._waiting_bytes -= sent
            if sent < len(data):
                waiting[0] = since, data[sent:]
                break
            waiting.popleft()
        else:
            self._loop.remove_writer(self._socket)
        self._judge()

    def _send(self, data: memoryview) -> int:
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0
        except OSError:
            self.close()  # it is gone, which its owner notices when reading
            return 0

    def _judge(self) -> None:
        """Say whether the recorder is too far behind, or near enough again."""
        age = self._loop.time() - self._waiting[0][0] if self._waiting else 0.0
        share = 0.5 if self.overrun else 1.0
        self.overrun = self._waiting_bytes > share * MAX_BYTES or age > share * MAX_AGE_S


class Tap:
    """One stream's way into the feed: what the stream calls at every flush."""

    def __init__(self, feed: Feed, recording: int, tracks: Sequence[StreamTrack]) -> None:
        self.skipped_packets = 0
        """What the recorder was too late for."""
        self._feed = feed
        self._recording = recording
        self._has_video = any(track.is_video for track in tracks)
        self._skips = False
        # A recording that begins now has the current group of pictures, too.
        for track in tracks:
            for batch in track.cache.group() if track.is_video else ():
                if feed.overrun:
                    self._skips = True
                    return
                feed.gather(batch_header(recording, track.index, batch), batch.buffer)

    def __call__(self, tracks: Sequence[StreamTrack]) -> None:
        """Pass on what is pending of these tracks."""
        feed, recording = self._feed, self._recording
        if feed.overrun or self._skips:
            self._skips = feed.overrun or not self._can_resume(tracks)
            if self._skips:
                self.skipped_packets += sum(
                    len(batch.sizes) for track in tracks for batch in track.pending
                )
                return
        for track in tracks:
            index = track.index
            for batch in track.pending:
                feed.gather(batch_header(recording, index, batch), batch.buffer)

    def _can_resume(self, tracks: Sequence[StreamTrack]) -> bool:
        return not self._has_video or any(
            batch.keyframe for track in tracks if track.is_video for batch in track.pending
        )
