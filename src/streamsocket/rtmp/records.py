"""Configuration records: what decoders must know beforehand, as FLV and MP4 write it."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.media import aac, h264, h265
from streamsocket.media.bits import BitReader
from streamsocket.media.codec import H264, H265, Aac, Codec, Opus
from streamsocket.media.nal import unescaped

_OPUS_MAGIC = b"OpusHead"
_OPUS_PRE_SKIP = 312  # what libopus adds at 48 kHz
_PROFILES_WITH_CHROMA = (100, 110, 122, 144)  # in an avcC record; others leave it out (5.3.3.1.2)


def parse_record(codec: str, record: bytes) -> tuple[Codec, int]:
    """The codec, and how many bytes the lengths of its NAL units have (0 for sound).

    `codec` is `h264`, `h265`, `aac` or `opus`. Raises ParseError.
    """
    match codec:
        case "h264":
            avcc = h264.parse_avcc(record)
            h264.parse_sps(avcc.sps)
            return H264(avcc.sps, avcc.pps), avcc.length_size
        case "h265":
            hvcc = h265.parse_hvcc(record)
            h265.parse_sps(hvcc.sps)
            return H265(hvcc.vps, hvcc.sps, hvcc.pps), hvcc.length_size
        case "aac":
            aac.parse_audio_specific_config(record)
            return Aac(record), 0
        case _:
            return Opus(_opus_channels(record)), 0


def build_record(codec: H264 | H265 | Aac | Opus) -> bytes:
    """The reverse of `parse_record`, with lengths of four bytes. Raises ParseError."""
    match codec:
        case H264():
            return _avcc(codec)
        case H265():
            return _hvcc(codec)
        case Aac():
            return codec.config
        case Opus():
            skip, rate = _OPUS_PRE_SKIP.to_bytes(2, "little"), (48_000).to_bytes(4, "little")
            return _OPUS_MAGIC + bytes((1, codec.channels)) + skip + rate + bytes(3)


def _opus_channels(record: bytes) -> int:
    """From the identification header (RFC 7845, 5.1)."""
    if not record.startswith(_OPUS_MAGIC) or len(record) < 19:
        raise ParseError("The Opus configuration is not an identification header.")
    channels = record[9]
    if not 1 <= channels <= 2:
        raise ParseError(f"Opus in {channels} channels cannot be passed on: choose 1 or 2.")
    return channels


def _avcc(codec: H264) -> bytes:
    """ISO/IEC 14496-15, 5.3.3.1.2."""
    sps, pps = codec.sps, codec.pps
    h264.parse_sps(sps)
    record = bytes((1, *sps[1:4], 0xFF, 0xE1)) + _sized(sps) + bytes((1,)) + _sized(pps)
    if sps[1] in _PROFILES_WITH_CHROMA:
        bits = BitReader(unescaped(sps[4:]))
        bits.unsigned()  # seq_parameter_set_id
        chroma = bits.unsigned()
        if chroma == 3:
            bits.flag()  # separate_colour_plane_flag
        luma_depth, chroma_depth = bits.unsigned() & 7, bits.unsigned() & 7
        record += bytes((0xFC | chroma & 3, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0))
    return record


def _hvcc(codec: H265) -> bytes:
    """ISO/IEC 14496-15, 8.3.3.1.2."""
    h265.parse_sps(codec.sps)
    bits = BitReader(unescaped(codec.sps[2:]))
    bits.read(4)  # sps_video_parameter_set_id
    last_sub_layer, nested = bits.read(3), bits.read(1)
    profile = bits.read(96).to_bytes(12, "big")  # general profile, tier and level
    if last_sub_layer:
        present = [bits.read(2) for _ in range(8)][:last_sub_layer]
        for each in present:
            bits.read(88 * (each >> 1) + 8 * (each & 1))
    bits.unsigned()  # sps_seq_parameter_set_id
    chroma = bits.unsigned()
    if chroma == 3:
        bits.flag()  # separate_colour_plane_flag
    bits.unsigned()  # pic_width_in_luma_samples
    bits.unsigned()
    if bits.flag():  # conformance_window_flag
        for _ in range(4):
            bits.unsigned()
    luma_depth, chroma_depth = bits.unsigned() & 7, bits.unsigned() & 7
    record = bytes((1,)) + profile
    record += b"\xf0\x00\xfc"  # min_spatial_segmentation_idc and parallelismType: unknown
    record += bytes((0xFC | chroma & 3, 0xF8 | luma_depth, 0xF8 | chroma_depth, 0, 0))
    record += bytes(((last_sub_layer + 1) << 3 | nested << 2 | 3, 3))
    for kind, unit in ((h265.VPS, codec.vps), (h265.SPS, codec.sps), (h265.PPS, codec.pps)):
        record += bytes((0x80 | kind, 0, 1)) + _sized(unit)
    return record


def _sized(unit: bytes) -> bytes:
    if not 0 < len(unit) <= 0xFFFF:
        raise ParseError("A parameter set is empty, or longer than any real one.")
    return len(unit).to_bytes(2, "big") + unit
