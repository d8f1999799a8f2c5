"""VP8 in RTP (RFC 7741)."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media import vp8
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Vp8
from streamsocket.rtp.frame import Frame, FrameAssembler, FrameCutter, FrameNormaliser, Part

# The payload descriptor (4.2), its first byte and the X byte.
_EXTENDED = 0x80
_NON_REFERENCE = 0x20
_START = 0x10
_PARTITION = 0x07
_PICTURE_ID, _TL0PICIDX, _TID, _KEYIDX = 0x80, 0x40, 0x20, 0x10
_LONG_PICTURE_ID = 0x80


class Descriptor(NamedTuple):
    """What a payload descriptor says that matters here."""

    size: int
    """Its length in bytes: the frame's follow."""
    starts: bool
    """A frame begins with this packet."""
    non_reference: bool
    """No other frame needs this one."""


def read_descriptor(payload: bytes | memoryview) -> Descriptor:
    """Read the payload descriptor; ParseError where nothing of a frame follows it.

    PictureID, TL0PICIDX, TID and KEYIDX are skipped: what they tell of loss and of layers, sequence
    numbers and frame headers tell as well.
    """
    first = payload[0] if payload else 0
    size = 1
    if first & _EXTENDED and len(payload) > 1:
        extension = payload[1]
        size = 2
        if extension & _PICTURE_ID:
            size += 2 if len(payload) > 2 and payload[2] & _LONG_PICTURE_ID else 1
        size += bool(extension & _TL0PICIDX)
        size += bool(extension & (_TID | _KEYIDX))
    if len(payload) <= size:
        raise ParseError("A VP8 payload ends within its descriptor.")
    starts = first & (_START | _PARTITION) == _START
    return Descriptor(size, starts, bool(first & _NON_REFERENCE))


def _cutter(non_reference: bool) -> FrameCutter:
    """Cuts a frame for payloads with the shortest descriptor.

    Without a PictureID: it has to count up by one from frame to frame, and what viewers get is
    woven anew where a source begins again and where they skip to a keyframe. Sequence numbers,
    which receivers then go by, are rewritten there.
    """
    flags = _NON_REFERENCE if non_reference else 0
    first, following = bytes((flags | _START,)), bytes((flags,))
    return FrameCutter(lambda offset: following if offset else first)


class Vp8Packetizer:
    """Frames in, payloads out."""

    marker: ClassVar[bool] = True

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit. Raises ParseError for an empty one."""
        [frame] = unit.units
        if not frame:
            raise ParseError("A VP8 frame is empty.")
        return _cutter(non_reference=False).cut(frame, last=True)


class Vp8Depacketizer:
    """Payloads in, frames out as soon as their marker comes. See `FrameAssembler` for losses."""

    def __init__(self, codec: Vp8) -> None:
        self.codec = codec
        """With the size of the last keyframe."""
        self._frames = FrameAssembler()

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it."""
        try:
            descriptor = read_descriptor(payload)
        except ParseError:
            self._frames.lose()
            raise
        data = bytes(payload[descriptor.size :])
        frames = self._frames.push(
            data, timestamp, starts=descriptor.starts, marker=marker, gap=gap
        )
        return [self._unit(frame) for frame in frames]

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""
        return [self._unit(frame) for frame in self._frames.flush()]

    def _unit(self, frame: Frame) -> AccessUnit:
        keyframe, damaged = vp8.is_keyframe(frame.data), frame.damaged
        if keyframe:
            try:
                self.codec = _learnt(self.codec, frame.data)
            except ParseError:
                keyframe, damaged = False, True
        return AccessUnit([frame.data], frame.timestamp, keyframe=keyframe, damaged=damaged)


class Vp8Normaliser(FrameNormaliser[FrameCutter]):
    """See `FrameNormaliser`."""

    def __init__(self, codec: Vp8) -> None:
        super().__init__()
        self.codec = codec
        """With the size of the last keyframe."""

    def _take(self, payload: bytes, cutter: FrameCutter | None) -> Part[FrameCutter]:
        descriptor = read_descriptor(payload)
        data = payload[descriptor.size :]
        if not descriptor.starts:
            return Part(cutter, data, keyframe=False)
        keyframe = vp8.is_keyframe(data)
        if keyframe and len(data) >= vp8.KEYFRAME_HEADER:
            self.codec = _learnt(self.codec, data)
        return Part(_cutter(descriptor.non_reference), data, keyframe)


def _learnt(codec: Vp8, keyframe: bytes) -> Vp8:
    """The codec with a keyframe's size: the same object where it had that already."""
    size = vp8.picture_size(keyframe)
    return codec if size == codec.size else Vp8(size)
