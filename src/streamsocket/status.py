"""What the server tells about itself: plain, frozen values that any thread may read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from streamsocket.media.codec import Kind

ForwardState = Literal["waiting", "connecting", "live", "retrying", "ended"]

StreamState = Literal["starting", "waiting", "live", "ended", "failed"]
"""`waiting`: for somebody to watch, for a publisher, for a camera that is away."""


@dataclass(frozen=True, slots=True)
class Ports:
    """Where a server listens; None for what it doesn't speak."""

    rtsp: int
    http: int
    rtsps: int | None = None
    rtmp: int | None = None
    webrtc: int | None = None


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """One track of a stream."""

    kind: Kind
    codec: str
    """`"h264"`, `"aac"`, `"opus"`."""
    description: str
    """For people: `"1280x720"`, `"48 kHz stereo"`."""
    frame_rate: float | None
    """Pictures a second that really arrived lately; None for sound."""
    bitrate_bps: int
    packets: int
    bytes: int


@dataclass(frozen=True, slots=True)
class RenditionStatus:
    """A track that is made of another for viewers who can't play that one."""

    made_of: str
    """The codec of what it is made of."""
    track: TrackStatus | None
    """None while nothing has been made yet."""
    viewers: int
    message: str | None
    """What is wrong, a sentence."""


@dataclass(frozen=True, slots=True)
class AddedLatency:
    """What the server adds: from the arrival of a batch to its last copy being out.

    Batches without viewers are not counted.
    """

    buckets: tuple[tuple[float, int], ...]
    """For each bound in seconds, how many batches took no longer."""
    count: int
    sum_s: float


@dataclass(frozen=True, slots=True)
class StreamStatus:
    """One stream: who makes it, what it is made of, who watches."""

    name: str
    source: str
    """What it is made from, as the user wrote it: `"movie.mp4"`, `"test:1920x1080@60"`."""
    state: StreamState
    tracks: tuple[TrackStatus, ...]
    viewers: int
    bitrate_bps: int
    up_since: float | None
    """Seconds since the epoch, None while it is not live."""
    position_s: float | None
    """Where in its file the source is, None for sources without a position."""
    duration_s: float | None
    loops: int
    """How many times the file has begun again."""
    skipped_packets: int
    """Packets that slow viewers were too late for, all viewers together."""
    message: str | None
    """Why it failed or what is being done to it (`"VP9 is transcoded to H.264"`), a sentence."""
    added_latency: AddedLatency | None = None
    """None before the stream is live for the first time."""
    resent_packets: int = 0
    """Packets that viewers missed and were sent once more, all viewers together."""
    unsent_packets: int = 0
    """Packets that the system would not send over UDP, all viewers together."""
    timestamp_jumps: int = 0
    """How often its publishers' timestamps jumped, which viewers are spared."""
    estimated_bps: int | None = None
    """Bits a second that get through to the viewer who gets least, as its browser believes; None
    if no viewer tells."""
    renditions: tuple[RenditionStatus, ...] = ()
    """What is made of its tracks at the moment."""


@dataclass(frozen=True, slots=True)
class RecordingStatus:
    """One recording in progress."""

    stream: str
    path: str | None
    """The file that is being written; None while there is none."""
    seconds: float
    """How much is in that file."""
    bytes: int
    skipped_packets: int
    """What the disk was too slow for, since the stream began."""
    message: str | None
    """What is wrong, a sentence."""


@dataclass(frozen=True, slots=True)
class ForwardStatus:
    """One stream that is pushed on to another server."""

    stream: str
    url: str
    """Where to, without user and password."""
    state: ForwardState = "waiting"
    """`waiting` is for the stream, `retrying` for the other server."""
    message: str | None = None
    """What went wrong, or isn't sent; a sentence."""
    failures: int = 0
    """How often the other server could not be reached, or was lost."""


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """The whole server at one moment."""

    version: str
    started: float
    """Seconds since the epoch."""
    streams: tuple[StreamStatus, ...]
    connections: int
    sessions: int
    refused: dict[str, int]
    """What was refused since the start, by reason: `"malformed"`, `"foreign_destination"`, …"""
    loop_lag_s: float
    """By how much the media thread was late at its last few ticks, the worst of them."""
    recordings: tuple[RecordingStatus, ...] = ()
    forwards: tuple[ForwardStatus, ...] = ()
