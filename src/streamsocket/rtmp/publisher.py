"""A publisher's stream: from its RTMP messages to batches in the hub."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, Protocol

from streamsocket.errors import ParseError, StreamSocketError
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Codec, Kind, Track
from streamsocket.rtmp import flv
from streamsocket.rtmp.feed import TICKS_PER_MS, Feed, make_feed
from streamsocket.rtmp.records import parse_record
from streamsocket.rtmp.timestamps import TimestampRepair
from streamsocket.rtp.batch import Batch
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.payload import Packetizer, packetizer

TRACK_WAIT_S = 1.0
"""How long a second track is waited for, from when the first is known."""

_MAX_WAITING_BYTES = 16 << 20
_REORDERED_PICTURES = 4
"""So many pictures tell by how much a stream with B-frames shows them after decoding them."""
_CLOCK_RATE = 90_000


class Access(Protocol):
    """Who may do what."""

    async def admit(
        self,
        action: Literal["publish", "watch"],
        name: str,
        host: str,
        user: str | None,
        password: str | None,
        /,
    ) -> None:
        """Return if it is allowed; raise `StreamSocketError` with the reason if not."""


class Publication(Protocol):
    """The hub's way in, once the stream is published."""

    def write(self, track: int, batch: Batch) -> None:
        """Take a batch of the track with that index."""

    def note_jumps(self, count: int) -> None:
        """So many jumps of the publisher's timestamps were taken out."""

    def flush(self) -> None:
        """Send on what has been written."""

    def close(self) -> None:
        """The publisher left."""


class Publish(Protocol):
    """What publishes a stream, as `Hub.publish` does; raises `StreamSocketError`."""

    def __call__(
        self,
        name: str,
        tracks: Sequence[Track],
        request_keyframe: Callable[[], None] | None = None,
        *,
        on_replaced: Callable[[], None] | None = None,
    ) -> Publication:
        """Publish under that name."""


@dataclass(slots=True)
class _Lane:
    """One track on its way in."""

    feed: Feed
    packetizer: Packetizer
    index: int = 0


@dataclass(slots=True)
class _Dated:
    """An access unit with the times it came with."""

    kind: Kind
    unit: AccessUnit
    decoding: int
    """In ticks of 90 kHz."""
    arrival: float
    """In seconds since the epoch."""


class Publisher:
    """One stream of one connection, from `publish` to its end.

    It is published when its tracks are known: their configurations came, and enough pictures to
    tell how far decoding is ahead of showing. Until then what comes is kept.
    """

    def __init__(
        self, name: str, publish: Publish, *, on_replaced: Callable[[], None] | None = None
    ) -> None:
        self.name = name
        self.malformed = 0
        """Messages that made no sense and were left out."""
        self.timestamps = TimestampRepair()
        self._noted_jumps = 0
        self._publish = publish
        self._on_replaced = on_replaced
        self._publication: Publication | None = None
        self._announced = flv.Announced()
        self._lanes: dict[Kind, _Lane] = {}
        self._waiting: list[_Dated] = []
        self._waiting_bytes = 0
        self._give_up_waiting: float | None = None
        self._clock = CaptureClock(_CLOCK_RATE)
        self._reordering = 0
        """By how many ticks of 90 kHz pictures are shown after their decoding, at most.

        A picture can't have been captured after it arrived: all capture times are earlier by this.
        It is settled before the first batch, so that both tracks are placed by the same clock.
        """

    @property
    def started(self) -> bool:
        """Whether the stream is published."""
        return self._publication is not None

    def announce(self, announced: flv.Announced) -> None:
        """Take what onMetaData says is to come."""
        self._announced = announced

    def receive(
        self, kind: Kind, timestamp: int, body: bytes, *, now: float, arrival: float
    ) -> None:
        """Take an audio or video message that came at `arrival` (seconds since the epoch).

        `now` is of a steady clock. Raises `StreamSocketError` if it cannot be published.
        """
        try:
            tag = flv.parse_video(body) if kind == "video" else flv.parse_audio(body)
            if tag is None or tag.part == "end":
                return
            if not tag.supported:
                raise _unsupported(kind, tag.codec)
            if tag.part == "configuration":
                self._configure(kind, *parse_record(tag.codec, tag.data), now)
            else:
                self._take(kind, tag, timestamp, now, arrival)
        except ParseError:
            self.malformed += 1
        self.poll(now)

    def poll(self, now: float) -> None:
        """Publish if there is nothing to wait for any more. Raises `StreamSocketError`."""
        if self._publication is None and self._lanes and self._ready(now):
            self._start()

    def flush(self) -> None:
        """Send on what came since the last flush."""
        if self._publication:
            jumps = self.timestamps.repairs
            self._publication.note_jumps(jumps - self._noted_jumps)
            self._noted_jumps = jumps
            self._publication.flush()

    def close(self) -> None:
        """The publisher left."""
        if self._publication:
            self._publication.close()
            self._publication = None
        self._lanes.clear()
        self._waiting.clear()

    def _configure(self, kind: Kind, codec: Codec, length_size: int, now: float) -> None:
        lane = self._lanes.get(kind)
        if lane and lane.feed.codec == codec:
            return  # encoders repeat it
        if lane is None and self._publication:
            return  # too late: the stream's tracks are known to its viewers
        self._lanes[kind] = _Lane(make_feed(codec, length_size), packetizer(codec))
        if self._give_up_waiting is None:
            self._give_up_waiting = now + TRACK_WAIT_S
        if self._publication:
            self._publication.close()
            self._start()

    def _take(self, kind: Kind, tag: flv.Tag, timestamp: int, now: float, arrival: float) -> None:
        lane = self._lanes.get(kind)
        if lane is None:
            return
        decoding_ms = self.timestamps.repair(kind, timestamp, now)
        unit = lane.feed.unit(tag, decoding_ms)
        dated = _Dated(kind, unit, decoding_ms * TICKS_PER_MS, arrival)
        self._clock.packet(dated.decoding, arrival)
        if self._publication is None:
            self._waiting.append(dated)
            self._waiting_bytes += len(tag.data)
        else:
            self._write(dated)

    def _ready(self, now: float) -> bool:
        assert self._give_up_waiting is not None
        if now >= self._give_up_waiting or self._waiting_bytes > _MAX_WAITING_BYTES:
            return True
        announced = {"video": self._announced.video, "audio": self._announced.audio}
        if any(kind not in self._lanes and told is not False for kind, told in announced.items()):
            return False
        if any(all(each.kind != kind for each in self._waiting) for kind in self._lanes):
            return False
        pictures = [each for each in self._waiting if each.kind == "video"]
        is_reordered = bool(pictures) and pictures[0].unit.timestamp != pictures[0].decoding
        return not is_reordered or len(pictures) >= _REORDERED_PICTURES

    def _start(self) -> None:
        tracks: list[Track] = []
        kinds: tuple[Kind, ...] = ("video", "audio")
        for kind in kinds:
            if lane := self._lanes.get(kind):
                lane.index = len(tracks)
                tracks.append(Track(lane.feed.codec, self._frame_rate(kind)))
        self._publication = self._publish(self.name, tracks, on_replaced=self._on_replaced)
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if each.kind == "video":
                self._reordering = max(self._reordering, each.unit.timestamp - each.decoding)
        for each in waiting:
            self._write(each)

    def _frame_rate(self, kind: Kind) -> Fraction | None:
        rate = self._announced.frame_rate if kind == "video" else None
        return Fraction(rate).limit_denominator(1001) if rate else None

    def _write(self, dated: _Dated) -> None:
        lane = self._lanes[dated.kind]
        unit = dated.unit
        try:
            payloads = lane.packetizer.packetize(unit)
        except ParseError:
            self.malformed += 1
            return
        if not payloads:
            return
        shown = unit.timestamp * _CLOCK_RATE // lane.feed.codec.clock_rate
        batch = build_batch(
            payloads,
            timestamp=unit.timestamp,
            capture_time=self._clock.capture_time(shown - self._reordering),
            keyframe=unit.keyframe,
            marker=lane.packetizer.marker,
        )
        assert self._publication is not None
        self._publication.write(lane.index, batch)


def _unsupported(kind: Kind, codec: str) -> StreamSocketError:
    what, choose = ("picture", "H.264 or H.265") if kind == "video" else ("sound", "AAC or Opus")
    return StreamSocketError(f"The {what} is {codec}, which is not taken here: choose {choose}.")
