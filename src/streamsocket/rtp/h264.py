"""H.264 in RTP, packetization mode 1 (RFC 6184)."""

from __future__ import annotations

import base64
import binascii

from streamsocket.errors import ParseError
from streamsocket.media import h264
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import H264

MAX_PAYLOAD = 1_200
"""Payload bytes a packet: with all headers, tunnels included, it crosses an MTU of 1280."""

MAX_ACCESS_UNIT = 8 * 1024 * 1024
"""A larger access unit is nonsense, or an attack on the memory."""

_STAP_A, _FU_A = 24, 28
_FU_START, _FU_END = 0x80, 0x40
_FU_HEADER = 2


class H264Packetizer:
    """Cuts access units into single NAL unit packets, STAP-A and FU-A."""

    def __init__(self, codec: H264) -> None:
        self._parameter_sets = [codec.sps, codec.pps]

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """Return the payloads. Parameter sets go before an IDR picture that comes without."""
        units = unit.units
        if h264.is_idr(units) and not any(u[0] & 0x1F == h264.SPS for u in units if u):
            units = self._parameter_sets + units
        payloads: list[bytes] = []
        small: list[bytes] = []
        small_size = 1
        for nal in units:
            if not nal:
                continue
            if small and small_size + 2 + len(nal) > MAX_PAYLOAD:
                payloads.append(_aggregate(small))
                small, small_size = [], 1
            if len(nal) + 3 <= MAX_PAYLOAD:
                small.append(nal)
                small_size += 2 + len(nal)
            elif len(nal) <= MAX_PAYLOAD:
                payloads.append(nal)
            else:
                payloads += fragment(nal)
        if small:
            payloads.append(_aggregate(small))
        return payloads


def _aggregate(units: list[bytes]) -> bytes:
    """One NAL unit as it is, several as STAP-A (RFC 6184, 5.7.1)."""
    if len(units) == 1:
        return units[0]
    importance = max(unit[0] & 0x60 for unit in units)
    parts = [bytes((importance | _STAP_A,))]
    for unit in units:
        parts.append(len(unit).to_bytes(2, "big"))
        parts.append(unit)
    return b"".join(parts)


def fragment(nal: bytes | memoryview) -> list[bytes]:
    """Cut a NAL unit into FU-A (RFC 6184, 5.8), all of one size but the last, which is shorter.

    Packets of one size leave in one system call where the kernel has UDP GSO.
    """
    indicator = nal[0] & 0xE0 | _FU_A
    kind = nal[0] & 0x1F
    body = memoryview(nal)[1:]
    count = -(-len(body) // (MAX_PAYLOAD - _FU_HEADER))
    size = -(-len(body) // count)
    payloads = []
    for start in range(0, len(body), size):
        flags = (_FU_START if start == 0 else 0) | (_FU_END if start + size >= len(body) else 0)
        payloads.append(bytes((indicator, flags | kind)) + body[start : start + size])
    return payloads


class H264Depacketizer:
    """Puts access units together; what is lost leaves its mark on them."""

    def __init__(self) -> None:
        self._units: list[bytes] = []
        self._fragments: bytearray | None = None
        self._size = 0
        self._timestamp: int | None = None
        self._damaged = False

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take a payload. An access unit is whole at its marker, or where the next one begins."""
        finished: list[AccessUnit] = []
        if self._timestamp is not None and timestamp != self._timestamp:
            # The marker, and with it perhaps the last of the picture, was lost.
            self._damaged = self._damaged or gap
            finished = self.flush()
        self._timestamp = timestamp
        if gap:
            self._damaged = True
            self._fragments = None
        try:
            self._take(payload)
        except ParseError:
            self._damaged = True
            self._fragments = None
            raise
        finally:
            if marker:
                finished += self.flush()
        return finished

    def flush(self) -> list[AccessUnit]:
        """Return the access unit that is begun, if there is anything of it."""
        damaged = self._damaged or self._fragments is not None
        units, timestamp = self._units, self._timestamp
        self._units, self._fragments, self._size = [], None, 0
        self._damaged, self._timestamp = False, None
        if not units or timestamp is None:
            return []
        return [AccessUnit(units, timestamp, keyframe=h264.is_idr(units), damaged=damaged)]

    def _take(self, payload: bytes | memoryview) -> None:
        if not payload:
            raise ParseError("An H.264 payload is empty.")
        self._size += len(payload)
        if self._size > MAX_ACCESS_UNIT:
            self._units, self._fragments = [], None
            raise ParseError(f"An H.264 access unit is larger than {MAX_ACCESS_UNIT} bytes.")
        kind = payload[0] & 0x1F
        if kind == _FU_A:
            self._take_fragment(payload)
            return
        if self._fragments is not None:
            # The end of a fragmented unit never came.
            self._fragments = None
            self._damaged = True
        if 1 <= kind <= 23:
            self._units.append(bytes(payload))
        elif kind == _STAP_A:
            self._units += _disaggregate(payload)
        else:
            raise ParseError(f"H.264 packets of type {kind} do not belong to packetization mode 1.")

    def _take_fragment(self, payload: bytes | memoryview) -> None:
        if len(payload) < _FU_HEADER:
            raise ParseError("An H.264 FU-A packet ends within its header.")
        flags = payload[1]
        if flags & _FU_START:
            if self._fragments is not None:
                self._damaged = True
            self._fragments = bytearray((payload[0] & 0xE0 | flags & 0x1F,))
        if self._fragments is None:
            self._damaged = True  # its beginning was lost
            return
        self._fragments += payload[_FU_HEADER:]
        if flags & _FU_END:
            self._units.append(bytes(self._fragments))
            self._fragments = None


def _disaggregate(payload: bytes | memoryview) -> list[bytes]:
    units = []
    offset = 1
    while offset < len(payload):
        size = int.from_bytes(payload[offset : offset + 2], "big")
        unit = bytes(payload[offset + 2 : offset + 2 + size])
        if not size or len(unit) < size:
            raise ParseError("An H.264 STAP-A packet ends within a NAL unit.")
        units.append(unit)
        offset += 2 + size
    return units


def fmtp(codec: H264) -> str:
    """The parameters: mode 1, the profile, the parameter sets (RFC 6184, 8.1)."""
    profile = codec.sps[1:4].hex().upper()
    sets = ",".join(base64.b64encode(unit).decode() for unit in (codec.sps, codec.pps))
    return f"packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sets}"


def codec_from_fmtp(fmtp: dict[str, str]) -> H264:
    """The codec with its parameter sets; empty ones where they only come in band."""
    sps = pps = b""
    for text in fmtp.get("sprop-parameter-sets", "").split(","):
        try:
            unit = base64.b64decode(text.strip() + "=" * (-len(text.strip()) % 4))
        except (binascii.Error, ValueError):
            raise ParseError("The H.264 parameter sets in the SDP are not base64.") from None
        if unit and unit[0] & 0x1F == h264.SPS:
            sps = sps or unit
        elif unit and unit[0] & 0x1F == h264.PPS:
            pps = pps or unit
    return H264(sps, pps)
