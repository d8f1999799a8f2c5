"""H.265's parameter sets and how NAL units are kept, against what x265 writes."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest
from av.video.codeccontext import VideoCodecContext

from streamsocket.errors import ParseError
from streamsocket.media import h265


def parameter_sets(
    size: tuple[int, int] = (320, 240), options: str = "", pix_fmt: str = "yuv420p"
) -> list[bytes]:
    """VPS, SPS and PPS that x265 makes."""
    encoder = av.CodecContext.create("libx265", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height = size
    encoder.pix_fmt = pix_fmt
    encoder.time_base = Fraction(1001, 30000)
    encoder.framerate = Fraction(30000, 1001)
    params = f"log-level=none:pools=none:frame-threads=1:{options}"
    encoder.options = {"preset": "ultrafast", "x265-params": params.rstrip(":")}
    encoder.flags |= av.codec.context.Flags.global_header
    encoder.open()
    units = h265.split_annexb(encoder.extradata or b"")
    return [unit for unit in units if h265.nal_type(unit) in (h265.VPS, h265.SPS, h265.PPS)]


VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003c959409")
SPS = bytes.fromhex(  # 320x240
    "42010101600000030090000003000003003ca00a080f16595952930b9a02000007d20000ea6010"
)
PPS = bytes.fromhex("4401c073c089")


@pytest.mark.parametrize("size", [(1920, 1080), (1280, 720), (640, 360), (498, 1002)])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le"])
def test_size_is_that_of_the_encoder(size: tuple[int, int], pix_fmt: str) -> None:
    _, sps, _ = parameter_sets(size, pix_fmt=pix_fmt)
    parameters = h265.parse_sps(sps)
    assert (parameters.width, parameters.height) == size
    assert parameters.frame_rate == Fraction(30000, 1001)


@pytest.mark.parametrize(
    "options",
    [
        "hrd=1:vbv-maxrate=1000:vbv-bufsize=1000:bitrate=1000",
        "scaling-list=default",
        "sar=255\\:7:range=full:colorprim=bt709:chromaloc=2:overscan=crop:display-window=8,8,8,8",
        "temporal-layers=3:bframes=3:b-adapt=0",
        "bframes=8:b-pyramid=1:ref=5:rc-lookahead=20",
        "amp=1:rect=1:sao=1:ctu=32",
    ],
    ids=["hrd", "scaling lists", "display", "sub-layers", "references", "coding tools"],
)
def test_everything_before_the_size_and_the_rate_is_read(options: str) -> None:
    vps, sps, pps = parameter_sets((720, 572), options)
    parameters = h265.parse_sps(sps)
    assert (parameters.width, parameters.height) == (720, 572)
    assert parameters.frame_rate == Fraction(30000, 1001)
    assert [h265.SYNTAX.parameter_set_id(unit) for unit in (vps, sps, pps)] == [0, 0, 0]


@pytest.mark.parametrize(
    ("options", "reorder"), [("bframes=0", 0), ("bframes=3:b-pyramid=0", 1), ("bframes=3", 2)]
)
def test_reordering_depth_is_read(options: str, reorder: int) -> None:
    _, sps, _ = parameter_sets(options=options)
    assert h265.parse_sps(sps).max_reorder == reorder


def test_profile_and_level_are_read() -> None:
    for tier in (0, 1):
        options = f"level-idc=4.1:high-tier={tier}"
        _, sps, _ = parameter_sets((1280, 720), options, pix_fmt="yuv420p10le")
        parameters = h265.parse_sps(sps)
        assert (parameters.profile_idc, parameters.tier, parameters.level_idc) == (2, tier, 123)


class Bits:
    """Writes headers bit by bit."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, *fields: tuple[int, int]) -> None:
        """Numbers, each with its width in bits."""
        for value, width in fields:
            self.text += f"{value:0{width}b}"

    def codes(self, *values: int) -> None:
        """Exp-Golomb codes."""
        for value in values:
            digits = f"{value + 1:b}"
            self.text += "0" * (len(digits) - 1) + digits

    def flags(self, digits: str) -> None:
        """Flags, as they are."""
        self.text += digits

    def unit(self, header: bytes) -> bytes:
        """A NAL unit, with trailing bits and emulation prevention."""
        text = self.text + "1"
        text += "0" * (-len(text) % 8)
        body = int(text, 2).to_bytes(len(text) // 8, "big")
        escaped = bytearray()
        for byte in body:
            if byte <= 3 and escaped.endswith(b"\0\0"):
                escaped.append(3)
            escaped.append(byte)
        return header + bytes(escaped)


def rich_sps(number: int = 0) -> bytes:
    """An SPS with all that x265 never writes, 1920x1080 at 50 pictures a second."""
    bits = Bits()
    bits.write((0, 4), (2, 3), (1, 1), (0, 2), (0, 1), (1, 5), (0x60000000, 32), (9, 4), (0, 44))
    bits.write((120, 8))
    bits.flags("1101" + "00" * 6)  # sub-layer 0 has profile and level, sub-layer 1 a level
    bits.write((1 << 80, 88), (90, 8), (93, 8))
    bits.codes(number, 1, 1920, 1088)
    bits.flags("1")
    bits.codes(0, 0, 0, 4, 0, 0, 4)
    bits.flags("1")
    bits.codes(1, 0, 0, 2, 1, 0, 4, 2, 0)  # three sub-layers' buffers and reordering
    bits.codes(0, 3, 0, 3, 1, 1)
    bits.flags("11")  # scaling lists: the first is written out, the others refer to it
    for size in range(4):
        for matrix in range(6 if size < 3 else 2):
            bits.flags("0" if matrix else "1")
            bits.codes(*((1,) if matrix else (0,) * (min(64, 16 << 2 * size) + (size > 1))))
    bits.flags("111")  # asymmetric partitions, sample adaptive offset, PCM
    bits.write((7, 4), (7, 4))
    bits.codes(0, 0)
    bits.flags("0")
    bits.codes(3, 2, 1)  # three sets of reference pictures: the first has three,
    for _ in range(3):
        bits.codes(0)
        bits.flags("1")
    for kept in ("1" + "01" + "00" + "1", "1" * 3):  # the others are what they keep of it
        bits.flags("10")
        bits.codes(0)
        bits.flags(kept)
    bits.flags("1")
    bits.codes(1)  # one long-term picture
    bits.write((5, 8), (1, 1))
    bits.flags("11")
    bits.flags("1" + "00000000" + "1")  # usability information: nothing but the timing
    bits.write((1, 32), (50, 32))
    bits.flags("0000")
    return bits.unit(b"\x42\x01")


def test_what_other_encoders_write_is_read() -> None:
    assert h265.parse_sps(rich_sps()) == h265.SequenceParameters(
        width=1920,
        height=1080,
        profile_idc=1,
        tier=0,
        level_idc=120,
        frame_rate=Fraction(50),
        max_reorder=2,
    )
    assert h265.SYNTAX.parameter_set_id(rich_sps(7)) == 7


def test_vui_that_is_cut_off_does_not_cost_the_size() -> None:
    cut = h265.parse_sps(SPS[:-8])
    assert (cut.width, cut.height, cut.max_reorder, cut.frame_rate) == (320, 240, 2, None)


@pytest.mark.parametrize(
    "sps",
    [b"", b"\x42", PPS, SPS[:16], SPS[:24], SPS[:4] + b"\xff" * 40, b"\x42" + b"\xff" * 5000],
)
def test_nonsense_is_refused(sps: bytes) -> None:
    with pytest.raises(ParseError):
        h265.parse_sps(sps)


@pytest.mark.parametrize("unit", [b"\x40", b"\x40\x01", SPS[:10], b"\x44\x01\x00", b"\x44\x09\xc0"])
def test_parameter_sets_without_a_possible_id_are_refused(unit: bytes) -> None:
    with pytest.raises(ParseError):
        h265.SYNTAX.parameter_set_id(unit)
    with pytest.raises(ParseError, match="impossible id 16"):
        h265.SYNTAX.parameter_set_id(rich_sps(16))


def movie(frames: int = 30, options: str = "") -> tuple[bytes, list[bytes]]:
    """What MP4 keeps beside a stream of x265's, and its samples."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx265", 25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        params = f"log-level=none:pools=none:frame-threads=1:keyint=10:{options}"
        stream.options = {"preset": "ultrafast", "x265-params": params.rstrip(":")}
        for _ in range(frames):
            container.mux(stream.encode(av.VideoFrame(320, 240, "yuv420p")))
        container.mux(stream.encode(None))
    file.seek(0)
    with av.open(file, "r") as container:
        video = container.streams.video[0]
        samples = [bytes(packet) for packet in container.demux(video) if packet.size]
        return video.codec_context.extradata or b"", samples


@pytest.mark.parametrize(
    ("options", "kinds"),
    [("open-gop=0", {h265.IDR_N_LP}), ("open-gop=1:bframes=3", {h265.IDR_N_LP, h265.CRA})],
)
def test_a_movie_is_understood(options: str, kinds: set[int]) -> None:
    extradata, samples = movie(options=options)
    configuration = h265.parse_hvcc(extradata)
    assert h265.parse_sps(configuration.sps).width == 320
    assert [h265.nal_type(unit) for unit in (configuration.vps, configuration.pps)] == [32, 34]
    pictures = [
        [unit for unit in units if h265.nal_type(unit) <= h265.LAST_SLICE]
        for units in (h265.split_length_prefixed(s, configuration.length_size) for s in samples)
    ]
    assert len(pictures) == 30
    assert all(h265.starts_picture(slices[0]) for slices in pictures)
    keyframes = [slices[0] for slices in pictures if h265.is_irap(slices)]
    assert len(keyframes) == 3
    assert {h265.nal_type(unit) for unit in keyframes} == kinds
    assert sum(h265.is_keyframe(slices) for slices in pictures) == 3


def hvcc(*units: bytes, length_size: int = 4) -> bytes:
    """A record with each unit in an array of its own."""
    record = b"\x01" + bytes(20) + bytes((0xFC | length_size - 1, len(units)))
    for unit in units:
        kind = h265.nal_type(unit) if unit else h265.PPS
        record += bytes((0x80 | kind, 0, 1)) + len(unit).to_bytes(2, "big") + unit
    return record


def test_hvcc_gives_its_first_parameter_sets() -> None:
    record = hvcc(VPS, b"\x4e\x01\x05", SPS, SPS + b"\x01", PPS, length_size=2)
    expected = h265.HevcConfiguration(VPS, SPS, PPS, 2)
    assert h265.parse_hvcc(record) == expected
    assert h265.parse_hvcc(record + b"extensions") == expected


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"\x00\x00\x00\x01" + VPS,
        hvcc(),
        hvcc(SPS, PPS),
        hvcc(VPS, PPS),
        hvcc(VPS, SPS),
        hvcc(VPS, SPS, b""),
        hvcc(VPS, SPS, PPS, length_size=3),
        hvcc(VPS, SPS, PPS)[:-1],
        hvcc(VPS, SPS, PPS)[: -len(PPS) - 3],
        b"\x01" + bytes(21) + b"\xff" + b"\x20\xff\xff" * 2,
    ],
)
def test_broken_hvcc_is_refused(record: bytes) -> None:
    with pytest.raises(ParseError):
        h265.parse_hvcc(record)


def test_decoding_begins_at_irap_pictures_and_recovery_points() -> None:
    recovery_point = bytes.fromhex("4e01 06 01 c4 80")
    picture = b"\x02\x01\xd0"
    for kind in range(16, 22):
        assert h265.is_irap([VPS, SPS, PPS, bytes((kind << 1, 1, 0x80))])
    assert not any(h265.is_irap([bytes((kind << 1, 1))]) for kind in (0, 1, 9, 15, 22, 32))
    assert not h265.is_irap([recovery_point, picture])
    assert h265.is_keyframe([recovery_point, picture])
    assert not h265.is_keyframe([b"\x4e\x01\x05\x01\x06\x80", picture, b""])


def test_the_first_slice_of_a_picture_is_known() -> None:
    assert h265.starts_picture(b"\x26\x01\xaf")
    assert not h265.starts_picture(b"\x26\x01\x2f")
    assert not h265.starts_picture(b"\x26\x01")
