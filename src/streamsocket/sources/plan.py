"""What is to be done with a file: which of its tracks are streamed, and whether as they are."""

from __future__ import annotations

import os
from dataclasses import dataclass
from fractions import Fraction

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.packet import Packet
from av.stream import Disposition, Stream
from av.video.stream import VideoStream

from streamsocket.errors import ParseError, SourceError
from streamsocket.media import aac, h264
from streamsocket.media.codec import H264, Aac, Codec, Kind, Opus

# How far into the file a track's first packet is looked for.
_MAX_PACKETS = 2000

_MAX_FRAME_RATE = 300
_STEADY = 0.01


@dataclass(frozen=True, slots=True)
class TrackPlan:
    """One track of the file."""

    kind: Kind
    stream_index: int
    codec: Codec | None
    """What it is passed on as; None where it is transcoded."""
    note: str | None = None
    """What is done to it and why, a sentence."""
    rotation: int = 0
    """By how many degrees, against the clock, the picture has to be turned."""
    untimed: bool = False
    """Its packets have no presentation times, or wrong ones."""
    frame_rate: Fraction | None = None
    """Pictures a second as the file declares them; None where they vary."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is streamed of a file: a picture, a sound, or both."""

    tracks: tuple[TrackPlan, ...]
    duration_s: float | None
    """As the file declares it."""


def open_movie(path: str) -> InputContainer:
    """Open a file that FFmpeg can demultiplex. Raises `SourceError`."""
    try:
        if os.path.isdir(path):
            raise SourceError(f"'{path}' is a directory: give the path of a file in it.")
        if os.path.getsize(path) == 0:
            raise SourceError(f"'{path}' is empty: was it written, or copied, to its end?")
        return av.open(f"file:{path}")  # or a colon in the path would end a protocol's name
    except FileNotFoundError:
        raise SourceError(f"There is no file '{path}': check the path.") from None
    except PermissionError:
        raise SourceError(f"'{path}' may not be read: check its permissions.") from None
    except (av.FFmpegError, OSError) as error:
        if _looks_like_mp4(path):
            raise SourceError(
                f"'{path}' is damaged or cut off, its index (the moov box) cannot be read: "
                "was it written, or copied, to its end?"
            ) from error
        raise SourceError(
            f"'{path}' is no movie or sound that FFmpeg can read: check what the file really is."
        ) from error


def make_plan(path: str) -> Plan:
    """Look into a file. Raises `SourceError` where nothing in it can be streamed."""
    with open_movie(path) as movie:
        streams = _choose_streams(movie)
        first = _first_packets(movie, streams)
        tracks = tuple(
            _plan_track(stream, first[stream.index]) for stream in streams if stream.index in first
        )
        if not tracks:
            raise SourceError(f"'{path}' has neither picture nor sound that can be played.")
        duration = movie.duration
        return Plan(tracks, None if duration is None else duration / av.time_base)


def _choose_streams(movie: InputContainer) -> list[VideoStream | AudioStream]:
    """The best video and the best audio, by FFmpeg's judgement; a cover picture is no video."""
    video = movie.streams.best("video")
    if video and video.disposition & Disposition.attached_pic:
        video = next(
            (s for s in movie.streams.video if not s.disposition & Disposition.attached_pic), None
        )
    audio = movie.streams.best("audio", related=video)
    return [
        stream
        for stream in (video, audio)
        if isinstance(stream, VideoStream | AudioStream) and stream.codec_context is not None
    ]


def _first_packets(
    movie: InputContainer, streams: list[VideoStream | AudioStream]
) -> dict[int, Packet[Stream]]:
    first: dict[int, Packet[Stream]] = {}
    if not streams:
        return first
    try:
        for count, packet in enumerate(movie.demux(*streams)):
            if packet.size:
                first.setdefault(packet.stream_index, packet)
            if len(first) == len(streams) or count >= _MAX_PACKETS:
                break
    except av.FFmpegError:
        pass  # damaged: what came before the damage is what there is
    return first


def _plan_track(stream: VideoStream | AudioStream, packet: Packet[Stream]) -> TrackPlan:
    if isinstance(stream, VideoStream):
        return _plan_video(stream, packet)
    return _plan_audio(stream, packet)


def _plan_video(stream: VideoStream, packet: Packet[Stream]) -> TrackPlan:
    name = stream.codec_context.codec.canonical_name
    # AVI counts pictures as they are decoded; a raw stream counts nothing.
    untimed = (packet.dts is None and packet.pts is None) or stream.container.format.name == "avi"
    rotation = _rotation(stream, packet)
    codec = None
    transcoded = "it is transcoded to H.264"
    if name != "h264":
        reason = f"The picture is {name}, which is not passed on: {transcoded}."
    elif untimed and (packet.dts is None or stream.codec_context.has_b_frames):
        reason = f"The file does not say when its pictures are shown: {transcoded}."
    elif rotation:
        reason = f"The picture is stored turned by {rotation}°: {transcoded}, upright."
    else:
        codec = _h264_codec(stream.codec_context.extradata or b"")
        reason = f"The picture comes without H.264 parameter sets: {transcoded}."
    return TrackPlan(
        "video",
        stream.index,
        codec,
        note=None if codec else reason,
        rotation=rotation,
        untimed=untimed,
        frame_rate=_frame_rate(stream),
    )


def _plan_audio(stream: AudioStream, packet: Packet[Stream]) -> TrackPlan:
    name = stream.codec_context.codec.canonical_name
    transcoded = "it is transcoded to AAC"
    codec: Codec | None = None
    reason = f"The sound is {name}, which is not passed on: {transcoded}."
    if name == "aac":
        codec = _aac_codec(stream.codec_context.extradata or b"", packet)
        reason = f"The sound is AAC of a kind that RTP players don't know: {transcoded}."
    elif name == "opus":
        channels = stream.codec_context.channels
        codec = Opus(channels) if channels <= 2 else None
        reason = f"The sound is Opus with {channels} channels, where RTP has two: {transcoded}."
    return TrackPlan("audio", stream.index, codec, None if codec else reason)


def _h264_codec(extradata: bytes) -> H264 | None:
    try:
        if extradata[:1] == b"\x01":
            configuration = h264.parse_avcc(extradata)
            sps, pps = configuration.sps, configuration.pps
        else:
            sets = {h264.nal_type(unit): unit for unit in reversed(h264.split_annexb(extradata))}
            sps, pps = sets[h264.SPS], sets[h264.PPS]
        h264.parse_sps(sps)
    except (ParseError, KeyError):
        return None
    return H264(sps, pps)


def _aac_codec(extradata: bytes, packet: Packet[Stream]) -> Aac | None:
    config = extradata or adts_config(bytes(packet))
    try:
        aac.parse_audio_specific_config(config)
    except ParseError:
        return None
    return Aac(config)


def adts_config(frame: bytes) -> bytes:
    """The AudioSpecificConfig that an ADTS header stands for (ISO/IEC 14496-3, 1.A.3.2)."""
    if len(frame) < 7 or frame[0] != 0xFF or frame[1] & 0xF0 != 0xF0:
        return b""
    object_type = (frame[2] >> 6) + 1
    frequency = frame[2] >> 2 & 15
    channels = (frame[2] & 1) << 2 | frame[3] >> 6
    return (object_type << 11 | frequency << 7 | channels << 3).to_bytes(2, "big")


def _frame_rate(stream: VideoStream) -> Fraction | None:
    declared, average = stream.guessed_rate, stream.average_rate
    if not declared or not 1 <= declared <= _MAX_FRAME_RATE:
        return None
    # AVI's average counts the fields of a picture.
    steady = (average and abs(average / declared - 1) < _STEADY) or average == 2 * declared
    return Fraction(declared) if steady else None  # PyAV 19 has a rational type of its own


def _rotation(stream: VideoStream, packet: Packet[Stream]) -> int:
    """By how many degrees, against the clock, players of files turn the picture.

    RTP has no place for it, and few players mind H.264's own message about it (D.1.27).
    """
    stream.codec_context.thread_count = 1  # more would only hold the picture back
    try:
        frames = stream.decode(packet) or stream.decode(None)
    except av.FFmpegError:
        return 0
    return frames[0].rotation % 360 if frames else 0


def _looks_like_mp4(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(8)[4:] in (b"ftyp", b"mdat", b"moov", b"wide", b"free")
    except OSError:
        return False
