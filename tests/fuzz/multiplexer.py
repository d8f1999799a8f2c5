"""A small multiplexer of transport streams, every bit of which a test can have as it likes."""

from __future__ import annotations

from collections import defaultdict

from streamsocket.mpegts.tables import crc_32

SPS = bytes.fromhex("6742c00dd9016096c044000003000400000300c83c50a920")
PPS = bytes.fromhex("68cb8cb2")
OTHER_SPS = bytes.fromhex("6742c01fda01e0089f961000000300100000030320f1832a")
"""1920x1080."""
H265_SETS = tuple(
    map(
        bytes.fromhex,
        (
            "40010c01ffff01600000030090000003000003003c959409",
            "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010",
            "4401c073c089",
        ),
    )
)
"""VPS, SPS and PPS of 320x240."""

PMT_PID, VIDEO_PID, AUDIO_PID = 0x100, 0x101, 0x102
H264, H265, AAC, OPUS = 0x1B, 0x24, 0x0F, 0x06
OPUS_DESCRIPTORS = b"\x05\x04Opus" + b"\x7f\x02\x80\x02"

SECOND = 90_000
FRAME = 1024 * SECOND // 48_000


class Multiplexer:
    """Writes packets of 188 bytes, with their counters."""

    def __init__(self) -> None:
        self.counters: defaultdict[int, int] = defaultdict(int)

    def tables(
        self, streams: dict[int, tuple[int, bytes]] | None = None, version: int = 0
    ) -> bytes:
        """PAT and PMT; by default, of H.264 and AAC."""
        streams = streams or {VIDEO_PID: (H264, b""), AUDIO_PID: (AAC, b"")}
        return self.section(0, pat(version)) + self.section(PMT_PID, pmt(streams, version))

    def section(self, pid: int, section: bytes) -> bytes:
        """A section, from its beginning."""
        return self.packets(pid, b"\x00" + section, fill=b"\xff")

    def pes(
        self,
        pid: int,
        data: bytes,
        pts: int | None = None,
        dts: int | None = None,
        *,
        bounded: bool | None = None,
        discontinuity: bool = False,
    ) -> bytes:
        """A PES packet; sound has a length unless `bounded` says otherwise, pictures have none."""
        whole = pes(data, pts, dts, pid == AUDIO_PID if bounded is None else bounded)
        return self.packets(pid, whole, discontinuity=discontinuity)

    def packets(
        self, pid: int, data: bytes, *, fill: bytes | None = None, discontinuity: bool = False
    ) -> bytes:
        """Packets with that payload; the last one is filled up, or stuffed as PES packets are."""
        written = []
        begins = 0x40
        while data or begins:
            field = b"\x01\x80" if discontinuity and begins else b""
            payload, data = data[: 184 - len(field)], data[184 - len(field) :]
            if fill and len(payload) < 184:
                payload = payload.ljust(184, fill)
            missing = 184 - len(field) - len(payload)
            if missing and not field:
                field = b"\x00" if missing == 1 else bytes([missing - 1, 0]).ljust(missing, b"\xff")
            elif missing:
                field = (bytes([1 + missing]) + field[1:]).ljust(2 + missing, b"\xff")
            flags = 0x10 | (0x20 if field else 0) | self.counters[pid] & 0x0F
            self.counters[pid] += 1
            head = bytes([0x47, begins | pid >> 8, pid & 0xFF, flags])
            written.append(head + field + payload)
            begins = 0
        assert all(len(packet) == 188 for packet in written)
        return b"".join(written)


def section(
    table_id: int, number: int, body: bytes, version: int = 0, current: int = 1, index: int = 0
) -> bytes:
    """A section with its CRC."""
    head = bytes([table_id]) + (0xB000 | len(body) + 9).to_bytes(2, "big")
    head += number.to_bytes(2, "big") + bytes([0xC0 | version << 1 | current, index, 0])
    return head + body + crc_32(head + body).to_bytes(4, "big")


def pat(version: int = 0, programmes: dict[int, int] | None = None) -> bytes:
    """A programme association section."""
    entries = (programmes or {1: PMT_PID}).items()
    body = b"".join(
        number.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for number, pid in entries
    )
    return section(0, 1, body, version)


def pmt(streams: dict[int, tuple[int, bytes]], version: int = 0, number: int = 1) -> bytes:
    """A programme map section: by PID, stream types and descriptors."""
    body = (0xE000 | next(iter(streams), 0x1FFF)).to_bytes(2, "big") + b"\xf0\x00"
    for pid, (stream_type, descriptors) in streams.items():
        body += bytes([stream_type]) + (0xE000 | pid).to_bytes(2, "big")
        body += (0xF000 | len(descriptors)).to_bytes(2, "big") + descriptors
    return section(2, number, body, version)


def pes(data: bytes, pts: int | None, dts: int | None = None, bounded: bool = True) -> bytes:
    """A whole PES packet."""
    times = b""
    if pts is not None:
        times = timestamp(pts, 2 if dts is None else 3)
        times += b"" if dts is None else timestamp(dts, 1)
    flags = (0x80 if pts is not None else 0) | (0x40 if dts is not None else 0)
    body = bytes([0x80, flags, len(times)]) + times + data
    length = len(body) if bounded and len(body) < 1 << 16 else 0
    return b"\x00\x00\x01\xe0" + length.to_bytes(2, "big") + body


def timestamp(value: int, prefix: int) -> bytes:
    """33 bits with their marker bits."""
    value &= (1 << 33) - 1
    return bytes(
        [
            prefix << 4 | value >> 29 & 0x0E | 1,
            value >> 22 & 0xFF,
            value >> 14 & 0xFE | 1,
            value >> 7 & 0xFF,
            value << 1 & 0xFE | 1,
        ]
    )


def keyframe(content: bytes = b"key", sps: bytes = SPS) -> bytes:
    """An IDR picture with its parameter sets."""
    return annexb(sps, PPS, b"\x65\x88" + content)


def picture(content: bytes = b"picture") -> bytes:
    """A picture that is no keyframe."""
    return annexb(b"\x41\x9a" + content)


def annexb(*units: bytes) -> bytes:
    """NAL units after a delimiter, as multiplexers write them."""
    return b"".join(b"\x00\x00\x00\x01" + unit for unit in (b"\x09\xf0", *units))


def adts(data: bytes, *, rate_index: int = 3, channels: int = 2, crc: bool = False) -> bytes:
    """A frame of AAC-LC; by default at 48 kHz."""
    length = 7 + 2 * crc + len(data)
    head = [
        0xFF,
        0xF1 - crc,
        1 << 6 | rate_index << 2 | channels >> 2,
        (channels & 3) << 6 | length >> 11,
        length >> 3 & 0xFF,
        (length & 7) << 5 | 0x1F,
        0xFC,
    ]
    return bytes(head) + bytes(2 * crc) + data


def opus(packet: bytes, *, start_trim: int | None = None) -> bytes:
    """An Opus packet after its control header."""
    head = 0x7FE0 | (0x10 if start_trim is not None else 0)
    size = b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255])
    trim = b"" if start_trim is None else start_trim.to_bytes(2, "big")
    return head.to_bytes(2, "big") + size + trim + packet


def movie(
    seconds: float = 1.0, *, begin: int = 10 * SECOND, mux: Multiplexer | None = None
) -> bytes:
    """25 pictures a second, a keyframe every half second, and AAC with four frames a packet."""
    mux = mux or Multiplexer()
    written = []
    sound = 0
    for number in range(round(25 * seconds)):
        time = number * SECOND // 25
        if number % 5 == 0:
            written.append(mux.tables())
        make = picture if number % 12 else keyframe
        content = (number.to_bytes(2, "big") + b"\xaa") * 100
        written.append(mux.pes(VIDEO_PID, make(content), begin + time))
        while sound * FRAME <= time:
            frames = b"".join(adts(bytes([sound + each & 0xFF]) * 60) for each in range(4))
            written.append(mux.pes(AUDIO_PID, frames, begin + sound * FRAME))
            sound += 4
    return b"".join(written)
