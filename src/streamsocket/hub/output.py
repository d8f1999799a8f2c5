"""An output: one track on its way to one viewer.

Most outputs, most of the time, are *live*: they stand in a group of the fan-out and get the very
bytes that everybody in it gets. One that joins, or whose viewer reads too slowly, is *queued*: it
holds references to the batches it still owes, sends them on its own, and returns to its group.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from streamsocket.hub.join import CatchUp
from streamsocket.hub.wire import shifted
from streamsocket.rtp.batch import Batch

if TYPE_CHECKING:
    from streamsocket.hub.track import StreamTrack

# What a joining viewer is sent at one tick at most: a receive buffer of 208 KB, the default on
# Linux, holds half as many bytes of payload, and there may be something in it already.
JOIN_BYTES_PER_TICK = 48 * 1024


# How many packets are sent once more to one viewer, at once and in the long run: a fifth of those
# of a stream of 25 Mbit/s.
MAX_RESENDS = 256
RESENDS_PER_SECOND = 500


class Sender(Protocol):
    """What carries an output's packets: a UDP socket that many share, or one TCP connection."""

    def blocks(self, output: Output) -> bool:
        """Whether something of this output still waits for the socket."""

    def send_packets(self, output: Output, buffer: bytes | bytearray, sizes: Sequence[int]) -> None:
        """Send packets to one viewer; what the socket doesn't take now is kept and sent later."""

    def send_report(self, output: Output, rtcp: bytes) -> None:
        """Send a compound RTCP packet to one viewer."""

    def enter(self, output: Output) -> None:
        """The output will send through this sender, on its own at first."""

    def go_live(self, output: Output) -> None:
        """From now on the output gets what its group gets."""

    def leave(self, output: Output) -> None:
        """The output stops: forget what waits for it and take it out of its group."""


State = Literal["idle", "live", "queued"]


class Output:
    """One track on its way to one viewer, over one sender."""

    __slots__ = (
        "_allowance",
        "_awaits_keyframe",
        "_catch_up",
        "_leader",
        "_line",
        "_queue",
        "_resent_at",
        "_skipped_at",
        "report_due",
        "sender",
        "sequence_delta",
        "state",
        "target",
        "track",
    )

    def __init__(
        self,
        track: StreamTrack,
        sender: Sender,
        target: object,
        leader: Output | None = None,
    ) -> None:
        """With a `leader`, the viewer gets what that output sends to several at once."""
        self.track = track
        self.sender = sender
        self.target = target
        """Where its packets go, in the sender's terms: addresses, or a channel."""
        self.state: State = "idle"
        self.sequence_delta = 0
        """Added to the stream's sequence numbers, so that what was skipped leaves no gap."""
        self.report_due = 0.0
        self._leader = leader
        self._queue: deque[Batch] = deque()
        self._catch_up: CatchUp | None = None
        self._line: CatchUp | None = None
        self._skipped_at = 0
        self._resent_at = 0.0
        self._allowance = float(MAX_RESENDS)
        self._awaits_keyframe = False

    def prepare(self, now: float, since: float | None = None) -> tuple[int, int]:
        """Choose where to begin; return the first packet's sequence number and timestamp.

        With `since`, timestamps stay as they are, and sound too is sent from what arrived then on.
        """
        if self._leader:
            return self._leader.prepare(now) if self._leader.state == "idle" else self.position
        track = self.track
        self._awaits_keyframe = False
        self._queue.clear()
        self._catch_up = self._line = None
        self.report_due = 0.0
        group: list[Batch] = []
        if track.is_video:
            group = track.cache.group()
        elif since is not None:
            group = track.history.since(since)
        if group:
            self._queue.extend(group)
            line = track.catch_up(group, now, squeezes=since is None)
            self._catch_up = self._line = line
            return group[0].sequence + self.sequence_delta, line.timestamp(group[0].timestamp)
        self._awaits_keyframe = track.is_video
        return self.position

    @property
    def position(self) -> tuple[int, int]:
        """The sequence number that is next, and its timestamp or, when live, the one before."""
        if self._leader:
            return self._leader.position
        if self._queue:
            batch, line = self._queue[0], self._catch_up
            timestamp = line.timestamp(batch.timestamp) if line else batch.timestamp
            return batch.sequence + self.sequence_delta, timestamp
        return self.track.next_sequence + self.sequence_delta, self.track.latest_timestamp

    def start(self) -> None:
        """Get ready to send; `pump` begins."""
        self.state = "queued"
        self.track.outputs[self] = None
        self.track.queued[self] = None
        if self.track.maker:
            self.track.maker.wanted()
        self.sender.enter(self)

    def stop(self) -> None:
        """Send nothing more."""
        if self.state == "idle":
            return
        self.state = "idle"
        self.track.outputs.pop(self, None)
        self.track.queued.pop(self, None)
        self.sender.leave(self)
        self._queue.clear()

    def hold(self) -> None:
        """The socket takes no more: leave the group, and queue until it does."""
        if self.state == "live":
            self.state = "queued"
            self.track.queued[self] = None

    def move(self, sender: Sender) -> None:
        """Send through another sender from now on; what still waits for the one before is lost."""
        before, self.sender = self.sender, sender
        if self.state != "idle":
            before.leave(self)
            self.hold()
            sender.enter(self)
            self.pump(time.monotonic())

    def offer(self, batches: list[Batch], now: float) -> None:
        """Take the track's newest batches while queued, and send what can be sent."""
        for batch in batches:
            if self._awaits_keyframe:
                if not batch.keyframe:
                    self._skip(batch)
                    continue
                self._awaits_keyframe = False
            self._queue.append(batch)
        self.pump(now)
        if self._queue and now - self._oldest_useful(now) > self.track.limits.reader_max_age_s:
            self._skip_to_newest()

    def pump(self, now: float) -> None:
        """Send what is due, as far as the socket takes it; go live when nothing is left."""
        queue, sender, line = self._queue, self.sender, self._catch_up
        budget = JOIN_BYTES_PER_TICK if line else 0
        while queue and not sender.blocks(self):
            batch = queue[0]
            timestamp = batch.timestamp
            if line:
                if budget <= 0 or line.due(batch.arrived) > now:
                    break
                budget -= len(batch.buffer)
                timestamp = line.timestamp(timestamp)
            queue.popleft()
            buffer = shifted(batch, sequence_delta=self.sequence_delta, timestamp=timestamp)
            sender.send_packets(self, buffer, batch.sizes)
        if self.state != "queued" or queue or sender.blocks(self):
            return
        if line and now < line.end:
            return
        self._catch_up = None
        if not self._awaits_keyframe:
            self.state = "live"
            self.track.queued.pop(self, None)
            sender.go_live(self)

    def resend(self, sequences: Iterable[int]) -> int:
        """Send packets once more that the viewer missed (RFC 4585, 6.2.1); return how many.

        What is no longer in the track's history, or lies before a skip, is left out, and so is what
        goes beyond a viewer's allowance: reports are easily forged, and nobody is to be flooded.
        """
        resent = 0
        now = time.monotonic()
        refill = (now - self._resent_at) * RESENDS_PER_SECOND
        allowance = min(float(MAX_RESENDS), self._allowance + refill)
        for sequence in sequences:
            if resent >= int(allowance):
                break
            found = self.track.history.packet((sequence - self.sequence_delta) & 0xFFFF)
            if found is None or self.sender.blocks(self):
                continue
            batch, index = found
            if batch.sequence < self._skipped_at:
                continue
            timestamp = self._line.timestamp(batch.timestamp) if self._line else batch.timestamp
            buffer = shifted(batch, sequence_delta=self.sequence_delta, timestamp=timestamp)
            start = sum(batch.sizes[:index])
            size = batch.sizes[index]
            self.sender.send_packets(self, buffer[start : start + size], (size,))
            resent += 1
        self._resent_at, self._allowance = now, allowance - resent
        self.track.resent_packets += resent
        return resent

    @property
    def joining(self) -> bool:
        """Whether it has to be pumped by the clock, not only when something arrives."""
        return self._catch_up is not None

    def _oldest_useful(self, now: float) -> float:
        """Since when the oldest batch in the queue has been due."""
        line = self._catch_up
        oldest = self._queue[0].arrived
        return line.due(oldest) if line else oldest

    def _skip(self, batch: Batch) -> None:
        packets = len(batch.sizes)
        self.sequence_delta -= packets
        self._skipped_at = batch.sequence + packets
        self.track.skipped_packets += packets

    def _skip_to_newest(self) -> None:
        """The viewer is too far behind: go on from the newest keyframe, or wait for the next."""
        queue = self._queue
        keep = 0
        if self.track.is_video:
            keep = next((n for n, b in enumerate(reversed(queue), 1) if b.keyframe), 0)
            if keep == len(queue):
                keep = 0  # that keyframe is itself too old
            self._awaits_keyframe = keep == 0
        while len(queue) > keep:
            self._skip(queue.popleft())
        # From here on timestamps are the stream's own, also of what is sent once more.
        self._catch_up = self._line = None
