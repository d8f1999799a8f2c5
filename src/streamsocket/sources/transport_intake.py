"""From the datagrams of an MPEG transport stream to batches, without I/O."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media.clock import CaptureClock
from streamsocket.media.codec import Track
from streamsocket.mpegts.demuxer import Demuxer, Event, Refused, TracksKnown, Unit
from streamsocket.mpegts.timing import CLOCK_RATE
from streamsocket.rtp.builder import build_batch
from streamsocket.rtp.payload import Packetizer, packetizer
from streamsocket.sources.link import Note, TrackBatch, Tracks, Waiting

SILENCE_S = 2.0
"""After it the stream counts as interrupted; what comes then is a new one, maybe another's."""
NOTHING_KNOWN_S = 5.0
"""After so long without knowing the tracks of what comes, it is worth a word."""

_MAX_KEPT_BYTES = 16 << 20

Message = Note | Tracks | TrackBatch | Waiting


class _Datagram(NamedTuple):
    data: bytes
    sender: object
    now: float
    wall_clock: float


class TransportIntake:
    """Takes datagrams of one sender at a time; returns what is to be told to the server."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._sender: object = None
        self._begun = 0.0
        self._heard = 0.0
        self._kept: deque[_Datagram] = deque()
        self._kept_bytes = 0
        self._told: set[str] = set()
        self._is_silent = False
        self._demuxer = Demuxer()
        self._packing: _Packing | None = None

    def receive(self, data: bytes, sender: object, now: float, wall_clock: float) -> list[Message]:
        """Take a datagram that arrived at `now` (steady) and `wall_clock` (since the epoch).

        `sender` is whatever tells senders apart. As long as one sends, others are left out: two
        transport streams mixed are none. What another one sends while the first is silent is kept:
        a sender that was started again begins with what everything else depends on.
        """
        datagram = _Datagram(data, sender, now, wall_clock)
        if self._sender is None or now - self._heard >= SILENCE_S:
            kept, self._kept = self._kept, deque()
            self._kept_bytes = 0
            datagrams = [*(each for each in kept if each.sender == sender), datagram]
            self._sender, self._begun = sender, now
            self._demuxer, self._packing = Demuxer(), None
            return [message for each in datagrams for message in self._take(each)]
        if sender == self._sender:
            return self._leave_others_out() + self._take(datagram)
        self._keep(datagram)
        return []

    def _take(self, datagram: _Datagram) -> list[Message]:
        now = datagram.now
        self._heard = now
        self._is_silent = False
        return self._pack(self._demuxer.feed(datagram.data, now), datagram.wall_clock - now)

    def _keep(self, datagram: _Datagram) -> None:
        self._kept.append(datagram)
        self._kept_bytes += len(datagram.data)
        while self._kept_bytes > _MAX_KEPT_BYTES:
            self._kept_bytes -= len(self._kept.popleft().data)

    def _leave_others_out(self) -> list[Message]:
        if not self._kept:
            return []
        self._kept.clear()
        self._kept_bytes = 0
        return self._tell_once(
            f"Somebody else sends to {self._address} at the same time, and is left out."
        )

    def look_around(self, now: float) -> list[Message]:
        """What there is to say as time goes by. To be called several times a second."""
        if self._sender is None:
            return []
        if now - self._heard >= SILENCE_S:
            if self._is_silent:
                return []
            self._is_silent = True
            return [Waiting(f"Nothing has come to {self._address} for {SILENCE_S:g} s.")]
        if self._packing is None and now - self._begun >= NOTHING_KNOWN_S and not self._told:
            return self._tell_once(
                f"What comes to {self._address} is no MPEG transport stream that can be shown: "
                "send H.264 or H.265, AAC or Opus in MPEG-TS."
            )
        return []

    def _tell_once(self, text: str) -> list[Message]:
        if text in self._told:
            return []
        self._told.add(text)
        return [Note(text)]

    def _pack(self, events: Sequence[Event], epoch: float) -> list[Message]:
        messages: list[Message] = []
        units = [event for event in events if isinstance(event, Unit)]
        for event in events:
            match event:
                case Refused(text):
                    messages += self._tell_once(text)
                case TracksKnown(tracks):
                    clock = self._packing.clock if self._packing else CaptureClock(CLOCK_RATE)
                    self._packing = _Packing(tracks, clock)
                    messages.append(Tracks(tracks, makes_keyframes=False))
        if self._packing:
            self._packing.arrived(units, epoch)
            messages += self._packing.batches(units)
        return messages


class _Packing:
    """Makes batches of access units, from the announcement of the tracks to the next one."""

    def __init__(self, tracks: Sequence[Track], clock: CaptureClock) -> None:
        self.clock = clock
        self._clock_rates = [track.codec.clock_rate for track in tracks]
        self._packetizers: list[Packetizer] = [packetizer(track.codec) for track in tracks]
        self._reordering = 0
        self._placed_by: float | None = None
        self._is_placed = [False] * len(tracks)

    def arrived(self, units: Sequence[Unit], epoch: float) -> None:
        """Let the clock see when access units arrived, before any of them is dated by it.

        Decoding times are compared with arrival: they are what the sender is paced by.
        """
        for unit in units:
            self.clock.packet(unit.decoding, unit.arrived + epoch)
            # A picture can't have been captured after it arrived: all are earlier by this.
            self._reordering = max(self._reordering, unit.shown - unit.decoding)

    def batches(self, units: Sequence[Unit]) -> list[TrackBatch]:
        """The batches of some access units; one that can't be packed is left out."""
        return [batch for unit in units if (batch := self._batch(unit))]

    def _batch(self, unit: Unit) -> TrackBatch | None:
        track = unit.track
        packetizer = self._packetizers[track]
        try:
            payloads = packetizer.packetize(unit.unit)
        except ParseError:
            return None
        if not payloads:
            return None
        batch = build_batch(
            payloads,
            timestamp=unit.unit.timestamp,
            capture_time=self._captured(track, unit.unit.timestamp),
            keyframe=unit.unit.keyframe,
            marker=packetizer.marker,
        )
        return TrackBatch(track, batch)

    def _captured(self, track: int, timestamp: int) -> float:
        """When it was captured, by the clock that both tracks share.

        A track's first batch decides its place in the stream. So that the tracks stay in sync, it
        is placed by what the clock said when the other one was.
        """
        shown = timestamp * CLOCK_RATE // self._clock_rates[track] - self._reordering
        if self._is_placed[track]:
            return self.clock.capture_time(shown)
        self._is_placed[track] = True
        if self._placed_by is None:
            self._placed_by = self.clock.capture_time(0)
        return self._placed_by + shown / CLOCK_RATE
