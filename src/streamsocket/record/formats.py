"""What recordings are written in: the containers, what each can hold, and how codecs go in."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath

from streamsocket import wording
from streamsocket.errors import ParseError
from streamsocket.media import aac, av1, h264, h265, jpeg, vp8, vp9
from streamsocket.media.access_unit import START_CODE, AccessUnit
from streamsocket.media.codec import (
    G711,
    H264,
    H265,
    L16,
    Aac,
    Av1,
    Codec,
    Mjpeg,
    Opus,
    Track,
    Vp8,
    Vp9,
)
from streamsocket.media.nal import NalSyntax
from streamsocket.record.errors import RecordError
from streamsocket.rtp.parameter_sets import NalCodec, ParameterSets

FRAGMENT_S = 1.0
"""What is lost at most, besides what other tracks are waited for, when the process is killed."""

# The identification header (RFC 7845, 5.1), which is how files tell the channels.
_OPUS_HEAD = struct.Struct("<8sBBHIhB")


@dataclass(frozen=True, slots=True)
class Container:
    """A file format."""

    name: str
    """What people call it."""
    muxer: str
    """What FFmpeg calls it."""
    codecs: frozenset[type[Codec]]
    """What it can hold so that players find it."""
    options: dict[str, str]
    """The muxer's, so that what was written is playable at any time."""


_MATROSKA_OPTIONS = {"cluster_time_limit": f"{FRAGMENT_S * 1000:.0f}"}
_CONTAINERS = {
    ".mp4": Container(
        "MP4",
        "mp4",
        frozenset({H264, H265, Vp9, Av1, Mjpeg, Aac, Opus}),
        {
            # In fragments while it is written, an ordinary file once it is closed. Its head comes
            # with the first fragment, when it is known where each track begins.
            "movflags": "hybrid_fragmented+frag_keyframe+delay_moov+default_base_moof",
            "frag_duration": f"{FRAGMENT_S * 1_000_000:.0f}",
            # In which the beginnings of tracks are told; a thousandth of a second is too coarse.
            "movie_timescale": "90000",
        },
    ),
    ".mkv": Container(
        "Matroska",
        "matroska",
        frozenset({H264, H265, Vp8, Vp9, Av1, Mjpeg, Aac, Opus, G711, L16}),
        _MATROSKA_OPTIONS,
    ),
    ".webm": Container("WebM", "webm", frozenset({Vp8, Vp9, Av1, Opus}), _MATROSKA_OPTIONS),
    ".ts": Container("MPEG transport stream", "mpegts", frozenset({H264, H265, Aac}), {}),
}


def container_for(path: PurePath, tracks: Sequence[Track]) -> Container:
    """The container that the path's suffix asks for. RecordError where it can't hold a track."""
    container = _CONTAINERS.get(path.suffix.lower())
    if container is None:
        *suffixes, last = _CONTAINERS
        raise RecordError(
            f"The name '{path.name}' does not say what to write: let it end with "
            f"{', '.join(suffixes)} or {last}."
        )
    for track in tracks:
        if type(track.codec) not in container.codecs:
            raise RecordError(
                f"{container.name} files cannot hold {wording.codec_name(track.codec.name)}: "
                f"record to '{path.with_suffix('.mkv').name}' instead."
            )
    return container


@dataclass(frozen=True, slots=True)
class StreamParameters:
    """What a muxer must be told of a track."""

    encoder: str
    """By which FFmpeg knows the codec; nothing is encoded."""
    extradata: bytes | None
    size: tuple[int, int] | None
    reorder_depth: int | None
    """For `DecodeTimes`."""
    sample_rate: int
    channels: int
    frame_duration: int
    """Ticks that a frame of sound lasts, or a picture where nothing else is known."""


def parameters(track: Track, unit: AccessUnit) -> StreamParameters:
    """How a track goes into a file that begins with this unit. RecordError if that is not known."""
    codec = track.codec
    clock_rate = codec.clock_rate
    size: tuple[int, int] | None = None
    extradata: bytes | None = None
    reorder_depth: int | None = 0
    channels = 0
    frame_duration = round(clock_rate / (track.frame_rate or 25))
    try:
        match codec:
            case H264(sps, pps):
                encoder, size = "libx264", codec.size
                extradata = _parameter_sets(h264.SYNTAX, (sps, pps), unit)
                reorder_depth = h264.parse_sps(sps).max_reorder
            case H265(vps, sps, pps):
                encoder, size = "libx265", codec.size
                extradata = _parameter_sets(h265.SYNTAX, (vps, sps, pps), unit)
                reorder_depth = h265.parse_sps(sps).max_reorder
            case Vp8(size):
                encoder = "libvpx"
            case Vp9(size):
                encoder = "libvpx-vp9"
            case Av1(sequence_header):
                encoder, size = "libsvtav1", codec.size
                extradata = av1.with_size(sequence_header)
            case Mjpeg(size):
                encoder = "mjpeg"
            case Aac(config):
                encoder, extradata, channels = "aac", config, codec.channels
                frame_duration = aac.parse_audio_specific_config(config).frame_length
            case Opus(channels):
                encoder = "libopus"
                extradata = _OPUS_HEAD.pack(b"OpusHead", 1, channels, 0, clock_rate, 0, 0)
                frame_duration = 960
            case G711(_, _, channels):
                encoder = "pcm_s16be"
                frame_duration = len(unit.units[0]) // channels
            case L16(_, channels):
                encoder = "pcm_s16be"
                frame_duration = len(unit.units[0]) // (2 * channels)
    except ParseError as error:
        name = wording.codec_name(codec.name)
        raise RecordError(f"The {name} stream cannot be recorded: {error}") from None
    return StreamParameters(
        encoder, extradata, size, reorder_depth, clock_rate, channels, frame_duration
    )


def _parameter_sets(syntax: NalSyntax, announced: tuple[bytes, ...], keyframe: AccessUnit) -> bytes:
    """All that the keyframe brings, which can be several of a type, or what was announced."""
    kinds = syntax.parameter_sets
    in_band = [unit for unit in keyframe.units if unit and syntax.nal_type(unit) in kinds]
    if not {syntax.nal_type(unit) for unit in in_band}.issuperset(kinds):
        in_band = list(announced)
    return b"".join(START_CODE + unit for unit in in_band)


def codec_now(codec: Codec, unit: AccessUnit) -> Codec:
    """The codec as a keyframe itself has it, which may differ from what was announced."""
    try:
        match codec:
            case H264():
                return _codec_in_band(H264(b"", b""), unit) or codec
            case H265():
                return _codec_in_band(H265(b"", b"", b""), unit) or codec
            case Vp8():
                return replace(codec, size=vp8.picture_size(unit.units[0]))
            case Vp9():
                return _vp9_now(codec, unit.units[0])
            case Av1():
                return _av1_now(codec, unit.units[0])
            case Mjpeg():
                headers, _ = jpeg.parse_jpeg(unit.units[0])
                return replace(codec, size=(headers.width, headers.height))
    except ParseError:
        pass
    return codec


def _vp9_now(codec: Vp9, frame: bytes) -> Vp9:
    """By the first frame's header; the size of larger layers, if there are any, is not in it."""
    header = vp9.parse_keyframe(frame)
    has_layers = vp9.is_superframe(frame) and any(codec.size)
    return Vp9(codec.size if has_layers else (header.width, header.height), header.profile)


def _av1_now(codec: Av1, temporal_unit: bytes) -> Av1:
    for obu in av1.split_obus(temporal_unit):
        if av1.obu_type(obu) == av1.SEQUENCE_HEADER:
            av1.parse_sequence_header(obu)
            return Av1(obu)
    return codec


def _codec_in_band(empty: NalCodec, unit: AccessUnit) -> NalCodec | None:
    sets = ParameterSets(empty)
    sets.put_in(unit.units)
    return sets.codec if sets.codec.sps else None


def is_known(codec: Codec) -> bool:
    """Whether a decoder would know what it needs: parameter sets, or the picture's size."""
    match codec:
        case H264(sps, pps) | H265(_, sps, pps):
            return bool(sps and pps)
        case Vp8(size) | Vp9(size) | Mjpeg(size):
            return size != (0, 0)
        case Av1(sequence_header):
            return bool(sequence_header)
    return True


def what_changed(before: Codec, now: Codec) -> str | None:
    """Why what was `before` cannot go on in the same file as it is `now`, a sentence; or None.

    New picture parameter sets of H.264 alone can: they are in band. H.265's are not, in MP4.
    """
    if before == now or (
        isinstance(before, H264) and isinstance(now, H264) and before.sps == now.sps
    ):
        return None
    if type(before) is not type(now):
        old, new = wording.codec_name(before.name), wording.codec_name(now.name)
        return f"The codec changed from {old} to {new}."
    if now.kind == "video" and _size(before) != _size(now):
        (old_width, old_height), (width, height) = _size(before), _size(now)
        return f"The picture changed from {old_width}x{old_height} to {width}x{height}."
    return f"The parameters of the {wording.codec_name(now.name)} coding changed."


def _size(codec: Codec) -> tuple[int, int]:
    if isinstance(codec, H264 | H265 | Vp8 | Vp9 | Av1 | Mjpeg):
        try:
            return codec.size
        except ParseError:
            pass
    return 0, 0


def sample(codec: Codec, unit: AccessUnit) -> bytes:
    """An access unit as it goes to the muxer.

    G.711 goes in as the linear samples that it stands for, which loses nothing and plays
    everywhere; Matroska's own way of keeping it does not.
    """
    match codec:
        case H264() | H265():
            return unit.annexb()
        case G711(law):
            linear = _LINEAR[law]
            return b"".join([linear[byte] for byte in unit.units[0]])
    return unit.units[0]


def _from_mulaw(code: int) -> bytes:
    """Sixteen bits for eight (ITU-T G.711, table 2)."""
    code ^= 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << (code >> 4 & 7)) - 0x84
    return (-magnitude if code & 0x80 else magnitude).to_bytes(2, "big", signed=True)


def _from_alaw(code: int) -> bytes:
    """Sixteen bits for eight (ITU-T G.711, table 1)."""
    code ^= 0x55
    exponent = code >> 4 & 7
    magnitude = (code & 0x0F) * 16 + 8
    if exponent:
        magnitude = magnitude + 0x100 << exponent - 1
    return (magnitude if code & 0x80 else -magnitude).to_bytes(2, "big", signed=True)


_LINEAR = {
    "pcmu": [_from_mulaw(code) for code in range(256)],
    "pcma": [_from_alaw(code) for code in range(256)],
}
