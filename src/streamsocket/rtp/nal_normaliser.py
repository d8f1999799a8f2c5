"""H.264 and H.265 from a publisher, made into what the hub passes on, packet by packet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Generic

from streamsocket.errors import ParseError
from streamsocket.rtp.nal_format import (
    AGGREGATION,
    FRAGMENT,
    FRAGMENT_END,
    FRAGMENT_START,
    KEYFRAME,
    PREFIX,
    SLICE,
    UNDEFINED,
    NalFormat,
)
from streamsocket.rtp.normalised import Normalised
from streamsocket.rtp.packet import MAX_PAYLOAD
from streamsocket.rtp.parameter_sets import NalCodec, ParameterSets

# Fragments smaller than this are put together and cut anew.
_LEAST_FRAGMENT = 900

_NONE = -1

_MAX_PREFIX_UNITS = 64
_MAX_PREFIX_BYTES = 64 << 10


class NalNormaliser(Generic[NalCodec]):
    """Payloads of at most `MAX_PAYLOAD` bytes, parameter sets in band before every keyframe.

    Fragments that fit, and are alike but for a NAL unit's last, are passed on as they are. Others
    are cut anew, so that all but the last have the full length: what doesn't fill one waits for the
    fragment that follows. What follows a loss within a NAL unit is dropped, for no decoder could
    use it. NAL units that precede a picture (delimiter, parameter sets, SEI)
    are held until its first slice comes, which is the next packet: only then is it known whether
    they precede a keyframe.
    """

    format: ClassVar[NalFormat]

    def __init__(self, codec: NalCodec) -> None:
        self._format = self.format
        self._roles = self.format.roles
        self._data_at = self.format.fragment_data_at
        self._parameter_sets: ParameterSets[NalCodec] = ParameterSets(codec)
        self._timestamp: int | None = None
        self._in_picture = False
        self._keyframe = False
        self._prefix: list[bytes] = []
        self._prefix_size = 0
        # Of the NAL unit that is coming in fragments:
        self._header = b""
        self._kind = _NONE  # what the second byte of its header is in a fragment in the middle
        self._alike = 0  # the size of fragments that are passed on as they are; 0: none is
        self._parts: list[bytes] = []  # what has not been passed on
        self._first_fragment = False

    @property
    def codec(self) -> NalCodec:
        """With the parameter sets last seen in band."""
        return self._parameter_sets.codec

    def push(
        self, payloads: Sequence[bytes], timestamp: int, marker: bool, gap: bool
    ) -> list[Normalised]:
        """See `Normaliser`. Payloads that break the rules are left out if there are sound ones."""
        if timestamp != self._timestamp:
            self._timestamp = timestamp
            self._in_picture = self._keyframe = False
            gap = True
        if gap:
            self._end_unit()
        passed_on: list[bytes] = []
        broken: ParseError | None = None
        roles, data_at = self._roles, self._data_at
        for payload in payloads:
            if (
                len(payload) > data_at
                and payload[data_at - 1] == self._kind
                and roles[payload[0]] == FRAGMENT
            ):
                # From the middle of a NAL unit: nothing else to do for most.
                if len(payload) == self._alike:
                    passed_on.append(payload)
                else:
                    self._alike = 0
                    self._parts.append(payload[data_at:])
                continue
            try:
                self._take(payload, passed_on)
            except ParseError as error:
                broken = error
        if self._parts:
            self._cut(passed_on, last=False)
        if marker:
            self._in_picture = False  # also where the next picture has the same timestamp
        if passed_on:
            keyframe, self._keyframe = self._keyframe, False
            return [Normalised(passed_on, timestamp, keyframe, marker, marker)]
        if broken:
            raise broken
        return []

    def _take(self, payload: bytes, passed_on: list[bytes]) -> None:
        if len(payload) < self._data_at - 1:
            raise ParseError(f"A payload of {self._format.name} is shorter than its header.")
        role = self._roles[payload[0]]
        if role == FRAGMENT:
            self._take_fragment(payload, passed_on)
            return
        self._end_unit()
        if role == AGGREGATION:
            for unit in self._format.split_aggregation(payload):
                self._take_unit(unit, passed_on)
        elif role == UNDEFINED:
            raise ParseError(f"A payload of {self._format.name} has a type that is not supported.")
        else:
            self._take_unit(payload, passed_on)

    def _take_fragment(self, payload: bytes, passed_on: list[bytes]) -> None:
        data_at = self._data_at
        if len(payload) <= data_at:
            raise ParseError(f"A fragment of {self._format.name} is empty.")
        size, flags = len(payload), payload[data_at - 1]
        if flags & FRAGMENT_START:
            header = self._header = self._format.fragmented_header(payload)
            self._kind = flags & self._format.syntax.type_mask
            fits = _LEAST_FRAGMENT <= size <= MAX_PAYLOAD and self._roles[header[0]] != PREFIX
            self._alike = size if fits else 0
            self._parts = []
            self._first_fragment = True
            passed_on += self._begin_picture(header + payload[data_at : data_at + 1])
        elif self._kind == _NONE:
            return  # its beginning was lost
        last = bool(flags & FRAGMENT_END)
        if size == self._alike or (last and size < self._alike):
            passed_on.append(payload)
            self._first_fragment = False
        else:
            self._alike = 0
            self._parts.append(payload[data_at:])
        if last:
            if self._parts:
                self._cut(passed_on, last=True)
            self._end_unit()

    def _end_unit(self) -> None:
        """Nothing more comes of the NAL unit that was coming in fragments."""
        self._kind = _NONE
        self._alike = 0
        self._parts = []

    def _cut(self, passed_on: list[bytes], *, last: bool) -> None:
        """Pass on what is there of a NAL unit, and keep what doesn't fill a fragment."""
        data = b"".join(self._parts)
        if self._roles[self._header[0]] == PREFIX:
            if last:
                self._hold(self._header + data)
            elif len(data) > _MAX_PREFIX_BYTES:
                self._end_unit()
            return
        ready = len(data) if last else len(data) - len(data) % self._format.fragment_size
        if ready:
            header = int.from_bytes(self._header, "big")
            passed_on += self._format.fragment(
                header, data[:ready], first=self._first_fragment, last=last
            )
            self._first_fragment = False
        self._parts = [data[ready:]] if ready < len(data) else []

    def _take_unit(self, unit: bytes, passed_on: list[bytes]) -> None:
        if self._roles[unit[0]] == PREFIX:
            self._hold(unit)
            return
        passed_on += self._begin_picture(unit)
        passed_on += self._format.pack((unit,))

    def _hold(self, unit: bytes) -> None:
        """Keep what precedes a picture until its first slice comes."""
        syntax = self._format.syntax
        if syntax.nal_type(unit) in syntax.parameter_sets:
            self._parameter_sets.learn(unit)
        self._prefix.append(unit)
        self._prefix_size += len(unit)
        if self._prefix_size > _MAX_PREFIX_BYTES or len(self._prefix) > _MAX_PREFIX_UNITS:
            self._prefix, self._prefix_size = [], 0
            raise ParseError(
                f"A publisher of {self._format.name} sends parameter sets and no picture."
            )

    def _begin_picture(self, unit: bytes) -> list[bytes]:
        """What goes before a slice, if it is the first of a picture; its beginning is enough."""
        role = self._roles[unit[0]]
        if self._in_picture or role not in (KEYFRAME, SLICE):
            return []
        self._in_picture = True
        if role == SLICE and not self._prefix:
            self._keyframe = False
            return []
        syntax = self._format.syntax
        prefix: list[bytes] = self._prefix
        self._prefix, self._prefix_size = [], 0
        # A keyframe that lacks its first slice is no place to begin.
        self._keyframe = syntax.starts_picture(unit) and syntax.is_keyframe([*prefix, unit])
        return self._format.pack(self._parameter_sets.put_in(prefix) if self._keyframe else prefix)
