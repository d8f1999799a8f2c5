"""VP9 in RTP (RFC 9628).

What is passed on has one layer, whatever came in: the frames of a picture's spatial layers become
one superframe, of which decoders show the last. So it plays where layers are not known, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import ClassVar, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media import vp9
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Vp9
from streamsocket.rtp.frame import Frame, FrameAssembler, FrameCutter, FrameNormaliser, Part

# The payload descriptor's first byte (4.2).
_PICTURE_ID, _INTER_PREDICTED, _LAYERS, _FLEXIBLE = 0x80, 0x40, 0x20, 0x10
_BEGINS, _ENDS, _STRUCTURE = 0x08, 0x04, 0x02

_LONG_PICTURE_ID = 0x80
_MORE_REFERENCES = 0x01
_MAX_REFERENCES = 3
_SIZES, _PICTURE_GROUP = 0x10, 0x08  # of the scalability structure (4.2.1)

_PROFILES = ("0", "1", "2", "3")
_ENDS_WITHIN = "A VP9 payload ends within its descriptor."


class Descriptor(NamedTuple):
    """What a payload descriptor says that matters here."""

    size: int
    """Its length in bytes: the frame's follow."""
    begins: bool
    """A layer's frame begins with this packet."""
    layer: int = 0
    """The spatial layer."""
    picture_size: tuple[int, int] | None = None
    """Width and height of the largest layer, where the scalability structure tells them."""

    @property
    def starts(self) -> bool:
        """A picture begins with this packet: it has the base layer's beginning."""
        return self.begins and not self.layer


def read_descriptor(payload: bytes | memoryview) -> Descriptor:
    """Read the payload descriptor; ParseError where nothing of a frame follows it.

    PictureID, TL0PICIDX, temporal layers and references are skipped: what they tell of loss,
    sequence numbers tell as well.
    """
    try:
        flags = payload[0]
        position = 1
        if flags & _PICTURE_ID:
            position += 2 if payload[1] & _LONG_PICTURE_ID else 1
        layer = 0
        if flags & _LAYERS:
            layer = payload[position] >> 1 & 7
            position += 1 if flags & _FLEXIBLE else 2
        if flags & _FLEXIBLE and flags & _INTER_PREDICTED:
            for _ in range(_MAX_REFERENCES):
                position += 1
                if not payload[position - 1] & _MORE_REFERENCES:
                    break
        picture_size = None
        if flags & _STRUCTURE:
            position, picture_size = _read_structure(payload, position)
    except IndexError:
        raise ParseError(_ENDS_WITHIN) from None
    if len(payload) <= position:
        raise ParseError(_ENDS_WITHIN)
    return Descriptor(position, bool(flags & _BEGINS), layer, picture_size)


def _read_structure(
    payload: bytes | memoryview, position: int
) -> tuple[int, tuple[int, int] | None]:
    """Where the scalability structure (4.2.1) ends, and the last layer's width and height."""
    flags = payload[position]
    position += 1
    size = None
    if flags & _SIZES:
        position += 4 * ((flags >> 5) + 1)
        width_and_height = bytes(payload[position - 4 : position])
        size = (
            int.from_bytes(width_and_height[:2], "big"),
            int.from_bytes(width_and_height[2:], "big"),
        )
    if flags & _PICTURE_GROUP:
        pictures = payload[position]
        position += 1
        for _ in range(pictures):
            position += 1 + (payload[position] >> 2 & 3)
    return position, size if size and all(size) else None


class _PictureCutter(FrameCutter):
    """Cuts a picture for payloads with the shortest descriptor.

    Without a PictureID, as in VP8, and for the same reasons. A keyframe brings its size: where
    it has layers, that of the largest is in no header that is easy to find.
    """

    def __init__(self, *, size: tuple[int, int] | None, keyframe: bool) -> None:
        flags = 0 if keyframe else _INTER_PREDICTED
        first = following = bytes((flags,))
        if keyframe and size and max(size) <= 0xFFFF:
            width, height = size
            first = bytes((flags | _STRUCTURE, _SIZES))
            first += width.to_bytes(2, "big") + height.to_bytes(2, "big")
        first = bytes((first[0] | _BEGINS,)) + first[1:]
        super().__init__(lambda offset: following if offset else first)
        self._layers = [0]  # where each of them begins

    def begin_layer(self) -> None:
        """What is cut next is of the next layer."""
        if len(self._layers) <= vp9.MAX_FRAMES:
            self._layers.append(self.taken)

    def cut(self, data: bytes, *, last: bool) -> list[bytes]:
        """See `FrameCutter`."""
        if not last:
            return super().cut(data, last=False)
        data += _index_of(self._layers, self.taken + len(data))
        *payloads, end = super().cut(data, last=True)
        return [*payloads, bytes((end[0] | _ENDS,)) + end[1:]]


def _index_of(layers: list[int], size: int) -> bytes:
    """What makes a superframe of a picture whose layers begin at these offsets."""
    if len(layers) == 1:
        return b""
    return vp9.superframe_index([end - begin for begin, end in pairwise([*layers, size])])


class Vp9Packetizer:
    """Pictures in, payloads out."""

    marker: ClassVar[bool] = True

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit. Raises ParseError for an empty one."""
        [frame] = unit.units
        if not frame:
            raise ParseError("A VP9 frame is empty.")
        keyframe = vp9.is_keyframe(frame)
        size = None
        if keyframe:
            try:
                size = _size(frame)
            except ParseError:
                keyframe = False
        return _PictureCutter(size=size, keyframe=keyframe).cut(frame, last=True)


class Vp9Depacketizer:
    """Payloads in, pictures out as soon as their marker comes. See `FrameAssembler` for losses."""

    def __init__(self, codec: Vp9) -> None:
        self.codec = codec
        """With the size and the profile of the last keyframe."""
        self._frames = FrameAssembler()
        self._layers = [0]  # where each of those of the picture that is coming begins
        # The last timestamp, and the size that its picture's descriptor tells.
        self._announced: tuple[int | None, tuple[int, int] | None] = None, None

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it."""
        try:
            descriptor = read_descriptor(payload)
        except ParseError:
            self._frames.lose()
            raise
        if descriptor.starts or timestamp != self._announced[0]:
            self._announced = timestamp, descriptor.picture_size
        elif descriptor.begins and len(self._layers) <= vp9.MAX_FRAMES:
            taken = self._frames.taken
            if taken > self._layers[-1]:
                self._layers.append(taken)
        data = bytes(payload[descriptor.size :])
        frames = self._frames.push(
            data, timestamp, starts=descriptor.starts, marker=marker, gap=gap
        )
        return [self._unit(frame) for frame in frames]

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""
        return [self._unit(frame) for frame in self._frames.flush()]

    def _unit(self, frame: Frame) -> AccessUnit:
        data, damaged = frame.data, frame.damaged
        layers, self._layers = self._layers, [0]
        announced_for, size = self._announced
        if frame.timestamp != announced_for:
            size = None
        keyframe = vp9.is_keyframe(data)
        if keyframe:
            try:
                self.codec = _learnt(self.codec, data, size)
            except ParseError:
                keyframe, damaged = False, True
        if not damaged:
            try:
                data += _index_of(layers, len(data))
            except ParseError:
                damaged = True
        return AccessUnit([data], frame.timestamp, keyframe=keyframe, damaged=damaged)


class Vp9Normaliser(FrameNormaliser[_PictureCutter]):
    """See `FrameNormaliser`."""

    def __init__(self, codec: Vp9) -> None:
        super().__init__()
        self.codec = codec
        """With the size and the profile of the last keyframe."""

    def _take(self, payload: bytes, cutter: _PictureCutter | None) -> Part[_PictureCutter]:
        descriptor = read_descriptor(payload)
        data = payload[descriptor.size :]
        if not descriptor.starts:
            if descriptor.begins and cutter is not None:
                cutter.begin_layer()
            return Part(cutter, data, keyframe=False)
        keyframe = vp9.is_keyframe(data)
        size = descriptor.picture_size
        if keyframe and len(data) >= vp9.KEYFRAME_HEADER:
            self.codec = _learnt(self.codec, data, size)
            size = self.codec.size
        return Part(_PictureCutter(size=size, keyframe=keyframe), data, keyframe)


def profile_from(fmtp: Mapping[str, str]) -> int:
    """The profile that SDP's parameters tell (6), by lower-case name. Raises ParseError."""
    profile = fmtp.get("profile-id", "0").strip()
    if profile not in _PROFILES:
        raise ParseError(f"VP9 has no profile {profile[:20]}.")
    return int(profile)


def _size(keyframe: bytes) -> tuple[int, int]:
    header = vp9.parse_keyframe(keyframe)
    return header.width, header.height


def _learnt(codec: Vp9, keyframe: bytes, size: tuple[int, int] | None) -> Vp9:
    """The codec with what a keyframe tells: the same object where it had that already.

    `size` is that of the largest layer, if it is known.
    """
    header = vp9.parse_keyframe(keyframe)
    learnt = Vp9(size or (header.width, header.height), header.profile)
    return codec if learnt == codec else learnt
