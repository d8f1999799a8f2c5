"""H.264 in RTP (RFC 6184), packetization-mode 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from streamsocket.errors import ParseError
from streamsocket.media import h264
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.parameter_sets import ParameterSets

STAP_A = 24
FU_A = 28
FU_START = 0x80
FU_END = 0x40
MAX_ACCESS_UNIT = 8 << 20
"""Bytes that an access unit may grow to while it is received, with what its parts cost."""

FRAGMENT = MAX_PAYLOAD - 2
"""Bytes of a NAL unit in one FU-A payload."""
_OVERHEAD = 64
"""What a payload costs beyond its bytes: a million empty ones must not pass for a megabyte."""


class H264Packetizer:
    """Access units in, payloads out."""

    marker: ClassVar[bool] = True

    def __init__(self, codec: H264) -> None:
        self._parameter_sets = ParameterSets(codec)

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit.

        A keyframe that comes without its parameter sets gets those in force, so that a viewer can
        begin with it.
        """
        return pack(self._parameter_sets.put_in(unit.units) if unit.keyframe else unit.units)


def pack(units: Sequence[bytes]) -> list[bytes]:
    """Payloads for NAL units: single, small ones that aren't slices together, long ones cut."""
    payloads: list[bytes] = []
    small: list[bytes] = []
    room = MAX_PAYLOAD - 1
    for unit in units:
        size = len(unit)
        kind = unit[0] & 0x1F if size else 0
        if not 0 < kind < STAP_A:
            continue  # not defined in H.264, and in RTP these numbers mean something else
        if h264.SEI <= kind <= h264.ACCESS_UNIT_DELIMITER and size + 2 < MAX_PAYLOAD:
            if size + 2 > room:
                payloads.append(_together(small))
                small, room = [], MAX_PAYLOAD - 1
            small.append(unit)
            room -= size + 2
            continue
        if small:
            payloads.append(_together(small))
            small, room = [], MAX_PAYLOAD - 1
        if size <= MAX_PAYLOAD:
            payloads.append(unit)
        else:
            payloads += fragment(unit[0], unit[1:])
    if small:
        payloads.append(_together(small))
    return payloads


def fragment(header: int, data: bytes, *, first: bool = True, last: bool = True) -> list[bytes]:
    """FU-A payloads (5.8), all as long as can be but the last, for a NAL unit or a part of one.

    `header` is the NAL unit's first byte and `data` what follows it; `first` and `last` tell
    whether the unit begins and ends with `data`.
    """
    indicator = header & 0xE0 | FU_A
    kind = header & 0x1F
    middle = bytes((indicator, kind))
    payloads = [middle + data[start : start + FRAGMENT] for start in range(0, len(data), FRAGMENT)]
    if first:
        payloads[0] = bytes((indicator, kind | FU_START)) + payloads[0][2:]
    if last:
        payloads[-1] = payloads[-1][:1] + bytes((payloads[-1][1] | FU_END,)) + payloads[-1][2:]
    return payloads


def _together(units: list[bytes]) -> bytes:
    """A STAP-A (5.7.1), or the unit itself where there is one only."""
    if len(units) == 1:
        return units[0]
    forbidden = importance = 0
    parts = [b""]
    for unit in units:
        forbidden |= unit[0] & 0x80
        importance = max(importance, unit[0] & 0x60)
        parts += (len(unit).to_bytes(2, "big"), unit)
    parts[0] = bytes((forbidden | importance | STAP_A,))
    return b"".join(parts)


def split_stap_a(payload: bytes | memoryview) -> list[bytes]:
    """The NAL units of a STAP-A payload (5.7.1)."""
    units = []
    position = 1
    end = len(payload)
    while position < end:
        start = position + 2
        if start > end:
            raise ParseError("An H.264 aggregation packet ends within a length.")
        position = start + (payload[position] << 8 | payload[position + 1])
        if position > end or position == start:
            raise ParseError("An H.264 aggregation packet has a NAL unit that isn't all there.")
        units.append(bytes(payload[start:position]))
    return units


class H264Depacketizer:
    """Payloads in, access units out as soon as their marker comes.

    Missing markers are made up for when the timestamp changes. Parameter sets that come on their
    own, as some cameras send them, are put before the next picture.
    """

    def __init__(self, codec: H264) -> None:
        self._parameter_sets = ParameterSets(codec)
        self._units: list[bytes] = []
        self._size = 0
        self._timestamp: int | None = None
        self._has_picture = False
        self._keyframe = False
        self._damaged = False
        self._fragments: list[bytes] = []

    @property
    def codec(self) -> H264:
        """With the parameter sets last seen in band."""
        return self._parameter_sets.codec

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it.

        Returns the access units that are complete now. Raises ParseError for a payload that breaks
        the rules, which damages the access unit it would have belonged to and no other.
        """
        finished: list[AccessUnit] = []
        if timestamp != self._timestamp:
            if gap and self._has_picture:
                self._damaged = True
            finished = self._finish()
            self._timestamp = timestamp
            gap = gap and not _begins_access_unit(payload)
        if gap:
            self._lose_fragments()
            self._damaged = True
        try:
            self._take(payload)
        except ParseError:
            self._damaged = True
            if not finished:
                raise
        if marker:
            finished += self._finish()
        return finished

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""
        return self._finish()

    def _take(self, payload: bytes | memoryview) -> None:
        if not payload:
            raise ParseError("An H.264 payload is empty.")
        self._size += len(payload) + _OVERHEAD
        if self._size > MAX_ACCESS_UNIT:
            self._start_over()
            raise ParseError(f"An H.264 access unit is longer than {MAX_ACCESS_UNIT} bytes.")
        kind = payload[0] & 0x1F
        if kind == FU_A:
            self._take_fragment(payload)
            return
        self._lose_fragments()
        if 0 < kind < STAP_A:
            self._add(bytes(payload))
        elif kind == STAP_A:
            for unit in split_stap_a(payload):
                self._size += _OVERHEAD
                self._add(unit)
        else:
            raise ParseError(f"H.264 payloads of type {kind} are not of packetization mode 1.")

    def _take_fragment(self, payload: bytes | memoryview) -> None:
        if len(payload) < 3:
            raise ParseError("An H.264 fragment is empty.")
        header = payload[1]
        fragments = self._fragments
        if header & FU_START:
            self._lose_fragments()
            fragments.append(bytes((payload[0] & 0xE0 | header & 0x1F,)))
        elif not fragments:
            self._damaged = True  # its beginning was lost
            return
        fragments.append(bytes(payload[2:]))
        if header & FU_END:
            unit = b"".join(fragments)
            fragments.clear()
            self._add(unit)

    def _add(self, unit: bytes) -> None:
        kind = unit[0] & 0x1F
        if kind <= h264.IDR:
            self._has_picture = True
            self._keyframe |= kind == h264.IDR
        elif kind in (h264.SPS, h264.PPS):
            self._parameter_sets.learn(unit)
        elif kind == h264.SEI:
            self._keyframe |= h264.is_keyframe((unit,))
        self._units.append(unit)

    def _lose_fragments(self) -> None:
        if self._fragments:
            self._fragments.clear()
            self._damaged = True

    def _finish(self) -> list[AccessUnit]:
        self._lose_fragments()
        if not self._has_picture or self._timestamp is None:
            self._damaged = False  # what was lost here was not of the picture to come
            return []  # parameter sets are kept for it
        unit = AccessUnit(
            self._units, self._timestamp, keyframe=self._keyframe, damaged=self._damaged
        )
        self._start_over()
        return [unit]

    def _start_over(self) -> None:
        self._units = []
        self._fragments.clear()
        self._size = 0
        self._has_picture = False
        self._keyframe = False
        self._damaged = False


def _begins_access_unit(payload: bytes | memoryview) -> bool:
    """Whether nothing of a picture can be missing before this payload, the first we have of it."""
    kind = payload[0] & 0x1F if payload else 0
    if kind == FU_A and len(payload) > 2:
        return payload[1] & FU_START != 0 and payload[2] >= 0x80  # first_mb_in_slice is 0
    if kind <= h264.IDR:
        return h264.starts_picture(payload)
    return kind in (h264.SEI, h264.SPS, h264.PPS, h264.ACCESS_UNIT_DELIMITER, STAP_A)
