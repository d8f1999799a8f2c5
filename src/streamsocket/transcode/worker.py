"""A transcoder's process: `python -m streamsocket.transcode.worker TASK [SOCKET]`.

TASK says what for, as JSON. One thread reads, decodes, encodes and writes. Between two pictures it
reads all that has come, so that it knows how far behind it is.
"""

from __future__ import annotations

import select
import socket
import sys
import time
import traceback
from collections import deque
from contextlib import suppress

from streamsocket.child import inherited_socket
from streamsocket.matching.target import Target
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.taps.assembler import Assembler
from streamsocket.taps.packets import Packets, batch_header
from streamsocket.transcode.backlog import Backlog
from streamsocket.transcode.link import (
    Begin,
    Decoder,
    Event,
    Failed,
    KeyframeWanted,
    Made,
    MakeKeyframe,
    Skipped,
    Trouble,
    encode_event,
    task_from_json,
)
from streamsocket.transcode.pictures import Pictures
from streamsocket.transcode.sound import Sound
from streamsocket.transcode.trouble import Troubles

_RECEIVE_SIZE = 1 << 18
_RECEIVES_A_TURN = 64

_TICK_S = 1.0
_KEYFRAME_REQUESTS_APART_S = 1.0

_SOUND_BEFORE_S = 0.1
"""Of the sound that came before the process was ready, so much is kept."""


class Worker:
    """What the process does with the server's messages. Times are of `time.monotonic()`."""

    def __init__(self, stream: str, target: Target, connection: socket.socket) -> None:
        self._target = target
        self._socket = connection
        self._troubles = Troubles(stream, target.codec)
        self._assembler: Assembler | None = None
        self._sequence: int | None = None
        self._work: Pictures | Sound | None = None
        self._clock_rate = 90_000
        self._backlog = Backlog(self._clock_rate)
        self._live = False
        """It has caught up with what came while it began."""
        self._waiting_sound: deque[AccessUnit] = deque()
        self._keyframe_requested_at = -_KEYFRAME_REQUESTS_APART_S

    @property
    def busy(self) -> bool:
        """Whether there is something to be done."""
        return bool(self._backlog or self._waiting_sound)

    def handle(self, message: object, now: float) -> None:
        """Take one message of the server's."""
        match message:
            case Packets():
                self._take(message, now)
            case Begin(track):
                self._begin(track)
            case MakeKeyframe() if isinstance(self._work, Pictures):
                self._work.request_keyframe()
            case Skipped(pictures):
                self._troubles.skip(pictures, now)

    def work(self, now: float) -> None:
        """Decode one picture that waits, or all sound that does, and encode what comes out."""
        if isinstance(self._work, Pictures):
            self._work_on_picture(self._work, now)
        elif isinstance(self._work, Sound):
            self._work_on_sound(self._work, now)

    def _work_on_picture(self, pictures: Pictures, now: float) -> None:
        backlog = self._backlog
        skipped = backlog.skipped
        following = backlog.next()
        if following is None:
            return
        unit, is_live = following
        errors, waiting = pictures.errors, pictures.skipped
        self._send(pictures.take(unit, encode=is_live))
        if pictures.errors > errors or pictures.skipped > waiting or unit.damaged:
            self._want_keyframe(now)
        if self._live:
            self._troubles.skip(backlog.skipped - skipped, now)
        self._live = self._live or (pictures.encoded > 0 and not backlog)
        self._troubles.note(pictures.errors - errors, pictures.encoded, now)

    def _work_on_sound(self, sound: Sound, now: float) -> None:
        waiting, self._waiting_sound = self._waiting_sound, deque()
        if waiting and not self._live:
            self._live = True
            # Who listens would hear all that came meanwhile late, or too fast.
            newest = waiting[-1].timestamp
            while newest - waiting[0].timestamp > _SOUND_BEFORE_S * self._clock_rate:
                waiting.popleft()
        for unit in waiting:
            errors = sound.errors
            self._send(sound.take(unit))
            self._troubles.note(sound.errors - errors, sound.encoded, now)

    def tick(self, now: float) -> None:
        """What is due every second: to say what is wrong."""
        if self._troubles.changed(now):
            self._tell(Trouble(self._troubles.message))

    def fail(self, error: Exception) -> None:
        """Say why the process ends."""
        where = traceback.extract_tb(error.__traceback__)[-1]
        text = f"{type(error).__name__}: {error} ({where.filename}, line {where.lineno})"
        with suppress(OSError):
            self._tell(Failed(text[:1000]))

    def _begin(self, track: Track) -> None:
        if self._assembler is None:
            self._assembler = Assembler([track], [0])
        else:
            self._assembler.begin_publication([track])
        if self._work:
            self._send(self._work.begin(track))
        elif track.kind == "video":
            self._work = Pictures(track, self._target.codec, self._made)
        else:
            self._work = Sound(track, self._target, self._made)
        self._clock_rate = track.codec.clock_rate
        self._backlog = Backlog(self._clock_rate)
        self._waiting_sound.clear()

    def _take(self, packets: Packets, now: float) -> None:
        assert self._assembler
        expected = self._sequence
        is_gap = expected is not None and packets.sequence > expected and not packets.keyframe
        self._sequence = max(expected or 0, packets.sequence + len(packets.sizes))
        units = self._assembler.take(packets)
        if isinstance(self._work, Sound):
            self._waiting_sound += units
            return
        for unit in units:
            self._backlog.add(unit, now)
        if is_gap or self._backlog.wants_keyframe:
            self._want_keyframe(now)

    def _want_keyframe(self, now: float) -> None:
        if now - self._keyframe_requested_at >= _KEYFRAME_REQUESTS_APART_S:
            self._keyframe_requested_at = now
            self._tell(KeyframeWanted())

    def _made(self, track: Track) -> None:
        self._tell(Made(track))

    def _send(self, batches: list[Batch]) -> None:
        if batches:
            self._socket.sendall(b"".join(batch_header(0, 0, b) + b.buffer for b in batches))

    def _tell(self, event: Event) -> None:
        self._socket.sendall(encode_event(event))


def main(arguments: list[str]) -> None:
    """Transcode until the server hangs up."""
    stream, target = task_from_json(arguments[0])
    connection = inherited_socket(arguments[1:])
    worker = Worker(stream, target, connection)
    with suppress(ConnectionError, KeyboardInterrupt):
        try:
            _run(worker, connection)
        except (ConnectionError, KeyboardInterrupt):
            raise
        except Exception as error:
            worker.fail(error)
            raise SystemExit(1) from error


def _run(worker: Worker, connection: socket.socket) -> None:
    decoder = Decoder()
    tick_at = time.monotonic()
    while True:
        for _ in range(_RECEIVES_A_TURN):
            wait_s = 0.0 if worker.busy else max(0.0, tick_at - time.monotonic())
            readable, _, _ = select.select([connection], [], [], wait_s)
            if not readable:
                break
            data = connection.recv(_RECEIVE_SIZE)
            if not data:
                return
            now = time.monotonic()
            for message in decoder.feed(data):
                worker.handle(message, now)
        now = time.monotonic()
        worker.work(now)
        if now >= tick_at:
            worker.tick(now)
            tick_at = now + _TICK_S


if __name__ == "__main__":
    main(sys.argv[1:])
