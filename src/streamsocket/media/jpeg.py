"""JPEG: taking a baseline picture's segments apart and putting one together (ITU-T T.81)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from streamsocket.errors import ParseError

_SOI, _EOI, _SOS, _DQT, _DRI, _DHT = 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xC4
_BASELINE = 0xC0
_FRAME_HEADERS = {*range(0xC0, 0xD0)} - {_DHT, 0xC8, 0xCC}
_WITHOUT_LENGTH = {0x01, *range(0xD0, 0xD9)}

# Within a scan, what stands for a byte FF (FF 00) and restarts is no marker; nor are fill bytes.
_MARKER_IN_SCAN = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")

Subsampling = Literal["4:2:0", "4:2:2"]
_LUMA_FACTORS: dict[Subsampling, int] = {"4:2:0": 0x22, "4:2:2": 0x21}
"""The first component's sampling factors; the other two have 1 by 1."""

# The usual Huffman tables (K.3 to K.6): how many codes there are of each length, then their values.
_DC_VALUES = bytes(range(12))
_LUMA_DC = bytes.fromhex("00010501010101010100000000000000") + _DC_VALUES
_CHROMA_DC = bytes.fromhex("00030101010101010101010000000000") + _DC_VALUES
_LUMA_AC = bytes.fromhex(
    "0002010303020403050504040000017d"
    "01020300041105122131410613516107227114328191a1082342b1c11552d1f0"
    "2433627282090a161718191a25262728292a3435363738393a434445464748494a"
    "535455565758595a636465666768696a737475767778797a838485868788898a"
    "92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3c4c5c6"
    "c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9fa"
)
_CHROMA_AC = bytes.fromhex(
    "00020102040403040705040400010277"
    "000102031104052131061241510761711322328108144291a1b1c109233352f0"
    "156272d10a162434e125f11718191a262728292a35363738393a434445464748"
    "494a535455565758595a636465666768696a737475767778797a828384858687"
    "88898a92939495969798999aa2a3a4a5a6a7a8a9aab2b3b4b5b6b7b8b9bac2c3"
    "c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae2e3e4e5e6e7e8e9eaf2f3f4f5f6f7f8f9fa"
)
_USUAL_HUFFMAN = {0x00: _LUMA_DC, 0x10: _LUMA_AC, 0x01: _CHROMA_DC, 0x11: _CHROMA_AC}
"""By table class and number, as a DHT segment writes them: 0x10 is AC table 0."""


EOI = b"\xff\xd9"
"""The end of a JPEG."""


@dataclass(frozen=True, slots=True)
class Headers:
    """What the headers of a baseline picture in three components say."""

    width: int
    """In pixels."""
    height: int
    subsampling: Subsampling
    tables: bytes
    """The quantisation tables of luma and chroma, 64 bytes each, in zigzag order."""
    restart_interval: int = 0
    """Minimum coded units from restart to restart; 0 for none."""
    usual_huffman_tables: bool = True
    """Its Huffman tables are those of the standard's annex K."""


def parse_jpeg(data: bytes) -> tuple[Headers, bytes]:
    """Take a whole JPEG file apart: its headers, and the entropy-coded data between them and EOI.

    Restart markers stay in the data; what comes after EOI is left.

    Raises ParseError for what is no JPEG, is cut off before its scan, or is coded in another way
    than nearly all video is: progressive, grey, in several scans, sampled otherwise.
    """
    if data[:2] != bytes((0xFF, _SOI)):
        raise ParseError("This is no JPEG: it doesn't begin with SOI.")
    quantisation: dict[int, bytes] = {}
    huffman: dict[int, bytes] = {}
    frame: bytes | None = None
    restart_interval = 0
    position = 2
    while True:
        marker, body, position = _segment(data, position)
        if marker == _DQT:
            _read_quantisation(body, quantisation)
        elif marker == _DHT:
            _read_huffman(body, huffman)
        elif marker == _DRI:
            if len(body) != 2:
                raise ParseError("A JPEG's restart interval is not two bytes.")
            restart_interval = int.from_bytes(body, "big")
        elif marker in _FRAME_HEADERS:
            if marker != _BASELINE:
                raise ParseError(_not_baseline(marker))
            frame = body
        elif marker == _SOS:
            break
        elif marker == _EOI:
            raise ParseError("A JPEG ends before its scan.")
    if frame is None:
        raise ParseError("A JPEG has no frame header before its scan.")
    width, height, subsampling, components = _read_frame(frame)
    used = _read_scan_header(body, components)
    end = _MARKER_IN_SCAN.search(data, position)
    if end and data[end.start() + 1] != _EOI:
        raise ParseError("A JPEG in several scans is not supported: encode it as baseline.")
    headers = Headers(
        width,
        height,
        subsampling,
        _tables_of(components, quantisation),
        restart_interval,
        usual_huffman_tables=all(
            huffman.get(key, _USUAL_HUFFMAN[meant]) == _USUAL_HUFFMAN[meant]
            for key, meant in used.items()
        ),
    )
    return headers, data[position : end.start() if end else len(data)]


def build_headers(headers: Headers) -> bytes:
    """All of a JPEG file that comes before its entropy-coded data, with the usual Huffman tables.

    With the data and `EOI` after it, it is a JPEG file.
    """
    luma = _LUMA_FACTORS[headers.subsampling]
    parts = [
        bytes((0xFF, _SOI)),
        _written(_DQT, b"\x00" + headers.tables[:64] + b"\x01" + headers.tables[64:]),
        _written(
            _BASELINE,
            b"\x08"
            + headers.height.to_bytes(2, "big")
            + headers.width.to_bytes(2, "big")
            + bytes((3, 1, luma, 0, 2, 0x11, 1, 3, 0x11, 1)),
        ),
        _HUFFMAN_SEGMENT,
    ]
    if headers.restart_interval:
        parts.append(_written(_DRI, headers.restart_interval.to_bytes(2, "big")))
    return b"".join((*parts, _SCAN_HEADER))


def _written(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


_HUFFMAN_SEGMENT = _written(
    _DHT, b"".join(bytes((key,)) + table for key, table in _USUAL_HUFFMAN.items())
)
_SCAN_HEADER = _written(_SOS, bytes((3, 1, 0x00, 2, 0x11, 3, 0x11, 0, 63, 0)))


def _segment(data: bytes, position: int) -> tuple[int, bytes, int]:
    """The next marker, what its segment holds, and where the one after it begins (B.1.1)."""
    while True:
        if data[position : position + 1] != b"\xff":
            raise ParseError("A JPEG has no marker where one must be.")
        while data[position : position + 1] == b"\xff":
            position += 1
        if position >= len(data):
            raise ParseError("A JPEG ends before its scan.")
        marker = data[position]
        position += 1
        if marker == _EOI:
            return marker, b"", position
        if marker not in _WITHOUT_LENGTH:
            break
    length = int.from_bytes(data[position : position + 2], "big")
    end = position + length
    if length < 2 or end > len(data):
        raise ParseError("A JPEG ends within a segment.")
    return marker, data[position + 2 : end], end


def _read_quantisation(body: bytes, tables: dict[int, bytes]) -> None:
    position = 0
    while position < len(body):
        if body[position] & 0xF0:
            raise ParseError("A JPEG's quantisation tables of 16 bits are not baseline.")
        table = body[position + 1 : position + 65]
        if len(table) != 64:
            raise ParseError("A JPEG's quantisation table is cut off.")
        tables[body[position]] = table
        position += 65


def _read_huffman(body: bytes, tables: dict[int, bytes]) -> None:
    position = 0
    while position < len(body):
        end = position + 17 + sum(body[position + 1 : position + 17])
        if end > len(body):
            raise ParseError("A JPEG's Huffman table is cut off.")
        tables[body[position]] = body[position + 1 : end]
        position = end


_Component = tuple[int, int, int]
"""Its number, sampling factors and quantisation table."""


def _read_frame(body: bytes) -> tuple[int, int, Subsampling, list[_Component]]:
    """The frame header (B.2.2)."""
    if len(body) < 6 or len(body) != 6 + 3 * body[5]:
        raise ParseError("A JPEG's frame header is cut off.")
    if body[0] != 8:
        raise ParseError(f"A JPEG of {body[0]} bits a sample is not baseline.")
    height, width = int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big")
    if not width or not height:
        raise ParseError("A JPEG's frame header tells no size.")
    components = [(body[at], body[at + 1], body[at + 2]) for at in range(6, len(body), 3)]
    factors = [factor for _, factor, _ in components]
    for subsampling, luma in _LUMA_FACTORS.items():
        if factors == [luma, 0x11, 0x11]:
            return width, height, subsampling, components
    told = ", ".join(f"{factor >> 4}x{factor & 15}" for factor in factors)
    raise ParseError(
        f"A JPEG with components sampled {told} is not supported: 4:2:0 (2x2, 1x1, 1x1) and "
        "4:2:2 (2x1, 1x1, 1x1) are. Encode it as yuvj420p."
    )


def _read_scan_header(body: bytes, components: list[_Component]) -> dict[int, int]:
    """The scan's Huffman tables (B.2.3), each with the usual one for what it is used for."""
    if len(body) != 10 or body[0] != 3:
        raise ParseError("A JPEG in several scans is not supported: encode it as baseline.")
    if body[7:] != b"\x00\x3f\x00" or [body[1], body[3], body[5]] != [c[0] for c in components]:
        raise ParseError("A JPEG's scan header is not that of a baseline picture.")
    used: dict[int, int] = {}
    for selectors, meant in ((body[2], 0), (body[4], 1), (body[6], 1)):
        for key, usual in ((selectors >> 4, meant), (0x10 | selectors & 15, 0x10 | meant)):
            if used.setdefault(key, usual) != usual:
                raise ParseError("A JPEG that codes luma and chroma alike is not supported.")
    return used


def _tables_of(components: list[_Component], tables: Mapping[int, bytes]) -> bytes:
    luma, chroma, other_chroma = (tables.get(number) for _, _, number in components)
    if luma is None or chroma is None or other_chroma is None:
        raise ParseError("A JPEG lacks a quantisation table.")
    if chroma != other_chroma:
        raise ParseError("A JPEG that quantises its two chroma components apart is not supported.")
    return luma + chroma


def _not_baseline(marker: int) -> str:
    kind = "progressive" if marker in (0xC2, 0xC6, 0xCA, 0xCE) else f"of process {marker & 15}"
    return f"A JPEG that is {kind} is not supported: encode it as baseline."
