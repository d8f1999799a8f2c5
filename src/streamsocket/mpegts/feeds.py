"""Access units from PES packets: a class for pictures, AAC and Opus each."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, fields
from typing import ClassVar, Protocol

from streamsocket.errors import ParseError
from streamsocket.media import aac, h264, h265, nal
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264, H265, Aac, Codec, Opus
from streamsocket.media.opus import packet_duration
from streamsocket.mpegts import adts
from streamsocket.mpegts.opus import split_packets
from streamsocket.mpegts.pes import MAX_PES, Pes
from streamsocket.mpegts.timing import CLOCK_RATE, Kind, SoundClock
from streamsocket.rtp.parameter_sets import ParameterSets

_MAY_GO_ON = 0xF000
"""A picture that doesn't fit into PES packets with a length goes on in the next one."""
_MAX_REORDERING = 5 * CLOCK_RATE
"""A picture that is to be shown later than this after its decoding is a mistake."""


@dataclass(slots=True)
class Timed:
    """An access unit, and its times in ticks of 90 kHz."""

    unit: AccessUnit
    shown: int
    decoding: int


@dataclass(slots=True)
class TimedPes:
    """A PES packet with its times put right; None where it has none."""

    pes: Pes
    shown: int | None
    decoding: int | None


class Feed(Protocol):
    """Makes one track's access units from PES packets."""

    kind: ClassVar[Kind]
    malformed: int
    """What made no sense and was left out."""
    damaged: int
    """Pictures and sound that were left out because something of them was lost."""

    @property
    def codec(self) -> Codec | None:
        """What the track is; None until the stream has said so."""

    def push(self, timed: TimedPes) -> list[Timed]:
        """Take a PES packet; return the access units that are complete now."""


class PictureFeed:
    """H.264 and H.265. A picture with a hole is left out, and those after it are passed on.

    What players make of that is what they make of any lost picture: blocks until the next
    keyframe, in motion. A slice with a hole would stop some decoders altogether; and to wait for
    the next keyframe would be a standstill of up to ten seconds for every datagram that is lost.
    """

    kind: ClassVar[Kind] = "video"

    def __init__(self, parameter_sets: ParameterSets[H264] | ParameterSets[H265]) -> None:
        self.malformed = 0
        self.damaged = 0
        self._sets = parameter_sets
        self._syntax = h264.SYNTAX if isinstance(parameter_sets.codec, H264) else h265.SYNTAX
        self._held: TimedPes | None = None
        self._last: int | None = None
        self._step = 0

    @property
    def codec(self) -> Codec | None:
        """With the parameter sets in force; None until there is one of each."""
        codec = self._sets.codec
        return codec if all(getattr(codec, field.name) for field in fields(codec)) else None

    def push(self, timed: TimedPes) -> list[Timed]:
        """Take a PES packet."""
        held = self._held
        if held and timed.decoding is None and len(held.pes.data) < MAX_PES:
            if held.pes.hole is None:
                held.pes.hole = timed.pes.hole
            held.pes.data += timed.pes.data
            if timed.pes.length >= _MAY_GO_ON:
                return []
            self._held = None
            return self._picture(held)
        self._held = None
        pictures = self._picture(held) if held else []
        if timed.pes.length >= _MAY_GO_ON:
            self._held = timed
            return pictures
        return pictures + self._picture(timed)

    def _picture(self, timed: TimedPes) -> list[Timed]:
        decoding, shown = timed.decoding, timed.shown
        if decoding is None or shown is None:
            if self._last is None:
                self.malformed += 1
                return []
            decoding = shown = self._last + self._step
        if timed.pes.hole is not None:
            self.damaged += 1
            return []
        try:
            units = nal.split_annexb(timed.pes.data)
        except ParseError:
            self.malformed += 1
            return []
        self._learn(units)
        if not any(self._syntax.nal_type(unit) <= self._syntax.last_slice for unit in units):
            return []  # parameter sets on their own
        if self._last is not None:
            self._step = max(0, decoding - self._last)
            decoding = max(decoding, self._last + 1)
        self._last = decoding
        if not decoding <= shown <= decoding + _MAX_REORDERING:
            shown = decoding
        return [Timed(AccessUnit(units, shown, self._syntax.is_keyframe(units)), shown, decoding)]

    def _learn(self, units: list[bytes]) -> None:
        for unit in units:
            if self._syntax.nal_type(unit) in self._syntax.parameter_sets:
                with contextlib.suppress(ParseError):
                    self._sets.learn(unit)


class AacFeed:
    """AAC in ADTS, whose frames need not end where PES packets do."""

    kind: ClassVar[Kind] = "audio"

    def __init__(self) -> None:
        self.malformed = 0
        self.damaged = 0
        self._codec: Aac | None = None
        self._clock = SoundClock(CLOCK_RATE)
        self._frame_length = 0
        self._rest = b""
        self._next_shown: int | None = None

    @property
    def codec(self) -> Codec | None:
        """What the last frame's header said; None before the first."""
        return self._codec

    def push(self, timed: TimedPes) -> list[Timed]:
        """Take a PES packet; its time is that of the first frame that begins in it."""
        pes, shown = timed.pes, timed.shown
        before, self._rest = self._rest, b""
        data = before + pes.data[: pes.hole]
        found = []
        for frame in adts.frames(data):
            if frame.end > len(data):
                self._rest = data[frame.start :]
                break
            if shown is not None and frame.start >= len(before):
                self._next_shown, shown = shown, None
            if made := self._make(frame.config, data[frame.data_at : frame.end]):
                found.append(made)
        if pes.hole is not None:
            # What is missing may be any number of frames: the next one's time is told anew.
            self.damaged += 1
            self._rest, self._next_shown = b"", None
        return found

    def _make(self, config: bytes, data: bytes) -> Timed | None:
        if self._next_shown is None:
            return None
        if self._codec is None or config != self._codec.config:
            try:
                parsed = aac.parse_audio_specific_config(config)
            except ParseError:
                self.malformed += 1
                return None
            self._codec = Aac(config)
            self._clock = SoundClock(parsed.sample_rate)
            self._frame_length = parsed.frame_length
        shown = self._next_shown
        rate = self._codec.clock_rate
        self._next_shown = shown + self._frame_length * CLOCK_RATE // rate
        timestamp = self._clock.stamp(shown, self._frame_length)
        return None if timestamp is None else Timed(AccessUnit([data], timestamp), shown, shown)


class OpusFeed:
    """Opus, each packet with its control header."""

    kind: ClassVar[Kind] = "audio"

    def __init__(self, channels: int) -> None:
        self.malformed = 0
        self.damaged = 0
        self._codec = Opus(channels)
        self._clock = SoundClock(Opus.clock_rate)
        self._next_shown: int | None = None

    @property
    def codec(self) -> Codec | None:
        """Known from the programme's map."""
        return self._codec

    def push(self, timed: TimedPes) -> list[Timed]:
        """Take a PES packet; its time is that of the first packet in it."""
        if timed.shown is not None:
            self._next_shown = timed.shown
        if timed.pes.hole is not None:
            self.damaged += 1
            self._next_shown = None
        if self._next_shown is None:
            return []
        try:
            packets = split_packets(timed.pes.data)
        except ParseError:
            self.malformed += 1
            return []
        found = []
        for packet in packets:
            shown, duration = self._next_shown, packet_duration(packet)
            self._next_shown = shown + duration * CLOCK_RATE // Opus.clock_rate
            timestamp = self._clock.stamp(shown, duration)
            if timestamp is not None:
                found.append(Timed(AccessUnit([packet], timestamp), shown, shown))
        return found
