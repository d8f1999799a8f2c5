"""AV1 in RTP (RTP Payload Format For AV1, version 1.0).

A payload holds OBU elements: OBUs, or parts of one at its beginning and its end. Access units hold
a temporal unit in the low overhead format (AV1 5.2), without its temporal delimiter.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media import av1
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Av1
from streamsocket.rtp.frame import MAX_FRAME, OVERHEAD, FrameNormaliser, Part
from streamsocket.rtp.packet import MAX_PAYLOAD

# The aggregation header (4.4).
_CONTINUES, _GOES_ON, _COUNT, _NEW_SEQUENCE = 0x80, 0x40, 0x30, 0x08
_MOST_COUNTED = 3


class Elements(NamedTuple):
    """A payload's OBU elements."""

    elements: list[bytes]
    """At least one; none is empty."""
    continues: bool
    """The first goes on with an OBU of which more came before (Z)."""
    goes_on: bool
    """The last is not the whole rest of its OBU (Y)."""
    new_sequence: bool
    """A coded video sequence begins with this packet (N)."""

    @property
    def starts(self) -> bool:
        """A temporal unit may begin here. For sure is that no other OBU begins one."""
        if self.continues:
            return False
        first = self.elements[0]
        return av1.obu_type(first) != av1.TILE_GROUP and not av1.spatial_layer(first)

    @property
    def is_empty(self) -> bool:
        """It holds temporal delimiters alone."""
        return not self.continues and all(map(_is_delimiter, self.elements))

    def sequence_header(self) -> bytes | None:
        """The sequence header that a keyframe which begins here brings; None for no such keyframe.

        Raises ParseError for one that is broken.
        """
        whole = self.elements[:-1] if self.goes_on else self.elements
        for obu in whole:
            if av1.obu_type(obu) == av1.SEQUENCE_HEADER:
                header = av1.without_size(obu)
                always_key = av1.parse_sequence_header(header).always_key
                if self.new_sequence or always_key or any(map(av1.is_keyframe, self.elements)):
                    return header
        return None


def read_payload(payload: bytes | memoryview) -> Elements:
    """Read a payload. Raises ParseError."""
    data = bytes(payload)
    if len(data) < 2:
        raise ParseError("An AV1 payload holds nothing.")
    flags = data[0]
    count = (flags & _COUNT) >> 4
    elements: list[bytes] = []
    position = 1
    while position < len(data):
        end = len(data)
        if len(elements) + 1 != count:
            size, position = av1.read_leb128(data, position)
            end = position + size
        if not position < end <= len(data):
            raise ParseError("An AV1 payload ends within an OBU element, or one is empty.")
        elements.append(data[position:end])
        position = end
    continues, new_sequence = bool(flags & _CONTINUES), bool(flags & _NEW_SEQUENCE)
    if (count and len(elements) != count) or (continues and new_sequence):
        raise ParseError("An AV1 payload holds something else than its header says.")
    return Elements(elements, continues, bool(flags & _GOES_ON), new_sequence)


@dataclass(slots=True)
class _Piece:
    """What is known of an OBU and not yet sent."""

    data: bytes | memoryview
    begins: bool
    ends: bool

    def append(self, data: bytes) -> None:
        self.data = bytes(self.data) + data


class ObuCutter:
    """Cuts one temporal unit into payloads as long as can be.

    Takes it as a publisher's payloads. As long as they fit, they stay as they are, but for temporal
    delimiters; of longer ones, what doesn't fill a payload waits for the next.

    Only the last payload ends where an OBU does: browsers take each such end for that of a picture,
    unless it is told otherwise by a header extension that viewers are not sent (Appendix A). So
    where a publisher's packet ends like that, a byte is held back for the next one.
    """

    def __init__(self, *, keyframe: bool) -> None:
        self._flags = _NEW_SEQUENCE if keyframe else 0  # the next payload's
        self._pieces: list[_Piece] = []

    def cut(self, data: bytes, *, last: bool) -> list[bytes]:
        """What a payload becomes; `last` says that the temporal unit ends with it."""
        elements, continues, goes_on, _ = read_payload(data)
        fits = not self._pieces and len(data) <= MAX_PAYLOAD and (goes_on or last)
        if fits and not any(map(_is_delimiter, elements)):
            return [self._flagged(data)]
        waited = bool(self._pieces)
        if waited and continues == self._pieces[-1].ends:
            raise ParseError("An AV1 payload does not go on where the one before has ended.")
        for index, element in enumerate(elements):
            ends = index < len(elements) - 1 or not goes_on
            if index == 0 and continues:
                if waited:
                    self._pieces[-1].append(element)
                    self._pieces[-1].ends = ends
                else:
                    self._pieces.append(_Piece(element, False, ends))
            elif not (ends and _is_delimiter(element)):
                self._pieces.append(_Piece(element, True, ends))
        held = b"" if last else self._hold_back()
        payloads: list[bytes] = []
        while self._pieces:
            payload, rest = _pack(self._pieces)
            if not rest and len(payload) < MAX_PAYLOAD and not last and (waited or payloads):
                break
            payloads.append(self._flagged(payload))
            self._pieces = rest
        if held and self._pieces:
            self._pieces[-1].append(held)
            self._pieces[-1].ends = True
        elif held:
            self._pieces = [_Piece(held, False, True)]
        return payloads

    def _hold_back(self) -> bytes:
        """Take the last byte away, if an OBU ends with it."""
        if not self._pieces or not self._pieces[-1].ends or len(self._pieces[-1].data) == 1:
            return b""
        end = self._pieces[-1]
        held, end.data, end.ends = bytes(end.data[-1:]), end.data[:-1], False
        return held

    def cut_obus(self, obus: list[bytes]) -> list[bytes]:
        """The payloads of a whole temporal unit."""
        pieces = [_Piece(memoryview(obu), True, True) for obu in obus]
        payloads: list[bytes] = []
        while pieces:
            payload, pieces = _pack(pieces)
            payloads.append(self._flagged(payload))
        return payloads

    def _flagged(self, payload: bytes) -> bytes:
        flags, self._flags = self._flags, 0
        return bytes((payload[0] | flags,)) + payload[1:] if flags else payload


def _is_delimiter(obu: bytes) -> bool:
    return av1.obu_type(obu) == av1.TEMPORAL_DELIMITER


def _pack(pieces: list[_Piece]) -> tuple[bytes, list[_Piece]]:
    """A payload with as much as it holds, and what is left."""
    room = MAX_PAYLOAD - 1
    parts: list[bytes | memoryview] = []
    for count, piece in enumerate(pieces, start=1):
        length = av1.leb128(len(piece.data))
        needed = len(length) + len(piece.data)
        if count < min(len(pieces), _MOST_COUNTED) and needed < room:
            parts += [length, piece.data]
            room -= needed
            continue
        break
    # The last one, which has no length.
    part, following = piece.data[:room], piece.data[room:]
    if len(pieces) > count and piece.ends and not following and len(part) > 1:
        part, following = part[:-1], part[-1:]
    flags = count << 4 | (0 if pieces[0].begins else _CONTINUES)
    rest = pieces[count:]
    if following:
        rest.insert(0, _Piece(following, False, piece.ends))
    if following or not piece.ends:
        flags |= _GOES_ON
    return b"".join([bytes((flags,)), *parts, part]), rest


class Av1Packetizer:
    """Temporal units in, payloads out."""

    marker: ClassVar[bool] = True

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit. Raises ParseError for one that is broken or empty."""
        [data] = unit.units
        obus = av1.split_obus(data)
        if not obus:
            raise ParseError("An AV1 temporal unit is empty.")
        header = Elements(obus, continues=False, goes_on=False, new_sequence=False)
        return ObuCutter(keyframe=header.sequence_header() is not None).cut_obus(obus)


class Av1Depacketizer:
    """Payloads in, temporal units out as soon as their marker comes.

    What follows a loss within a temporal unit is left out; one without its beginning is left out
    altogether. Missing markers are made up for when the next one begins.
    """

    def __init__(self, codec: Av1) -> None:
        self.codec = codec
        """With the last keyframe's sequence header."""
        self._timestamp: int | None = None
        self._obus: list[bytes] = []
        self._parts: list[bytes] = []  # of the OBU that is coming
        self._size = 0
        self._whole = False  # nothing is missing until now
        self._damaged = False
        self._sequence_header: bytes | None = None

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it."""
        if gap:
            self._lose()
        try:
            packet = read_payload(payload)
        except ParseError:
            self._lose()
            raise
        finished = self.flush() if timestamp != self._timestamp else []
        self._timestamp = timestamp
        try:
            if not (self._obus or self._parts or self._damaged):
                self._whole = packet.starts
                self._sequence_header = packet.sequence_header() if packet.starts else None
            if self._whole:
                self._take(packet)
        except ParseError:
            # What is inside is for decoders to say; it is only known not to be whole.
            self._lose()
            self._damaged = True
        return finished + self.flush() if marker else finished

    def _take(self, packet: Elements) -> None:
        if packet.continues != bool(self._parts):
            self._lose()  # a publisher's packet was lost that had no number here
            return
        for index, element in enumerate(packet.elements):
            self._size += len(element) + OVERHEAD
            if self._size > MAX_FRAME:
                raise ParseError(f"A picture is longer than {MAX_FRAME} bytes.")
            self._parts.append(element)
            if index < len(packet.elements) - 1 or not packet.goes_on:
                obu, self._parts = b"".join(self._parts), []
                if not _is_delimiter(obu):
                    self._obus.append(av1.with_size(obu))

    def _lose(self) -> None:
        """Leave out what follows of the temporal unit that is coming."""
        self._whole = False
        self._damaged = bool(self._obus or self._parts)
        self._parts = []

    def flush(self) -> list[AccessUnit]:
        """What is left of the temporal unit that is coming."""
        obus, header = self._obus, self._sequence_header
        damaged = self._damaged or bool(self._parts)
        self._obus, self._parts, self._size = [], [], 0
        self._whole = self._damaged = False
        self._sequence_header = None
        if not obus or self._timestamp is None:
            return []
        if header is not None and header != self.codec.sequence_header:
            self.codec = Av1(header)
        keyframe = header is not None
        return [AccessUnit([b"".join(obus)], self._timestamp, keyframe=keyframe, damaged=damaged)]


class Av1Normaliser(FrameNormaliser[ObuCutter]):
    """See `FrameNormaliser`; keyframes begin with N set, however their publisher told them."""

    def __init__(self, codec: Av1) -> None:
        super().__init__()
        self.codec = codec
        """With the last keyframe's sequence header."""

    def _take(self, payload: bytes, cutter: ObuCutter | None) -> Part[ObuCutter]:
        if cutter is not None:
            return Part(cutter, payload, keyframe=False)
        packet = read_payload(payload)
        if not packet.starts or packet.is_empty:
            return Part(None, payload, keyframe=False)
        header = packet.sequence_header()
        if header is not None and header != self.codec.sequence_header:
            self.codec = Av1(header)
        keyframe = header is not None
        return Part(ObuCutter(keyframe=keyframe), payload, keyframe)


def fmtp(codec: Av1) -> str:
    """The parameters of `a=fmtp` (7.1); those of a level that nothing is known of are left out."""
    if not codec.sequence_header:
        return "profile=0"
    header = av1.parse_sequence_header(codec.sequence_header)
    return f"profile={header.profile};level-idx={header.level_idx};tier={header.tier}"
