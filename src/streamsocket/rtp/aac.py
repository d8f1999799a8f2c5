"""AAC in RTP: mpeg4-generic in the mode AAC-hbr (RFC 3640, 3.3.6)."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import ClassVar

from streamsocket.errors import ParseError
from streamsocket.media import aac
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.bits import BitReader
from streamsocket.media.codec import Aac
from streamsocket.rtp.packet import MAX_PAYLOAD

FMTP = "streamtype=5;profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3"
MAX_ACCESS_UNIT = (1 << 13) - 1
"""Bytes: what 13 bits can tell."""

ONE_HEADER = b"\x00\x10"
"""AU-headers-length: 16 bits follow (3.2.1)."""
_MAX_AU_HEADERS = 256
_FRAGMENT = MAX_PAYLOAD - 4
_REFUSED = (
    *("constantsize", "ctsdeltalength", "dtsdeltalength", "randomaccessindication"),
    *("streamstateindication", "auxiliarydatasizelength"),
)
"""What would change the layout of the AU headers; nobody uses it for AAC."""


class AacPacketizer:
    """One access unit in, one packet out; several where it is longer than a packet."""

    marker: ClassVar[bool] = True

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """The payloads of an access unit. Raises ParseError for one that the format can't hold."""
        [frame] = unit.units
        size = len(frame)
        if not 0 < size <= MAX_ACCESS_UNIT:
            raise ParseError(f"An AAC frame of {size} bytes doesn't fit RFC 3640's 13 bits.")
        header = ONE_HEADER + (size << 3).to_bytes(2, "big")
        if size <= _FRAGMENT:
            return [header + frame]
        # Each fragment repeats the header with the size of the whole (3.2.3).
        return [header + frame[start : start + _FRAGMENT] for start in range(0, size, _FRAGMENT)]


class AacDepacketizer:
    """Payloads in, access units out: one or several a packet, or one in several packets."""

    def __init__(self, codec: Aac, fmtp: Mapping[str, str] | None = None) -> None:
        """`fmtp` is the SDP's, names in lower case; without it, AAC-hbr's own layout is taken."""
        fmtp = fmtp or {}
        if refused := [name for name in _REFUSED if fmtp.get(name, "0").strip() != "0"]:
            raise ParseError(f"AAC over RTP with {refused[0]} is not supported.")
        self.codec = codec
        self._size_bits = _number(fmtp, "sizelength", 13)
        self._index_bits = _number(fmtp, "indexlength", 3)
        self._delta_bits = _number(fmtp, "indexdeltalength", 3)
        if not self._size_bits:
            raise ParseError("AAC over RTP with a sizelength of 0 is not supported.")
        self.is_hbr = (self._size_bits, self._index_bits, self._delta_bits) == (13, 3, 3)
        """An access unit's header has the 16 bits that it has here when it is sent."""
        self._frame_length = aac.parse_audio_specific_config(codec.config).frame_length
        self._fragments: list[bytes] = []
        self._missing = 0
        self._timestamp = 0

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take the payload of the next packet; `gap` says that packets are missing before it."""
        if gap or timestamp != self._timestamp:
            self._fragments.clear()
        self._timestamp = timestamp
        sizes, position = self._read_headers(payload)
        available = len(payload) - position
        if len(sizes) == 1 and sizes[0] > available:
            return self._take_fragment(bytes(payload[position:]), sizes[0])
        self._fragments.clear()
        if sum(sizes) > available:
            raise ParseError("An AAC packet announces more bytes than it has.")
        units = []
        for size in sizes:
            frame = bytes(payload[position : position + size])
            units.append(AccessUnit([frame], timestamp))
            position += size
            timestamp += self._frame_length
        return units

    def flush(self) -> list[AccessUnit]:
        """Nothing: an access unit is complete when its last packet has come."""
        self._fragments.clear()
        return []

    def _read_headers(self, payload: bytes | memoryview) -> tuple[list[int], int]:
        """The sizes of the access units, and where the first begins (3.2.1)."""
        if len(payload) < 2:
            raise ParseError("An AAC packet is too short for its headers.")
        length = payload[0] << 8 | payload[1]
        end = 2 + (length + 7) // 8
        first = self._size_bits + self._index_bits
        following = self._size_bits + self._delta_bits
        if end > len(payload) or length < first:
            raise ParseError("An AAC packet is too short for its headers.")
        count = 1 + (length - first) // following
        if count > _MAX_AU_HEADERS:
            raise ParseError(f"An AAC packet announces {count} access units.")
        if self.is_hbr:
            headers = struct.unpack_from(f">{count}H", payload, 2)
            sizes = [header >> 3 for header in headers]
            interleaved = any(header & 7 for header in headers[1:])
        else:
            bits = BitReader(payload[2:end])
            sizes, interleaved = [], False
            for index in range(count):
                sizes.append(bits.read(self._size_bits))
                delta = bits.read(self._delta_bits if index else self._index_bits)
                interleaved |= index > 0 and delta > 0
        if interleaved:
            raise ParseError("Interleaved AAC access units are not supported.")
        if not all(sizes):
            raise ParseError("An AAC packet announces an access unit without bytes.")
        return sizes, end

    def _take_fragment(self, data: bytes, size: int) -> list[AccessUnit]:
        if not self._fragments:
            self._missing = size
        self._fragments.append(data)
        self._missing -= len(data)
        if self._missing > 0:
            return []
        frame = b"".join(self._fragments)
        self._fragments.clear()
        if len(frame) != size:
            raise ParseError("The fragments of an AAC access unit don't add up to its size.")
        return [AccessUnit([frame], self._timestamp)]


def _number(fmtp: Mapping[str, str], name: str, default: int) -> int:
    try:
        value = int(fmtp.get(name, default))
    except ValueError:
        value = -1
    if not 0 <= value <= 32:
        raise ParseError(f"AAC over RTP cannot have a {name} of {fmtp[name]!r}.")
    return value
