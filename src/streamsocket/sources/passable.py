"""Which of a file's tracks RTP carries as they are, and why it doesn't carry others."""

from __future__ import annotations

from av.audio.stream import AudioStream
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from streamsocket.errors import ParseError
from streamsocket.media import aac, h264, h265, jpeg, vp8
from streamsocket.media.codec import (
    G711,
    H264,
    H265,
    L16,
    Aac,
    AudioCodec,
    Mjpeg,
    Opus,
    VideoCodec,
    Vp8,
)
from streamsocket.rtp.mjpeg import MAX_SIDE
from streamsocket.rtp.pcm import MAX_CLOCK_RATE
from streamsocket.sources.encoding import JPEG_BLOCK


class NotPassableError(Exception):
    """The track can't be passed on; the message is the beginning of a sentence that says why."""


def passable_video(stream: VideoStream, packet: Packet[Stream]) -> VideoCodec:
    """The codec that the track with this first packet is passed on as.

    Raises `NotPassableError`.
    """
    name = stream.codec_context.codec.canonical_name
    extradata = stream.codec_context.extradata or b""
    match name:
        case "h264":
            return _h264(extradata)
        case "hevc":
            return _h265(extradata)
        case "vp8":
            return _vp8(bytes(packet))
        case "mjpeg":
            return _mjpeg(stream, bytes(packet))
    raise NotPassableError(f"The picture is {name}, which is not passed on")


def passable_audio(stream: AudioStream, packet: Packet[Stream]) -> AudioCodec:
    """The codec that the track with this first packet is passed on as.

    Raises `NotPassableError`.
    """
    context = stream.codec_context
    name, rate, channels = context.codec.canonical_name, context.sample_rate, context.channels
    match name:
        case "aac":
            return _aac(context.extradata or b"", packet)
        case "opus" if channels <= 2:
            return Opus(channels)
        case "opus":
            raise NotPassableError(f"The sound is Opus with {channels} channels, where RTP has two")
        case "pcm_mulaw" | "pcm_alaw" if channels <= 2 and rate <= MAX_CLOCK_RATE:
            return G711("pcmu" if name == "pcm_mulaw" else "pcma", rate, channels)
        # Which byte of a sample comes first is no more than a way to write it down.
        case "pcm_s16be" | "pcm_s16le" if channels <= 2 and rate <= MAX_CLOCK_RATE:
            return L16(rate, channels)
    raise NotPassableError(f"The sound is {name}, which is not passed on")


def adts_config(frame: bytes) -> bytes:
    """The AudioSpecificConfig that an ADTS header stands for (ISO/IEC 14496-3, 1.A.3.2)."""
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF0 != 0xF0:
        return b""
    object_type = (frame[2] >> 6) + 1
    frequency = frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return (object_type << 11 | frequency << 7 | channels << 3).to_bytes(2, "big")


def _h264(extradata: bytes) -> H264:
    try:
        if extradata[:1] == b"\x01":
            configuration = h264.parse_avcc(extradata)
            sps, pps = configuration.sps, configuration.pps
        else:
            sets = {h264.nal_type(unit): unit for unit in reversed(h264.split_annexb(extradata))}
            sps, pps = sets[h264.SPS], sets[h264.PPS]
        h264.parse_sps(sps)
    except (ParseError, KeyError):
        raise NotPassableError("The picture comes without H.264 parameter sets") from None
    return H264(sps, pps)


def _h265(extradata: bytes) -> H265:
    try:
        if extradata[:1] == b"\x01":
            configuration = h265.parse_hvcc(extradata)
            vps, sps, pps = configuration.vps, configuration.sps, configuration.pps
        else:
            sets = {h265.nal_type(unit): unit for unit in reversed(h265.split_annexb(extradata))}
            vps, sps, pps = sets[h265.VPS], sets[h265.SPS], sets[h265.PPS]
        h265.parse_sps(sps)
    except (ParseError, KeyError):
        raise NotPassableError("The picture comes without H.265 parameter sets") from None
    return H265(vps, sps, pps)


def _vp8(frame: bytes) -> Vp8:
    try:
        return Vp8(vp8.picture_size(frame))
    except ParseError:
        raise NotPassableError("The picture's VP8 begins without a keyframe") from None


def _mjpeg(stream: VideoStream, picture: bytes) -> Mjpeg:
    unlike = "The picture is JPEG of a kind that RTP has no place for"
    try:
        headers, _ = jpeg.parse_jpeg(picture)
    except ParseError:
        raise NotPassableError(unlike) from None
    size = headers.width, headers.height
    if not headers.usual_huffman_tables:
        raise NotPassableError(f"{unlike} (with Huffman tables of its own)")
    if any(side % JPEG_BLOCK or side > MAX_SIDE for side in size):
        raise NotPassableError(f"{unlike} (of {size[0]}x{size[1]} pixels)")
    if headers.height != stream.codec_context.height:
        raise NotPassableError(f"{unlike} (interlaced)")
    return Mjpeg(size)


def _aac(extradata: bytes, packet: Packet[Stream]) -> Aac:
    config = extradata or adts_config(bytes(packet))
    try:
        aac.parse_audio_specific_config(config)
    except ParseError:
        raise NotPassableError("The sound is AAC of a kind that RTP players don't know") from None
    return Aac(config)
