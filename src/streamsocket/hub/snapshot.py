"""What a stream tells about its tracks, as plain values."""

from __future__ import annotations

from streamsocket.errors import ParseError
from streamsocket.hub.stream import Stream
from streamsocket.hub.track import StreamTrack
from streamsocket.media.codec import Codec, VideoCodec
from streamsocket.status import AddedLatency, TrackStatus
from streamsocket.wording import channels


def track_statuses(stream: Stream, now: float) -> tuple[TrackStatus, ...]:
    """The state of every track of a stream at this moment of `time.monotonic()`."""
    return tuple(track_status(track, now) for track in stream.tracks)


def added_latency(stream: Stream) -> AddedLatency:
    """What the server has added to the stream's batches since it began."""
    histogram = stream.added_latency
    return AddedLatency(histogram.cumulative(), histogram.count, histogram.sum_s)


def describe(codec: Codec) -> str:
    """What a track is, for people: `"1280x720"`, `"48 kHz stereo"`; empty where not known."""
    try:
        if isinstance(codec, VideoCodec):
            width, height = codec.size
            return f"{width}x{height}" if width else ""
        return f"{codec.clock_rate / 1000:g} kHz {channels(codec.channels)}"
    except ParseError:
        return ""


def track_status(track: StreamTrack, now: float) -> TrackStatus:
    """The state of one track at this moment of `time.monotonic()`."""
    bits_a_second, units_a_second = track.meter.rates(now)
    return TrackStatus(
        kind=track.track.kind,
        codec=track.track.codec.name,
        description=describe(track.track.codec),
        frame_rate=round(units_a_second, 3) if track.is_video else None,
        bitrate_bps=round(bits_a_second),
        packets=track.packets,
        bytes=track.octets,
    )
