"""A transcoder as the server sees it: a child process that is started, fed and ended."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import time
from collections.abc import Callable, Sequence

from streamsocket.backoff import Backoff
from streamsocket.child import describe_exit, end_child, start_child
from streamsocket.errors import ParseError
from streamsocket.matching.target import Target
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.taps.feed import Feed
from streamsocket.taps.packets import Packets, batch_header
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
    task_to_json,
)
from streamsocket.transcode.outcome import known_outcome
from streamsocket.wording import codec_name

_WORKER = "streamsocket.transcode.worker"

_RECEIVE_SIZE = 1 << 16
# One wakeup takes no more than this, so that others have their turn.
_RECEIVES_A_WAKEUP = 16

_FIRST_RETRY_S = 0.2
_LONGEST_RETRY_S = 10.0
_HEALTHY_AFTER_S = 30.0

# By how much the process may be behind. It reads in between all that it does, and skips itself what
# is too old to be shown: this is for one that does not run at all.
_MAX_AGE_S = 5.0
_MAX_BYTES = 16 << 20


class Transcoder:
    """Turns one live track into another codec, in a process of its own.

    The process is started again when it crashes, after 0.2 s at first and 10 s at most. Belongs to
    one event loop, which must know `add_reader`.
    """

    def __init__(
        self,
        name: str,
        track: Track,
        target: Target,
        loop: asyncio.AbstractEventLoop,
        *,
        on_track: Callable[[Track], None],
        on_batches: Callable[[list[Batch]], None],
        on_message: Callable[[str | None], None] = lambda message: None,
        on_keyframe_wanted: Callable[[], None] = lambda: None,
        on_started: Callable[[], None] = lambda: None,
    ) -> None:
        """`name` is the stream's, for messages.

        `on_track` is told what comes out as soon as it is known, and whenever it changes: within
        `start` where no encoder is needed to know it. `on_batches` is given what was made, with
        timestamps that count from the stream's beginning in ticks of the new track's clock.
        `on_message` is told what is wrong, a sentence, and None when it is over;
        `on_keyframe_wanted` that nothing can be made before the publisher sends a keyframe.
        `on_started` is told that a process has begun: it is to be given what it needs to know.
        """
        self._name = name
        self._track = track
        self._target = target
        self._loop = loop
        self._on_track = on_track
        self._on_batches = on_batches
        self._on_message = on_message
        self._on_keyframe_wanted = on_keyframe_wanted
        self._on_started = on_started
        self._is_video = track.kind == "video"
        self._made: Track | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._feed: Feed | None = None
        self._decoder = Decoder()
        self._skips = False
        self._skipped = 0
        self._started = 0.0
        self._backoff = Backoff(_FIRST_RETRY_S, _LONGEST_RETRY_S)
        self._retry: asyncio.TimerHandle | None = None
        self._stopping = False
        self._failure: str | None = None
        self._crashed = False
        self._is_fruitless = False
        """Two processes in a row have ended before they made anything, perhaps of what they were
        given to begin with."""
        self._message: str | None = None
        self._exit_task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None while there is none."""
        return self._process.pid if self._process and self._feed else None

    def start(self) -> None:
        """Start the process; where the system refuses, that is tried again later."""
        if known := known_outcome(self._track, self._target):
            self._tell_track(known)
        self._spawn()

    def write(self, batches: Sequence[Batch], origin: int) -> None:
        """Take batches as a hub's track has them; `origin` is the stream's beginning in its time.

        What was written before is told by its sequence number, and ignored.
        """
        feed = self._feed
        if feed is None:
            return
        for batch in batches:
            if feed.overrun:
                self._skips = True
            elif self._skips and (batch.keyframe or not self._is_video):
                self._skips = False
                feed.gather(encode_event(Skipped(self._skipped)))
                self._skipped = 0
            if self._skips:
                self._skipped += batch.complete
            else:
                feed.gather(batch_header(0, 0, batch, batch.timestamp - origin), batch.buffer)
        feed.flush()
        if self._skips and not feed.overrun:
            self._on_keyframe_wanted()

    def begin_publication(self, track: Track) -> None:
        """Another publisher goes on: its codec is the same, the parameters may be others."""
        self._track = track
        self._tell(Begin(track))

    def request_keyframe(self) -> None:
        """Make the next picture a keyframe."""
        self._tell(MakeKeyframe())

    async def stop(self) -> None:
        """End the process. Nothing of it is left behind."""
        self._stopping = True
        if self._retry:
            self._retry.cancel()
        self._hang_up()
        if self._process:
            await end_child(self._process)
        if self._exit_task:
            await self._exit_task

    def _spawn(self) -> None:
        self._retry = None
        try:
            self._process, self._socket = start_child(
                _WORKER, task_to_json(self._name, self._target)
            )
        except OSError as error:
            self._retry_later(f"The process that {self._does} cannot be started: {error}.")
            return
        self._started = time.monotonic()
        self._decoder = Decoder()
        self._failure = None
        self._skips = False
        self._skipped = 0
        self._feed = Feed(
            self._loop, self._socket, gather_s=None, max_age_s=_MAX_AGE_S, max_bytes=_MAX_BYTES
        )
        self._loop.add_reader(self._socket, self._read)
        self._tell(Begin(self._track))
        if not self._is_fruitless:
            self._on_started()

    @property
    def _does(self) -> str:
        return f"turns '{self._name}' into {codec_name(self._target.codec)}"

    def _tell(self, event: Event) -> None:
        if self._feed:
            self._feed.gather(encode_event(event))
            self._feed.flush()

    def _read(self) -> None:
        assert self._socket
        batches: list[Batch] = []
        try:
            for _ in range(_RECEIVES_A_WAKEUP):
                data = self._socket.recv(_RECEIVE_SIZE)
                if not data:
                    self._disconnected()
                    break
                for message in self._decoder.feed(data):
                    if isinstance(message, Packets):
                        batches.append(_batch(message))
                        self._recovered()
                        continue
                    # What was made before goes out before.
                    if batches:
                        self._on_batches(batches)
                        batches = []
                    self._handle(message)
                if len(data) < _RECEIVE_SIZE or self._socket is None:
                    break
        except BlockingIOError:
            pass
        except OSError:
            self._disconnected()
        except ParseError as error:
            self._failure = str(error)
            self._disconnected()
        if batches:
            self._on_batches(batches)

    def _handle(self, event: Event) -> None:
        match event:
            case Made(track):
                self._tell_track(track)
            case KeyframeWanted():
                self._on_keyframe_wanted()
            case Trouble(text):
                self._say(text)
            case Failed(text):
                self._failure = text

    def _tell_track(self, track: Track) -> None:
        if track != self._made:
            self._made = track
            self._on_track(track)

    def _say(self, message: str | None) -> None:
        if message != self._message:
            self._message = message
            self._on_message(message)

    def _recovered(self) -> None:
        if self._crashed:
            self._crashed = self._is_fruitless = False
            self._say(None)

    def _disconnected(self) -> None:
        self._hang_up()
        if self._process and not self._stopping:
            self._exit_task = self._loop.create_task(self._after_exit(self._process))

    async def _after_exit(self, process: subprocess.Popen[bytes]) -> None:
        await end_child(process)
        if self._stopping:
            return
        if time.monotonic() - self._started > _HEALTHY_AFTER_S:
            self._backoff.reset()
        reason = self._failure or describe_exit(process.returncode)
        self._retry_later(f"The process that {self._does} crashed ({reason}).")

    def _retry_later(self, reason: str) -> None:
        pause_s = self._backoff.next_s()
        self._is_fruitless = self._crashed
        self._crashed = True
        self._say(f"{reason} It starts again in {pause_s:.1f} s.")
        self._retry = self._loop.call_later(pause_s, self._spawn_again)

    def _spawn_again(self) -> None:
        self._spawn()
        if self._is_video and self._feed:
            self._on_keyframe_wanted()

    def _hang_up(self) -> None:
        if self._feed:
            self._feed.close()
            self._feed = None
        if self._socket:
            self._loop.remove_reader(self._socket)
            self._socket.close()
            self._socket = None


def _batch(packets: Packets) -> Batch:
    return Batch(
        bytes(packets.data),
        packets.sizes,
        packets.timestamp,
        packets.capture_time,
        packets.keyframe,
        complete=True,
    )
