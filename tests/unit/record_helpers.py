"""Streams to record, made by FFmpeg's encoders, and what is in the files that come of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame

from streamsocket.media import av1, h264
from streamsocket.media.access_unit import AccessUnit
from streamsocket.media.codec import G711, H264, H265, L16, Aac, Av1, Mjpeg, Opus, Track, Vp8, Vp9
from streamsocket.media.h265 import nal_type as h265_type

CAPTURED = 1_700_000_000.0
"""When the first picture was captured, in seconds since the epoch."""
BASES = (4_294_960_000, 123_456)
"""The RTP timestamps of that moment, one a track."""

_WITHOUT_NAL = {"libvpx": Vp8(), "libvpx-vp9": Vp9(), "libsvtav1": Av1(), "mjpeg": Mjpeg()}

Units = list[tuple[int, AccessUnit]]


def video(
    encoder: str,
    *,
    seconds: float = 3.0,
    rate: int = 25,
    size: tuple[int, int] = (160, 96),
    gop: int = 25,
    index: int = 0,
    **options: str,
) -> tuple[Track, Units]:
    """A coded picture track as it comes from the network, in decoding order."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.VideoCodecContext)
    context.width, context.height = size
    context.pix_fmt = "yuvj420p" if encoder == "mjpeg" else "yuv420p"
    context.time_base = Fraction(1, rate)
    context.framerate = Fraction(rate)
    context.gop_size = gop
    context.options = options
    packets: list[Any] = []
    for number in range(round(seconds * rate)):
        ramp = (np.arange(size[0])[None, :] * 3 + np.arange(size[1])[:, None] + number * 5) % 256
        frame = VideoFrame.from_ndarray(
            np.stack([ramp, np.roll(ramp, number, 0), 255 - ramp], 2).astype(np.uint8), "rgb24"
        ).reformat(format=context.pix_fmt)
        frame.pts = number
        packets += context.encode(frame)
    packets += context.encode(None)
    units = []
    for packet in packets:
        data = bytes(packet)
        if encoder == "libsvtav1":
            data = b"".join(map(av1.with_size, av1.split_obus(data)))
        is_nal = encoder in ("libx264", "libx265")
        nals = h264.split_annexb(data) if is_nal else [data]
        timestamp = BASES[index] + packet.pts * 90_000 // rate
        units.append(
            AccessUnit(
                nals,
                timestamp,
                keyframe=bool(packet.is_keyframe),
                capture_time=CAPTURED + packet.pts / rate,
            )
        )
    if not is_nal:
        return Track(_WITHOUT_NAL[encoder], Fraction(rate)), [(index, unit) for unit in units]
    codec: H264 | H265
    if encoder == "libx264":
        by_type = {h264.nal_type(unit): unit for unit in reversed(units[0].units)}
        codec = H264(by_type[h264.SPS], by_type[h264.PPS])
    else:
        by_type = {h265_type(unit): unit for unit in reversed(units[0].units)}
        codec = H265(by_type[32], by_type[33], by_type[34])
    return Track(codec, Fraction(rate)), [(index, unit) for unit in units]


def sound(
    encoder: str,
    *,
    seconds: float = 3.0,
    rate: int = 48_000,
    channels: int = 2,
    index: int = 1,
    begins: float = 0.0,
) -> tuple[Track, Units]:
    """A coded track of sound; its first frame is captured `begins` seconds after the picture's."""
    context = av.CodecContext.create(encoder, "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = rate
    context.layout = "stereo" if channels == 2 else "mono"
    context.time_base = Fraction(1, rate)
    wide = encoder in ("aac", "libopus")
    context.format = {"aac": "fltp", "libopus": "flt"}.get(encoder, "s16")
    if encoder == "libopus":
        context.bit_rate = 64_000
    context.open()
    length = context.frame_size or rate // 50
    packets: list[Any] = []
    for start in range(0, round(seconds * rate), length):
        wave = np.sin(2 * np.pi * 440 * np.arange(start, start + length) / rate) * 0.5
        samples = np.repeat(wave, channels)[None, :]
        if wide:
            samples = samples.astype(np.float32)
            if encoder == "aac":
                samples = np.repeat(wave[None, :], channels, 0).astype(np.float32)
        else:
            samples = (samples * 32767).astype(np.int16)
        frame = AudioFrame.from_ndarray(
            np.ascontiguousarray(samples), context.format.name, context.layout.name
        )
        frame.sample_rate, frame.pts = rate, start
        frame.time_base = context.time_base
        packets += context.encode(frame)
    codec: Aac | Opus | G711 | L16
    if encoder == "aac":
        codec = Aac(bytes(context.extradata or b""))
    elif encoder == "libopus":
        codec = Opus(channels)
    elif encoder == "pcm_s16be":
        codec = L16(rate, channels)
    else:
        codec = G711("pcmu" if encoder == "pcm_mulaw" else "pcma", rate, channels)
    units: Units = []
    for number, packet in enumerate(packets):
        at = number * length
        units.append(
            (
                index,
                AccessUnit(
                    [bytes(packet)],
                    BASES[index] + round(begins * rate) + at,
                    capture_time=CAPTURED + begins + at / rate,
                ),
            )
        )
    return Track(codec), units


def interleaved(*tracks: Units) -> Units:
    """In the order of capture, each track in its own order."""
    timed = []
    for units in tracks:
        newest = 0.0
        for index, unit in units:
            newest = max(newest, unit.capture_time or 0.0)
            timed.append((newest, index, unit))
    timed.sort(key=lambda each: each[0])
    return [(index, unit) for _, index, unit in timed]


@dataclass
class Packet:
    """A packet as a file has it."""

    pts_s: Fraction
    dts_s: Fraction
    digest: str


@dataclass
class Content:
    """What is in a file."""

    packets: list[list[Packet]]
    codecs: list[str]
    frames: list[int]
    """How many frames were decoded."""


def digest(units: Iterable[bytes]) -> str:
    """Of an access unit's bytes, however NAL units are kept apart."""
    return hashlib.md5(b"".join(units)).hexdigest()


def read(path: Path, *, strict: bool = True) -> Content:
    """What a file has, decoded too; strictly, every flaw is an error."""
    packets: list[list[Packet]] = []
    with av.open(path) as container:
        packets = [[] for _ in container.streams]
        codecs = [stream.codec_context.name for stream in container.streams]
        for packet in container.demux():
            if not packet.size:
                continue
            data = bytes(packet)
            is_nal = codecs[packet.stream_index] in ("h264", "hevc")
            is_annexb = data[:4] == b"\0\0\0\1"
            if is_nal and is_annexb:
                parts = h264.split_annexb(data)
            elif is_nal:
                parts = h264.split_length_prefixed(data, 4)
            else:
                parts = [data]
            base = packet.time_base
            packets[packet.stream_index].append(
                Packet(
                    packet.pts * base,
                    (packet.pts if packet.dts is None else packet.dts) * base,
                    digest(parts),
                )
            )
    frames = []
    for number in range(len(codecs)):
        with av.open(path) as container:
            if strict:
                container.streams[number].codec_context.options = {"err_detect": "explode"}
            frames.append(sum(1 for _ in container.decode(container.streams[number])))
    return Content(packets, codecs, frames)


def digests(units: Units, index: int) -> list[str]:
    """Of one track's units."""
    return [digest(unit.units) for track, unit in units if track == index]
