"""A track of a stream: its timeline, its memory, its outputs."""

from __future__ import annotations

import math
import secrets
from typing import Protocol

from streamsocket.hub.cache import History, KeyframeCache
from streamsocket.hub.fanout import DatagramGroups, InterleavedGroups, LiveGroups
from streamsocket.hub.join import CatchUp
from streamsocket.hub.limits import Limits
from streamsocket.hub.meter import Meter
from streamsocket.hub.output import Output
from streamsocket.hub.wire import stamped
from streamsocket.media.codec import Track
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.payload import FIRST_PAYLOAD_TYPE

# Sound is kept for as long as a group of pictures usually is: who records from its beginning on
# has the sound, too.
_SOUND_S = 12.0


class Maker(Protocol):
    """Who makes the packets of a rendition, which come from no publisher."""

    @property
    def source(self) -> StreamTrack:
        """What it is made of."""

    def wanted(self) -> None:
        """Somebody begins to watch it."""

    def request_keyframe(self) -> None:
        """Make a keyframe soon."""


class StreamTrack:
    """One track of a stream, with the output timeline that is the stream's own.

    SSRC, sequence numbers and timestamps are the stream's: a publisher that loops, restarts or is
    replaced changes none of them.
    """

    def __init__(
        self,
        index: int,
        track: Track,
        limits: Limits,
        interleaved: InterleavedGroups,
        maker: Maker | None = None,
    ) -> None:
        self.index = index
        self.maker = maker
        """None for what a publisher sends."""
        self.track = track
        self.limits = limits
        self.is_video = track.kind == "video"
        self.clock_rate = track.codec.clock_rate
        self.payload_type = FIRST_PAYLOAD_TYPE + index
        self.ssrc = secrets.randbits(32)
        # Random beginnings, as RFC 3550, 5.1 asks for; small enough that they never wrap at once.
        self.next_sequence = secrets.randbits(15)
        self._first_timestamp = secrets.randbits(31)
        self.offset: int | None = None
        self.latest: Batch | None = None
        self.cache = KeyframeCache(limits.keyframe_cache_bytes)
        history_s = limits.history_s if self.is_video else max(limits.history_s, _SOUND_S)
        self.history = History(history_s, limits.history_bytes)
        self.datagrams = DatagramGroups(is_sound=not self.is_video)
        """Who gets this track's packets as datagrams, live."""
        self.groups: dict[object, LiveGroups] = {}
        """Who gets them by other protocols, live: each protocol's sender sees to its own."""
        self.interleaved = interleaved
        """Who gets the stream's packets over TCP, live."""
        self.pending: list[Batch] = []
        self.outputs: dict[Output, None] = {}
        """All outputs that play, in the order they came (a set that keeps it)."""
        self.tapped = 0
        """How many take it without an output: by a tap of the stream's."""
        self.queued: dict[Output, None] = {}
        """Those of them that send on their own: they join, or lag behind."""
        self.meter = Meter()
        self.reorders = False
        """Pictures have come that are shown before others that came earlier: B-frames."""
        self.keyframe_requested_at = -math.inf
        """When a keyframe was asked for, by `time.monotonic()`."""
        self.packets = 0
        self.octets = 0
        self.skipped_packets = 0
        self.resent_packets = 0
        self.unsent_packets = 0
        """What the system would not send over UDP: no route, a firewall's rule, a full buffer."""

    def begin_publication(self, track: Track) -> None:
        """The next batch is a new publisher's first: find its place in the timeline anew.

        The codec's parameters may be others than before; viewers learn H.264's in band.
        """
        self.track = track
        self.offset = None
        self.reorders = False
        self.cache.clear()

    def begin_at(self, timestamp: int, since_epoch_s: float) -> None:
        """Place a publication: this timestamp of its own is so long after the stream's beginning.

        The publisher's own timestamps place what follows.
        """
        self.offset = self.place(since_epoch_s) - timestamp

    def take(self, batch: Batch, *, now: float) -> None:
        """Put a publisher's batch into the timeline and keep it until the next flush."""
        assert self.offset is not None, "begin_at comes first"
        timestamp = batch.timestamp + self.offset
        buffer = stamped(
            batch,
            payload_type=self.payload_type,
            sequence=self.next_sequence,
            timestamp=timestamp,
            ssrc=self.ssrc,
        )
        own = Batch(
            buffer,
            batch.sizes,
            timestamp,
            batch.capture_time,
            batch.keyframe,
            batch.complete,
            self.next_sequence,
        )
        self._keep(own, now)

    def pack(self, piece: Normalised, capture_time: float, *, now: float) -> None:
        """Make a batch of payloads, right away with the timeline's headers, and keep it too."""
        assert self.offset is not None, "begin_at comes first"
        own = build_batch(
            piece.payloads,
            timestamp=piece.timestamp + self.offset,
            capture_time=capture_time,
            keyframe=piece.keyframe,
            marker=piece.marker,
            complete=piece.complete,
            payload_type=self.payload_type,
            sequence=self.next_sequence,
            ssrc=self.ssrc,
        )
        self._keep(own, now)

    def _keep(self, own: Batch, now: float) -> None:
        own.arrived = now
        packets = len(own.sizes)
        size = len(own.buffer)
        if self.latest and own.timestamp < self.latest.timestamp and not own.keyframe:
            self.reorders = True
        self.next_sequence += packets
        self.packets += packets
        self.octets += size - 12 * packets
        self.latest = own
        self.cache.add(own)
        self.history.add(own)
        self.meter.add(size, own.complete, now)
        self.pending.append(own)

    def place(self, since_epoch_s: float) -> int:
        """The timestamp of what is captured that long after the stream's beginning."""
        return self._first_timestamp + round(since_epoch_s * self.clock_rate)

    def _placed_as(self, timestamp: int, other: StreamTrack) -> int:
        """The timestamp of what is captured when that of another track is."""
        return self.place((timestamp - other.place(0.0)) / other.clock_rate)

    def ahead_s(self, since_epoch_s: float) -> float:
        """By how much what came last is ahead of what is captured that long after the beginning."""
        if self.latest is None:
            return -math.inf
        return (self.latest.timestamp - self.place(since_epoch_s)) / self.clock_rate

    def pause(self) -> None:
        """It is made no more until it is wanted again; what there is of it is old by then."""
        self.latest = None
        self.cache.clear()

    @property
    def latest_timestamp(self) -> int:
        """The timestamp of what came last; of a rendition that begins, about that of the first."""
        if self.latest:
            return self.latest.timestamp
        if self.maker:
            return self._placed_as(self.maker.source.latest_timestamp, self.maker.source)
        return self._first_timestamp

    def timestamp_captured(self, wall_clock: float) -> int:
        """The timestamp of what was captured at that time, seconds since the epoch."""
        if self.latest is None and self.maker:
            source = self.maker.source
            return self._placed_as(source.timestamp_captured(wall_clock), source)
        if self.latest is None:
            return self._first_timestamp
        seconds = wall_clock - self.latest.capture_time
        return self.latest.timestamp + round(seconds * self.clock_rate)

    def captured(self, timestamp: int) -> float | None:
        """When what has that timestamp was captured, seconds since the epoch; None before data."""
        if self.latest is None and self.maker:
            source = self.maker.source
            return source.captured(source._placed_as(timestamp, self))
        if self.latest is None:
            return None
        seconds = (timestamp - self.latest.timestamp) / self.clock_rate
        return self.latest.capture_time + seconds

    def catch_up(self, group: list[Batch], now: float, *, squeezes: bool = True) -> CatchUp:
        """The line on which a viewer who joins now comes from the group's keyframe to live."""
        newest = group[0].timestamp
        reordering = 0
        for batch in group:
            newest = max(newest, batch.timestamp)
            reordering = max(reordering, newest - batch.timestamp)
        return CatchUp.start(
            now=now,
            keyframe_arrived=group[0].arrived,
            # With B-frames, what comes next may be shown before what came last.
            live_timestamp=newest - reordering,
            clock_rate=self.clock_rate,
            longest_s=self.limits.join_seconds,
            squeezes=squeezes,
        )
