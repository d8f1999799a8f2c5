"""Motion JPEG in RTP (RFC 2435)."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import ClassVar, NamedTuple

from streamsocket.errors import ParseError
from streamsocket.media import jpeg
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import Mjpeg
from streamsocket.rtp.frame import (
    MAX_FRAME,
    Frame,
    FrameAssembler,
    FrameCutter,
    FrameNormaliser,
    Part,
)

MAX_SIDE = 8 * 255
"""Pixels: a picture's width and height are told in blocks of 8, in one byte each."""

_MAIN = struct.Struct("!IBBBB")
"""Type-specific and fragment offset, type, Q, width and height (3.1)."""
_RESTART = struct.Struct("!HH")
"""Restart interval; F, L and restart count (3.1.7)."""
_TABLES = struct.Struct("!BBH")
"""MBZ, precision, length (3.1.8)."""

_OFFSET = 0xFFFFFF
_WITH_RESTARTS = 0x40
_SUBSAMPLING: tuple[jpeg.Subsampling, jpeg.Subsampling] = ("4:2:2", "4:2:0")
"""By type (4.1)."""
_WHOLE_FRAME = 0xFFFF
"""F, L and count: the frame is decoded when it is there, not from restart to restart."""
_TABLES_OF_ANY_KIND = 128
"""From this Q on, quantisation tables come in band; below, Q itself tells them."""
_TABLES_IN_EVERY_FRAME = 255

# The tables that Q scales, in zigzag order (appendix A; T.81, K.1).
_LUMA = bytes.fromhex(
    "100b0c0e0c0a100e0d0e1211101318281a181616183123251d283a333d3c3933"
    "383740485c4e404457453738506d51575f626768673e4d71797064785c656763"
)
_CHROMA = bytes.fromhex("1112121815182f1a1a2f63423842") + b"\x63" * 50


class Header(NamedTuple):
    """What comes before the entropy-coded data in a payload."""

    type_specific: int
    offset: int
    """Where in the frame's data this payload's begins."""
    kind: int
    """The type: 0 is 4:2:2, 1 is 4:2:0, 64 more has restarts."""
    q: int
    columns: int
    """The width in blocks of 8 pixels."""
    rows: int
    """The height in blocks of 8 pixels."""
    restart_interval: int
    tables: bytes
    """Of luma and chroma, 64 bytes each; empty where there are none in this payload."""
    size: int
    """The length of the headers in bytes: the data follow."""

    @property
    def picture_size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return 8 * self.columns, 8 * self.rows

    def at(self, offset: int) -> bytes:
        """The headers written for the data from this offset on."""
        place = self.type_specific << 24 | offset
        written = _MAIN.pack(place, self.kind, self.q, self.columns, self.rows)
        if self.kind & _WITH_RESTARTS:
            written += _RESTART.pack(self.restart_interval, _WHOLE_FRAME)
        if self.tables and not offset:
            written += _TABLES.pack(0, 0, len(self.tables)) + self.tables
        return written


def read_header(payload: bytes | memoryview) -> Header:
    """Read the headers of a payload (3.1). Raises ParseError, also where no data follow."""
    payload = bytes(payload[: _MAIN.size + _RESTART.size + _TABLES.size + 4 * 64 + 1])
    if len(payload) < _MAIN.size:
        raise ParseError("A JPEG payload ends within its header.")
    place, kind, q, columns, rows = _MAIN.unpack_from(payload)
    if kind & ~_WITH_RESTARTS not in (0, 1):
        raise ParseError(f"JPEG of type {kind} is not supported: 4:2:0 and 4:2:2 pictures are.")
    if not columns or not rows:
        raise ParseError(f"A JPEG of more than {MAX_SIDE}x{MAX_SIDE} pixels is not supported.")
    if not 0 < q < 100 and q < _TABLES_OF_ANY_KIND:
        raise ParseError(f"A JPEG payload has the reserved Q of {q}.")
    size = _MAIN.size
    restart_interval = 0
    tables = b""
    if kind & _WITH_RESTARTS:
        if len(payload) < size + _RESTART.size:
            raise ParseError("A JPEG payload ends within its header.")
        restart_interval, _ = _RESTART.unpack_from(payload, size)
        size += _RESTART.size
    if q >= _TABLES_OF_ANY_KIND and not place & _OFFSET:
        tables, size = _read_tables(payload, size)
        if not tables and q == _TABLES_IN_EVERY_FRAME:
            raise ParseError("A JPEG payload lacks its quantisation tables.")
    if len(payload) <= size:
        raise ParseError("A JPEG payload ends within its header.")
    return Header(
        place >> 24, place & _OFFSET, kind, q, columns, rows, restart_interval, tables, size
    )


def _read_tables(payload: bytes, position: int) -> tuple[bytes, int]:
    """The tables of luma and chroma, or nothing, and where the data begin."""
    start = position + _TABLES.size
    if len(payload) < start:
        raise ParseError("A JPEG payload ends within its header.")
    _, precision, length = _TABLES.unpack_from(payload, position)
    tables = payload[start : start + length]
    if length % 64 or len(tables) != length:
        raise ParseError(f"A JPEG payload has {length} bytes of quantisation tables.")
    if length and precision & 3:
        raise ParseError("JPEG quantisation tables of 16 bits are not supported: 8 bits are.")
    # One table is for luma and chroma alike.
    return (tables * 2)[:128], start + length


@lru_cache(maxsize=99)
def quantisation_tables(q: int) -> bytes:
    """The tables of luma and chroma that a Q from 1 to 99 stands for (4.2, appendix A)."""
    factor = 5000 // q if q < 50 else 200 - 2 * q
    return bytes(min(max((each * factor + 50) // 100, 1), 255) for each in _LUMA + _CHROMA)


class _Tables:
    """The tables of frames, which may have come with a frame before (3.1.8)."""

    def __init__(self) -> None:
        self._by_q: dict[int, bytes] = {}

    def of(self, header: Header) -> bytes:
        """The tables of the frame that begins with this header. Raises ParseError for unknown."""
        if header.q < _TABLES_OF_ANY_KIND:
            return quantisation_tables(header.q)
        if header.tables:
            self._by_q[header.q] = header.tables
        try:
            return self._by_q[header.q]
        except KeyError:
            raise ParseError(
                f"The quantisation tables of a JPEG with Q {header.q} have not come yet."
            ) from None


class MjpegPacketizer:
    """JPEG files in, payloads out; quantisation tables in every frame."""

    marker: ClassVar[bool] = True

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit.

        A width or height that isn't in blocks of 8 is told as the next larger, of which the
        picture has the pixels. Raises ParseError for a JPEG that the format can't carry: one with
        Huffman tables of its own, of more than 2040x2040 pixels, not baseline, sampled otherwise
        than 4:2:0 or 4:2:2.
        """
        [data] = unit.units
        headers, scan = jpeg.parse_jpeg(data)
        if not headers.usual_huffman_tables:
            raise ParseError(
                "A JPEG with Huffman tables of its own can't be sent over RTP: encode it with the "
                "usual ones (FFmpeg: -huffman default)."
            )
        if max(headers.width, headers.height) > MAX_SIDE:
            raise ParseError(
                f"A JPEG of {headers.width}x{headers.height} pixels can't be sent over RTP: "
                f"{MAX_SIDE}x{MAX_SIDE} is the most. Scale it down, or send another codec."
            )
        if not 0 < len(scan) <= MAX_FRAME:
            raise ParseError(f"A JPEG with {len(scan)} bytes of data can't be sent over RTP.")
        header = Header(
            type_specific=0,
            offset=0,
            kind=_SUBSAMPLING.index(headers.subsampling)
            | (_WITH_RESTARTS if headers.restart_interval else 0),
            q=_TABLES_IN_EVERY_FRAME,
            columns=(headers.width + 7) // 8,
            rows=(headers.height + 7) // 8,
            restart_interval=headers.restart_interval,
            tables=headers.tables,
            size=0,
        )
        return FrameCutter(header.at).cut(scan, last=True)


class MjpegDepacketizer:
    """Payloads in, JPEG files out as soon as their marker comes. See `FrameAssembler` for losses.

    A picture whose end is missing is a JPEG all the same: decoders show its upper part.
    """

    def __init__(self, codec: Mjpeg) -> None:
        self.codec = codec
        """With the size of the last picture."""
        self._frames = FrameAssembler()
        self._tables = _Tables()
        self._next = 0  # the offset of the next payload

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it."""
        try:
            header = read_header(payload)
            prefix = b"" if header.offset else self._headers(header)
        except ParseError:
            self._frames.lose()
            raise
        data = bytes(payload[header.size :])
        gap = gap or header.offset not in (0, self._next)
        self._next = header.offset + len(data)
        frames = self._frames.push(
            prefix + data, timestamp, starts=not header.offset, marker=marker, gap=gap
        )
        return [_unit(frame) for frame in frames]

    def flush(self) -> list[AccessUnit]:
        """What is left when the stream ends."""
        return [_unit(frame) for frame in self._frames.flush()]

    def _headers(self, header: Header) -> bytes:
        """A JPEG file's headers for the frame that begins with this payload."""
        tables = self._tables.of(header)
        width, height = header.picture_size
        self.codec = _learnt(self.codec, header)
        subsampling = _SUBSAMPLING[header.kind & 1]
        return jpeg.build_headers(
            jpeg.Headers(width, height, subsampling, tables, header.restart_interval)
        )


def _unit(frame: Frame) -> AccessUnit:
    data = frame.data if frame.data.endswith(jpeg.EOI) else frame.data + jpeg.EOI
    return AccessUnit([data], frame.timestamp, damaged=frame.damaged)


class MjpegNormaliser(FrameNormaliser[FrameCutter]):
    """See `FrameNormaliser`.

    Where quantisation tables come in band, every frame gets its own, so that a viewer can begin
    with any.
    """

    def __init__(self, codec: Mjpeg) -> None:
        super().__init__()
        self.codec = codec
        """With the size of the last picture."""
        self._tables = _Tables()

    def _take(self, payload: bytes, cutter: FrameCutter | None) -> Part[FrameCutter]:
        header = read_header(payload)
        data = payload[header.size :]
        if header.offset + len(data) > MAX_FRAME:
            raise ParseError(f"A JPEG is longer than {MAX_FRAME} bytes.")
        if not header.offset:
            return Part(self._begin(header), data, keyframe=True)
        if cutter and header.offset != cutter.taken:
            cutter = None
        return Part(cutter, data, keyframe=False)

    def _begin(self, header: Header) -> FrameCutter:
        tables = self._tables.of(header)
        if header.q >= _TABLES_OF_ANY_KIND:
            header = header._replace(q=_TABLES_IN_EVERY_FRAME, tables=tables)
        self.codec = _learnt(self.codec, header)
        return FrameCutter(header.at)


def _learnt(codec: Mjpeg, header: Header) -> Mjpeg:
    """The codec with a picture's size: the same object where it had that already."""
    return codec if header.picture_size == codec.size else Mjpeg(header.picture_size)
