"""A stream: the tracks of one name, the one who publishes them and those who watch."""

from __future__ import annotations

import time
from asyncio import AbstractEventLoop, TimerHandle
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from streamsocket.errors import ParseError
from streamsocket.hub.fanout import InterleavedGroups
from streamsocket.hub.histogram import Histogram
from streamsocket.hub.limits import Limits
from streamsocket.hub.reader import Reader
from streamsocket.hub.reports import sender_report
from streamsocket.hub.track import Maker, StreamTrack
from streamsocket.media.codec import G711, L16, Codec, Track
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.normalised import Normalised

# How often a joining viewer gets its next pictures. Shorter would only cost more wakeups.
_JOIN_TICK_S = 0.005

# RFC 3550, 6.2 recommends five seconds between reports as the least.
_REPORT_INTERVAL_S = 5.0

_SECOND_REPORT_S = 1.0

_KEYFRAME_REQUEST_INTERVAL_S = 1.0

# How long a stream that nobody watches, but that is recorded, waits for its publisher to return.
_RECORDED_PATIENCE_S = 10.0

# Between the last of one publisher and the first of the next, where their clocks would overlap.
_PUBLISHER_GAP_S = 0.1


class Stream:
    """The tracks of one name. It owns their timeline; publishers and viewers come and go."""

    def __init__(
        self,
        name: str,
        tracks: Sequence[Track],
        loop: AbstractEventLoop,
        limits: Limits,
        on_publisher_lost: Callable[[Stream], None] = lambda stream: None,
    ) -> None:
        self.name = name
        self._limits = limits
        self._on_publisher_lost = on_publisher_lost
        self._loop = loop
        self._interleaved = InterleavedGroups()
        self.tracks = tuple(
            StreamTrack(index, track, limits, self._interleaved)
            for index, track in enumerate(tracks)
        )
        """What its publisher sends."""
        self.renditions: list[StreamTrack] = []
        """What is made of them for viewers who can't play those. They come, and none goes."""
        self._sound_first = _sound_first(self.tracks)
        self.readers: dict[Reader, None] = {}
        self.taps: list[Callable[[Sequence[StreamTrack]], None]] = []
        """Called at every flush with the tracks that have something pending, sound first;
        renditions are among them."""
        self.on_end: list[Callable[[], None]] = []
        """Called when the stream is over."""
        self.publication: Publication | None = None
        self.up_since: float | None = None
        self.origin = ""
        """How it is published, for people: `RTSP`; empty for a source of the server's own."""
        self._published_at = 0.0
        self._publisher_lost_at = 0.0
        self.timestamp_jumps = 0
        """How often its publishers' timestamps jumped, which viewers are spared."""
        self.added_latency = Histogram()
        """From the arrival of a batch to its last copy being out."""
        self._epoch: float | None = None
        self._join_timer: TimerHandle | None = None

    def track(self, index: int) -> StreamTrack:
        """The published track or rendition with that index. Raises IndexError."""
        published = len(self.tracks)
        return self.tracks[index] if index < published else self.renditions[index - published]

    def add_rendition(self, track: Track, maker: Maker) -> StreamTrack:
        """Add what `maker` makes of a published track.

        Its timestamps count from the stream's beginning; `take_rendition` brings them.
        """
        index = len(self.tracks) + len(self.renditions)
        rendition = StreamTrack(index, track, self._limits, self._interleaved, maker)
        rendition.begin_at(0, 0.0)
        self.renditions.append(rendition)
        self._sound_first = _sound_first([*self.tracks, *self.renditions])
        return rendition

    def take_rendition(self, rendition: StreamTrack, batches: Sequence[Batch], now: float) -> None:
        """Put what was made into the timeline, and send it to those who take it."""
        for batch in batches:
            rendition.take(batch, now=now)
        self.flush(now)

    def matches(self, tracks: Sequence[Track]) -> bool:
        """Whether another publisher's tracks can go on where this stream's ended."""
        return [_form(own.track) for own in self.tracks] == [_form(track) for track in tracks]

    # The publisher's side.

    def publish(
        self,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
        on_replaced: Callable[[], None] | None = None,
    ) -> Publication:
        """Take a publisher of tracks that match; the one before must have closed."""
        assert self.publication is None
        for own, track in zip(self.tracks, tracks, strict=True):
            own.begin_publication(track)
        self.publication = Publication(self, request_keyframe, on_replaced)
        self.up_since = time.time()
        self._published_at = time.monotonic()
        return self.publication

    def take(self, index: int, batch: Batch, now: float) -> None:
        """Put one batch of the publisher into its track's timeline."""
        track = self.tracks[index]
        if track.offset is None:
            self._place(track, batch.timestamp, batch.capture_time)
        track.take(batch, now=now)

    def pack(self, index: int, piece: Normalised, capture_time: float, now: float) -> None:
        """Put payloads of the publisher into their track's timeline, as a batch."""
        track = self.tracks[index]
        if track.offset is None:
            self._place(track, piece.timestamp, capture_time)
        track.pack(piece, capture_time, now=now)

    def flush(self, now: float) -> None:
        """Send what has been taken since the last flush to everybody who watches."""
        tracks = [track for track in self._sound_first if track.pending]
        # Before the live ones are sent to: those that block there have got these batches.
        queued = [(track, tuple(track.queued)) for track in tracks]
        finished: list[float] = []
        for track in tracks:
            track.datagrams.send(track.pending)
            for groups in track.groups.values():
                groups.send(track.pending)
            finished.append(time.monotonic())
        if not self._interleaved.empty:
            self._interleaved.send(tracks)
            finished = [time.monotonic()] * len(tracks)
        for track, outputs in queued:
            for output in outputs:
                output.offer(track.pending, now)
        for tap in self.taps:
            tap(tracks)
        if self.readers:
            for track, moment in zip(tracks, finished, strict=True):
                self.added_latency.add(moment - now, len(track.pending))
        for track in tracks:
            track.pending = []

    def lose_publisher(self) -> None:
        """The publisher is gone; viewers wait for the next."""
        self.publication = None
        self.up_since = None
        self._publisher_lost_at = time.monotonic()
        self._on_publisher_lost(self)

    @property
    def silent_s(self) -> float:
        """For how long its publisher has sent nothing."""
        arrivals = (track.latest.arrived for track in self.tracks if track.latest)
        return time.monotonic() - max([self._published_at, *arrivals])

    def abandoned(self, now: float) -> bool:
        """Whether its publisher is gone, and nobody waits any more for another."""
        if self.publication:
            return False
        patience_s = _RECORDED_PATIENCE_S if self.taps else 0.0
        if self.readers:
            patience_s = self._limits.publisher_wait_s
        return now - self._publisher_lost_at > patience_s

    def end(self) -> None:
        """The stream is over: tell every viewer, and let go of them."""
        self.publication = None
        self.up_since = None
        for reader in tuple(self.readers):
            reader.end()
        if self._join_timer:
            self._join_timer.cancel()
        for on_end in tuple(self.on_end):
            on_end()

    # The viewers' side.

    def begin_to_send(self) -> None:
        """A viewer has begun to play: see to those that catch up."""
        self._tick_joins()

    def request_keyframe(self, track: StreamTrack | None = None) -> None:
        """Ask who makes that track, or publishes the pictures, for a keyframe, once a second."""
        if track is None:
            track = next((each for each in self.tracks if each.is_video), None)
        if track is None:
            return
        ask = track.maker.request_keyframe if track.maker else None
        if track.maker is None and self.publication:
            ask = self.publication.request_keyframe
        now = time.monotonic()
        if ask and now - track.keyframe_requested_at >= _KEYFRAME_REQUEST_INTERVAL_S:
            track.keyframe_requested_at = now
            ask()

    def report(self, now: float) -> None:
        """Send a sender report to every viewer who is due one (RFC 3550, 6.4.1)."""
        wall_clock = time.time()
        for track in self._sound_first:
            if track.latest is None:
                continue
            report = b""
            for output in track.outputs:
                if output.report_due <= now:
                    # GStreamer drops a report that is older than the first packet it got.
                    is_first = not output.report_due
                    output.report_due = now + (_SECOND_REPORT_S if is_first else _REPORT_INTERVAL_S)
                    report = report or sender_report(track, wall_clock)
                    output.sender.send_report(output, report)

    @property
    def viewers(self) -> int:
        """How many watch."""
        return sum(reader.is_viewer for reader in self.readers)

    @property
    def estimated_bps(self) -> int | None:
        """Bits a second that get through to who gets least; None if nobody tells."""
        told = [each.estimated_bps for each in self.readers if each.estimated_bps is not None]
        return min(told, default=None)

    @property
    def resent_packets(self) -> int:
        """Packets that viewers missed and were sent once more, all of them together."""
        return sum(track.resent_packets for track in self._sound_first)

    @property
    def skipped_packets(self) -> int:
        """Packets that slow viewers were too late for, all of them together."""
        return sum(track.skipped_packets for track in self._sound_first)

    @property
    def unsent_packets(self) -> int:
        """Packets that the system would not send over UDP, all viewers together."""
        return sum(track.unsent_packets for track in self._sound_first)

    def _place(self, track: StreamTrack, timestamp: int, capture_time: float) -> None:
        """Find the place in the timeline of what a publication's track begins with.

        It is kept ahead of what was there before, on all tracks.
        """
        if self._epoch is None:
            self._epoch = capture_time
        # The first of all tracks decides for them all: moved one by one, they would be out of step
        # with each other.
        is_first = all(each.offset is None for each in self.tracks)
        since_s = capture_time - self._epoch
        ahead_s = max(each.ahead_s(since_s) for each in (self.tracks if is_first else [track]))
        if ahead_s >= 0:
            # The new publisher's clock is behind the old one's.
            self._epoch -= ahead_s + _PUBLISHER_GAP_S
        track.begin_at(timestamp, capture_time - self._epoch)

    def _tick_joins(self) -> None:
        """Pump those who join by the clock for as long as there are any."""
        now = time.monotonic()
        joining = [
            output for track in self._sound_first for output in track.queued if output.joining
        ]
        for output in joining:
            output.pump(now)
        if self._join_timer:
            self._join_timer.cancel()
        self._join_timer = (
            self._loop.call_later(_JOIN_TICK_S, self._tick_joins) if joining else None
        )


def _sound_first(tracks: Iterable[StreamTrack]) -> list[StreamTrack]:
    return sorted(tracks, key=lambda track: track.is_video)


def _form(track: Track) -> tuple[object, ...]:
    """What of a track viewers can't learn in band."""
    codec = track.codec
    if isinstance(codec, G711 | L16):
        return codec.name, codec.clock_rate, codec.channels
    return codec.name, codec.clock_rate


class Publication:
    """What a publisher's session holds: the way into its stream."""

    def __init__(
        self,
        stream: Stream,
        request_keyframe: Callable[[], None] | None,
        on_replaced: Callable[[], None] | None,
    ) -> None:
        self._stream = stream
        self._arrived: float | None = None
        self.request_keyframe = request_keyframe
        """Asks the publisher for a keyframe; None where it can't make one."""
        self.on_replaced = on_replaced
        """Tells the publisher that another has taken its place; None where nobody may."""

    def write(self, track: int, batch: Batch) -> None:
        """Take a batch: packets of one access unit of the track with that index.

        It is sent by the next `flush`; one flush a wakeup lets sound and picture share a send.
        Raises `ParseError` for a track that was not announced.
        """
        if not 0 <= track < len(self._stream.tracks):
            raise ParseError(f"There is no track {track} in '{self._stream.name}'.")
        if self._arrived is None:
            self._arrived = time.monotonic()
        if self._stream.publication is self:
            self._stream.take(track, batch, self._arrived)

    def write_payloads(self, track: int, piece: Normalised, capture_time: float) -> None:
        """Take payloads of one access unit of the track with that index, as `write` does."""
        if self._arrived is None:
            self._arrived = time.monotonic()
        if self._stream.publication is self:
            self._stream.pack(track, piece, capture_time, self._arrived)

    def learn(self, track: int, codec: Codec) -> None:
        """What the publisher sends tells more of its codec than was announced, or other things."""
        if self._stream.publication is self:
            own = self._stream.tracks[track]
            own.track = replace(own.track, codec=codec)

    def note_jumps(self, count: int) -> None:
        """So many jumps of the publisher's timestamps were taken out."""
        self._stream.timestamp_jumps += count

    def report_soon(self, track: int) -> None:
        """When things were captured is known better than before: let viewers know."""
        if self._stream.publication is self:
            for output in self._stream.tracks[track].outputs:
                output.report_due = 0.0

    def flush(self) -> None:
        """Send on what has been written."""
        if self._arrived is not None and self._stream.publication is self:
            self._stream.flush(self._arrived)
        self._arrived = None

    def close(self) -> None:
        """The publisher left and may return: viewers stay."""
        if self._stream.publication is self:
            self._stream.lose_publisher()
