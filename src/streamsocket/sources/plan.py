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

from streamsocket.errors import SourceError
from streamsocket.media.codec import Codec, Kind, VideoCodec
from streamsocket.sources.encoding import AS_IT_IS, Encoding
from streamsocket.sources.passable import NotPassableError, passable_audio, passable_video
from streamsocket.wording import bitrate, codec_name

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
    encode_as: str
    """The name of the codec that it is transcoded to."""
    note: str | None = None
    """What is done to it and why, a sentence."""
    rotation: int = 0
    """By how many degrees, against the clock, the picture has to be turned."""
    untimed: bool = False
    """Its packets have no presentation times, or wrong ones."""
    frame_rate: Fraction | None = None
    """Pictures a second, as asked for or as the file declares them; None where they vary."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is streamed of a file: a picture, a sound, or both."""

    tracks: tuple[TrackPlan, ...]
    duration_s: float | None
    """As the file declares it."""
    encoding: Encoding = AS_IT_IS
    """What is asked for, of those tracks that are transcoded."""


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


def make_plan(path: str, encoding: Encoding = AS_IT_IS) -> Plan:
    """Look into a file. Raises `SourceError` where nothing in it can be streamed.

    Tracks that RTP can carry and that are as the encoding asks for are passed on as they are.
    """
    with open_movie(path) as movie:
        streams = _choose_streams(movie)
        first = _first_packets(movie, streams)
        tracks = tuple(
            _plan_track(stream, first[stream.index], encoding)
            for stream in streams
            if stream.index in first
        )
        if not tracks:
            raise SourceError(f"'{path}' has neither picture nor sound that can be played.")
        duration = movie.duration
        return Plan(tracks, None if duration is None else duration / av.time_base, encoding)


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


def _plan_track(
    stream: VideoStream | AudioStream, packet: Packet[Stream], encoding: Encoding
) -> TrackPlan:
    if isinstance(stream, VideoStream):
        return _plan_video(stream, packet, encoding)
    return _plan_audio(stream, packet, encoding)


def _plan_video(stream: VideoStream, packet: Packet[Stream], encoding: Encoding) -> TrackPlan:
    # AVI counts pictures as they are decoded; a raw stream counts nothing.
    untimed = (packet.dts is None and packet.pts is None) or stream.container.format.name == "avi"
    rotation = _rotation(stream, packet)
    frame_rate = _frame_rate(stream)
    encode_as = encoding.video_codec or "h264"
    result = _picture_text(encode_as, encoding)
    codec: Codec | None = None
    note = None
    try:
        codec = passable_video(stream, packet)
        if untimed and (packet.dts is None or stream.codec_context.has_b_frames):
            raise NotPassableError("The file does not say when its pictures are shown")
        if rotation:
            raise NotPassableError(f"The picture is stored turned by {rotation}°")
        if not _is_as_wished(stream, codec, frame_rate, encoding):
            codec, note = None, f"The picture is transcoded to {result}, as asked for."
    except NotPassableError as error:
        codec = None
        note = f"{error}: it is transcoded to {result}{', upright' if rotation else ''}."
    return TrackPlan(
        "video",
        stream.index,
        codec,
        encode_as,
        note,
        rotation,
        untimed,
        frame_rate=encoding.fps or frame_rate,
    )


def _plan_audio(stream: AudioStream, packet: Packet[Stream], encoding: Encoding) -> TrackPlan:
    encode_as = encoding.audio_codec or "aac"
    result = ", ".join([codec_name(encode_as), *_bitrate_text(encoding.audio_bitrate_bps)])
    codec: Codec | None = None
    note = None
    try:
        codec = passable_audio(stream, packet)
        if encoding.audio_codec not in (None, codec.name) or encoding.audio_bitrate_bps:
            codec, note = None, f"The sound is transcoded to {result}, as asked for."
    except NotPassableError as error:
        note = f"{error}: it is transcoded to {result}."
    return TrackPlan("audio", stream.index, codec, encode_as, note)


def _is_as_wished(
    stream: VideoStream, codec: VideoCodec, frame_rate: Fraction | None, encoding: Encoding
) -> bool:
    """Whether a picture that can be passed on already is what the encoding asks for."""
    shown = stream.codec_context.width, stream.codec_context.height
    is_square = stream.sample_aspect_ratio in (None, 0, 1)
    return (
        encoding.video_codec in (None, codec.name)
        and (encoding.size is None or (is_square and encoding.size == shown))
        and encoding.fps in (None, frame_rate)
        and encoding.video_bitrate_bps is None
    )


def _picture_text(codec: str, encoding: Encoding) -> str:
    parts = [codec_name(codec)]
    if encoding.size:
        parts.append("{}x{}".format(*encoding.size))
    if encoding.fps:
        parts.append(f"{float(encoding.fps):.5g} pictures a second")
    return ", ".join([*parts, *_bitrate_text(encoding.video_bitrate_bps)])


def _bitrate_text(bits: int | None) -> list[str]:
    return [bitrate(bits)] if bits else []


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
