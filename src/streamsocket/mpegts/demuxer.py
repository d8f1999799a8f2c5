"""A transport stream's first programme: bytes in, tracks and access units out."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from streamsocket.errors import ParseError
from streamsocket.media import h264, h265
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Codec, Track
from streamsocket.mpegts.feeds import Feed, Timed, TimedPes
from streamsocket.mpegts.packets import Continuity, Packet, PacketReader
from streamsocket.mpegts.pes import Pes, PesReader
from streamsocket.mpegts.streams import make_feed, refusal
from streamsocket.mpegts.tables import (
    PAT_PID,
    ElementaryStream,
    Programme,
    SectionReader,
    parse_pat,
    parse_pmt,
)
from streamsocket.mpegts.timing import CLOCK_RATE, Kind, TimestampRepair, Unwrapper, signed_33

SILENT_TRACK_WAIT_S = 2.0
"""How long a track of which nothing has come is waited for, from when the other is known."""
KEYFRAME_WAIT_S = 10.0
"""How long pictures are waited for that come, but not yet with a keyframe."""

_MAX_WAITING_BYTES = 16 << 20
_REORDERED_PICTURES = 4
"""So many pictures tell by how much a stream with B-frames shows them after decoding them."""
_SOUND_BEFORE = CLOCK_RATE // 2
"""Sound that is older than the first picture by more than this is of no use any more."""


@dataclass(frozen=True, slots=True)
class TracksKnown:
    """The tracks, from now on; sent again when they change."""

    tracks: tuple[Track, ...]


@dataclass(slots=True)
class Unit:
    """An access unit of the track with that index."""

    track: int
    unit: AccessUnit
    shown: int
    """Presentation time in ticks of 90 kHz, repaired; `unit` has it in ticks of its own clock."""
    decoding: int
    """Decoding time."""
    arrived: float
    """The `now` at which it was complete."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in the stream can't be passed on; a sentence for the user."""

    text: str


Event = TracksKnown | Unit | Refused


@dataclass(slots=True)
class _Lane:
    """One elementary stream on its way through."""

    stream: ElementaryStream
    feed: Feed
    pes: PesReader = field(default_factory=PesReader)
    continuity: Continuity = field(default_factory=Continuity)
    has_come: bool = False
    """Something came of it, if only what nobody can begin with."""
    codec: Codec | None = None
    """What it is, as of the last keyframe; None until there was something to begin with."""
    announced: Codec | None = None
    index: int = 0


@dataclass(slots=True)
class _Table:
    """The sections of one PID."""

    reader: SectionReader = field(default_factory=SectionReader)
    continuity: Continuity = field(default_factory=Continuity)
    last: bytes = b""


class Demuxer:
    """Takes a transport stream apart, for as long as it goes on without a pause.

    Of the first programme in the PAT the first picture and the first sound that can be passed on
    are. Their timestamps never wrap, and what goes wrong in them is put right for both alike.
    """

    def __init__(self) -> None:
        self.lost = 0
        """How often packets of the tracks were missing."""
        self.malformed = 0
        """Tables that made no sense and were left out."""
        self._repair = TimestampRepair()
        self._packets = PacketReader()
        self._unwrapper = Unwrapper()
        self._pat = _Table()
        self._pmt = _Table()
        self._programme: Programme | None = None
        self._lanes: dict[int, _Lane] = {}
        self._is_announced = False
        self._refused: set[str] = set()
        self._waiting: list[tuple[_Lane, Unit]] = []
        self._waiting_bytes = 0
        self._first_known: float | None = None
        self._events: list[Event] = []

    @property
    def repairs(self) -> int:
        """How many jumps were taken out of the timestamps."""
        return self._repair.repairs

    @property
    def damaged(self) -> int:
        """Pictures and sound that were left out because something of them was lost."""
        return sum(lane.feed.damaged for lane in self._lanes.values())

    def feed(self, data: bytes, now: float) -> list[Event]:
        """Take bytes that arrived at `now`, a steady clock's seconds; return what they bring."""
        for packet in self._packets.feed(data):
            if lane := self._lanes.get(packet.pid):
                self._take(lane, packet, now)
            elif packet.pid == PAT_PID:
                self._take_pat(packet)
            elif self._programme and packet.pid == self._programme.map_pid:
                self._take_pmt(packet)
        if not self._is_announced and self._ready(now):
            self._announce()
        events, self._events = self._events, []
        return events

    def _take_pat(self, packet: Packet) -> None:
        for section in self._sections(self._pat, packet):
            try:
                programmes = parse_pat(section)
            except ParseError:
                self.malformed += 1
                continue
            if programmes and programmes[0] != self._programme:
                self._programme = programmes[0]
                self._pmt = _Table()

    def _take_pmt(self, packet: Packet) -> None:
        for section in self._sections(self._pmt, packet):
            try:
                programme_map = parse_pmt(section)
            except ParseError:
                self.malformed += 1
                continue
            programme = self._programme
            if programme and programme_map and programme_map.number == programme.number:
                self._open(programme_map.streams)

    def _sections(self, table: _Table, packet: Packet) -> list[bytes]:
        """The sections that a packet completes, without those that only repeat the last one."""
        if not packet.payload:
            return []
        verdict = table.continuity.check(packet)
        if verdict == "repeated":
            return []
        sections = table.reader.push(packet.payload, begins=packet.begins, lost=verdict == "lost")
        news = [section for section in sections if section != table.last]
        if sections:
            table.last = sections[-1]
        return news

    def _open(self, streams: tuple[ElementaryStream, ...]) -> None:
        """Follow the first picture and the first sound of a programme's map."""
        lanes: dict[int, _Lane] = {}
        reasons: dict[str, None] = {}
        for stream in streams:
            feed = make_feed(stream)
            if feed is None:
                if reason := refusal(stream):
                    reasons[reason] = None
            elif all(lane.feed.kind != feed.kind for lane in lanes.values()):
                old = self._lanes.get(stream.pid)
                keep = old is not None and old.stream == stream
                lanes[stream.pid] = old if old and keep else _Lane(stream, feed)
        if not lanes and not reasons:
            reasons["The stream has neither picture nor sound that is known here."] = None
        for reason in reasons:
            self._refuse(reason)
        if lanes != self._lanes:
            self._lanes = lanes
            self._is_announced = False
            self._waiting = [each for each in self._waiting if each[0] in lanes.values()]
            self._first_known = None

    def _take(self, lane: _Lane, packet: Packet, now: float) -> None:
        if packet.scrambled:
            self._refuse("The stream is scrambled: send it without encryption.")
            return
        if not packet.payload:
            return
        verdict = lane.continuity.check(packet)
        if verdict == "repeated":
            return
        lost = verdict == "lost"
        self.lost += lost
        for pes in lane.pes.push(packet, lost=lost):
            lane.has_come = True
            for timed in lane.feed.push(self._timed(lane.feed.kind, pes, now)):
                self._emit(lane, timed, now)

    def _timed(self, kind: Kind, pes: Pes, now: float) -> TimedPes:
        if pes.pts is None or pes.dts is None:
            return TimedPes(pes, None, None)
        decoding = self._unwrapper.unwrap(pes.dts)
        reordering = signed_33(pes.pts - pes.dts)
        decoding += self._repair.offset(kind, decoding, now)
        return TimedPes(pes, decoding + reordering, decoding)

    def _emit(self, lane: _Lane, timed: Timed, now: float) -> None:
        """Pass an access unit on, or keep it until the tracks are known."""
        codec = lane.feed.codec
        is_news = False
        if timed.unit.keyframe and codec is not lane.codec and _is_readable(codec):
            lane.codec = codec
            is_news = _differ(codec, lane.announced)
        if lane.codec is None:
            return  # nobody can decode what comes before a keyframe, or without parameter sets
        unit = Unit(lane.index, timed.unit, timed.shown, timed.decoding, now)
        if not self._is_announced:
            self._waiting.append((lane, unit))
            self._waiting_bytes += sum(map(len, timed.unit.units))
            return
        if is_news:
            self._announce()
            unit.track = lane.index
        self._events.append(unit)

    def _ready(self, now: float) -> bool:
        """Whether there is nothing to wait for any more."""
        lanes = self._lanes.values()
        if all(lane.codec is None for lane in lanes):
            return False
        if self._first_known is None:
            self._first_known = now
        if self._waiting_bytes > _MAX_WAITING_BYTES:
            return True
        waited = now - self._first_known
        for lane in lanes:
            patience_s = KEYFRAME_WAIT_S if lane.has_come else SILENT_TRACK_WAIT_S
            if lane.codec is None and waited < patience_s:
                return False
        pictures = [unit for lane, unit in self._waiting if lane.feed.kind == "video"]
        is_reordered = bool(pictures) and pictures[0].shown != pictures[0].decoding
        return (
            not is_reordered
            or len(pictures) >= _REORDERED_PICTURES
            or waited >= SILENT_TRACK_WAIT_S
        )

    def _announce(self) -> None:
        """Say what the tracks are, and pass on what was kept until now."""
        known = sorted(self._lanes.values(), key=lambda lane: lane.feed.kind, reverse=True)
        tracks: list[Track] = []
        for lane in known:  # the picture first
            if lane.codec:
                lane.index, lane.announced = len(tracks), lane.codec
                tracks.append(Track(lane.codec, _frame_rate(lane.codec)))
        self._is_announced = True
        self._events.append(TracksKnown(tuple(tracks)))
        waiting, self._waiting = self._waiting, []
        self._waiting_bytes = 0
        pictures = (unit for lane, unit in waiting if lane.feed.kind == "video")
        first = next(pictures, None)
        for lane, unit in waiting:
            if first is None or unit.decoding >= first.decoding - _SOUND_BEFORE:
                unit.track = lane.index
                self._events.append(unit)

    def _refuse(self, reason: str) -> None:
        """Say once why something isn't passed on."""
        if reason not in self._refused:
            self._refused.add(reason)
            self._events.append(Refused(reason))


def _is_readable(codec: Codec | None) -> bool:
    """Whether viewers can be told what it is."""
    try:
        return bool(codec and _essence(codec))
    except ParseError:
        return False


def _differ(codec: Codec | None, announced: Codec | None) -> bool:
    """Whether viewers must be told of another codec; both are readable, or None.

    Parameter sets change often, and mostly in what only decoders want to know: these get them with
    the keyframes.
    """
    return codec != announced and _essence(codec) != _essence(announced)


def _essence(codec: Codec | None) -> object:
    if isinstance(codec, H264 | H265):
        parse = h264.parse_sps if isinstance(codec, H264) else h265.parse_sps
        parameters = parse(codec.sps)
        return type(codec), parameters.width, parameters.height, parameters.profile_idc
    return codec


def _frame_rate(codec: Codec) -> Fraction | None:
    if not isinstance(codec, H264 | H265):
        return None
    parse = h264.parse_sps if isinstance(codec, H264) else h265.parse_sps
    rate = parse(codec.sps).frame_rate
    return rate if rate and 1 <= rate <= 240 else None
