"""AAC in RTP, mode AAC-hbr (RFC 3640)."""

from __future__ import annotations

import struct

from streamsocket.errors import ParseError
from streamsocket.media.aac import build_audio_specific_config, parse_audio_specific_config
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.bits import BitReader
from streamsocket.media.codec import Aac

MAX_FRAGMENT = 1_200 - 4
_MAX_FRAME = (1 << 13) - 1
_MAX_UNITS_A_PACKET = 64


class AacPacketizer:
    """One frame a payload; only one too long for that is cut into fragments (RFC 3640, 3.2.3)."""

    def packetize(self, unit: AccessUnit) -> list[bytes]:
        """Return the payloads. Raises `ParseError` for a frame longer than 13 bits can say."""
        frame = unit.units[0]
        if len(frame) > _MAX_FRAME:
            raise ParseError(f"An AAC frame of {len(frame)} bytes is longer than RTP can say.")
        # Every fragment carries the AU header with the size of the whole.
        header = struct.pack("!HH", 16, len(frame) << 3)
        return [
            header + frame[start : start + MAX_FRAGMENT]
            for start in range(0, len(frame) or 1, MAX_FRAGMENT)
        ]


class AacDepacketizer:
    """Frames from payloads with one, several, or a fragment of one."""

    def __init__(self, codec: Aac, fmtp: dict[str, str]) -> None:
        self._frame_length = parse_audio_specific_config(codec.config).frame_length
        self._size_bits = _bits(fmtp, "sizelength", 13)
        self._index_bits = _bits(fmtp, "indexlength", 3)
        self._delta_bits = _bits(fmtp, "indexdeltalength", 3)
        self._fragments = bytearray()
        self._fragments_timestamp = 0
        self._frame_size = 0

    def push(
        self, payload: bytes | memoryview, timestamp: int, marker: bool, gap: bool
    ) -> list[AccessUnit]:
        """Take a payload; the second of its frames is one frame length later, and so on."""
        payload = bytes(payload)
        if len(payload) < 2:
            raise ParseError("An AAC payload has no AU headers.")
        header_bits = int.from_bytes(payload[:2], "big")
        start = 2 + (header_bits + 7) // 8
        if start > len(payload):
            raise ParseError("An AAC payload ends within its AU headers.")
        sizes = self._sizes(payload[2:start], header_bits)
        if gap:
            self._fragments.clear()
        if len(sizes) == 1 and sizes[0] > len(payload) - start:
            return self._push_fragment(payload[start:], sizes[0], timestamp)
        units = []
        for number, size in enumerate(sizes):
            if start + size > len(payload):
                raise ParseError(f"An AAC frame claims {size} bytes where fewer are left.")
            if size:
                frame = payload[start : start + size]
                units.append(AccessUnit([frame], timestamp + number * self._frame_length))
            start += size
        return units

    def flush(self) -> list[AccessUnit]:
        """A frame of which a part is missing is of no use."""
        self._fragments.clear()
        return []

    def _sizes(self, headers: bytes, header_bits: int) -> list[int]:
        bits = BitReader(headers, "An AAC payload's AU headers")
        sizes: list[int] = []
        index_bits = self._index_bits
        while header_bits >= self._size_bits + index_bits:
            if len(sizes) == _MAX_UNITS_A_PACKET:
                raise ParseError(f"An AAC payload has more than {_MAX_UNITS_A_PACKET} frames.")
            sizes.append(bits.read(self._size_bits))
            bits.read(index_bits)
            header_bits -= self._size_bits + index_bits
            index_bits = self._delta_bits
        if not sizes:
            raise ParseError("An AAC payload has no AU headers.")
        return sizes

    def _push_fragment(self, data: bytes, size: int, timestamp: int) -> list[AccessUnit]:
        if timestamp != self._fragments_timestamp or size != self._frame_size:
            self._fragments.clear()
            self._fragments_timestamp = timestamp
            self._frame_size = size
        self._fragments += data
        if len(self._fragments) < size:
            return []
        frame = bytes(self._fragments[:size])
        self._fragments.clear()
        return [AccessUnit([frame], timestamp)]


def fmtp(codec: Aac) -> str:
    """The parameters of mode AAC-hbr (RFC 3640, 3.3.6)."""
    return (
        "profile-level-id=1;mode=AAC-hbr;sizelength=13;indexlength=3;indexdeltalength=3;"
        f"config={codec.config.hex()}"
    )


def codec_from_fmtp(fmtp: dict[str, str], clock_rate: int, channels: int | None) -> Aac:
    """The codec from `config`, or from the rtpmap where a server leaves that out."""
    mode = fmtp.get("mode", "AAC-hbr")
    if mode.lower() != "aac-hbr":
        raise ParseError(f"The mode {mode!r} of mpeg4-generic is not supported.")
    try:
        config = bytes.fromhex(fmtp.get("config", ""))
    except ValueError:
        raise ParseError("The parameter config of mpeg4-generic is not hexadecimal.") from None
    codec = Aac(config or build_audio_specific_config(clock_rate, channels or 1))
    parse_audio_specific_config(codec.config)
    return codec


def _bits(fmtp: dict[str, str], name: str, default: int) -> int:
    text = fmtp.get(name, str(default))
    if not text.isdecimal() or len(text) > 2 or int(text) > 32:
        raise ParseError(f"The parameter {name}={text!r} of mpeg4-generic is no count of bits.")
    return int(text)
