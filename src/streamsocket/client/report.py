"""What a probe finds out, as plain values: the model behind the table and `probe --json`.

The JSON is these dataclasses as they stand, field by field: a key keeps its name and its meaning,
new ones may be added. Names carry their unit (`_s`, `_ms`, `_bps`); a value that could not be
measured is null.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from streamsocket.media.codec import Kind

Transport = Literal["udp", "tcp", "multicast", "webrtc"]

NAMES: dict[Kind, str] = {"video": "picture", "audio": "sound"}
"""What sentences call a track."""
TRANSPORTS: dict[Transport, str] = {
    "udp": "UDP",
    "tcp": "TCP",
    "multicast": "multicast",
    "webrtc": "WebRTC",
}
"""What they call the way it comes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Percentiles:
    """How measured values are spread."""

    p50: float
    p95: float
    p99: float
    n: int
    """From how many values."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """How old an access unit is when it is here."""

    clock: Literal["sender_report"]
    """How the time of capture is known: from the wall clock in the server's RTCP sender reports.

    Where server and viewer are two machines, the difference of their clocks is in the figures.
    """
    arrival_ms: Percentiles
    """From capture to the arrival of the unit's last packet."""
    decoded_ms: Percentiles | None
    """From capture until its picture or sound is decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sync:
    """Sound against picture, from the flash and the beep of the test source."""

    p50_ms: float
    """The median of sound − picture; positive: the sound is late."""
    p95_ms: float
    """The 95th percentile of the distance between the two, whichever comes first."""
    n: int
    """From how many flashes that have a beep."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Times:
    """When each step was done, in seconds from the beginning of the probe."""

    connected_s: float | None = None
    described_s: float | None = None
    playing_s: float | None = None
    """PLAY was answered."""
    first_packet_s: float | None = None
    first_keyframe_s: float | None = None
    """The last packet of the first keyframe."""
    first_picture_s: float | None = None
    """The first picture was decoded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackReport:
    """One track of the stream. Rates leave out the first moments, when a join may burst."""

    kind: Kind
    codec: str
    """`"h264"`, `"aac"`, `"opus"`; for a track that is not played, its name in the SDP."""
    played: bool
    """False for a track that was left alone."""
    reason: str | None = None
    """Why it was left alone, one sentence."""
    profile: str | None = None
    """`"High"`, `"LC"`."""
    size: tuple[int, int] | None = None
    """Width and height in pixels."""
    sample_rate: int | None = None
    """In hertz."""
    channels: int | None = None
    transport: Transport | None = None
    """How it really came."""
    declared_frame_rate: float | None = None
    """Pictures a second as the server declares them."""
    frame_rate: float | None = None
    """Access units a second, by their arrival."""
    media_frame_rate: float | None = None
    """Access units a second, by their timestamps."""
    bitrate_bps: int | None = None
    """RTP packets with their headers."""
    packets: int = 0
    lost: int = 0
    """Packets that have not come."""
    repaired: int = 0
    """Packets that came because they were asked for again (RFC 4585, 6.2.1)."""
    reordered: int = 0
    duplicates: int = 0
    malformed: int = 0
    """Packets that break the rules of RTP or of their payload format."""
    jitter_ms: float | None = None
    """Interarrival jitter (RFC 3550, 6.4.1)."""
    units: int = 0
    """Access units that arrived."""
    damaged_units: int = 0
    """Of these, how many lack a packet."""
    intact_units: int = 0
    """And how many came whole, with all the pictures that they refer to."""
    b_frames: bool = False
    """Access units come in another order than they are shown in."""
    keyframes: int = 0
    keyframe_interval_s: float | None = None
    """The median from keyframe to keyframe."""
    decoded: int = 0
    """Frames that came out of the decoder."""
    damaged_frames: int = 0
    """Of these, how many the decoder calls corrupt."""
    decode_errors: int = 0
    """Access units the decoder refused."""
    not_decoded: int = 0
    """Access units left out because decoding was too slow."""
    latency: Latency | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All that a probe found out about one URL."""

    url: str
    """Without user and password."""
    error: str | None = None
    """Why it does not play, one sentence; null where it does."""
    findings: Sequence[str] = ()
    """What is worth knowing about it, a sentence each, the worst first."""
    seconds: float = 0.0
    """For how long it was watched."""
    ended: bool = False
    """The stream came to its end while it was watched."""
    server: str | None = None
    """What the server calls itself."""
    transport: str = "auto"
    """What was asked for: `"auto"`, `"mixed"`, `"udp"`, `"tcp"`, `"multicast"`."""
    fallback: str | None = None
    """Why another transport was used than the one tried first, in words; null if it wasn't."""
    decoder: bool = True
    """Whether what arrived was decoded too."""
    sender_reports: int = 0
    """How many RTCP sender reports came."""
    times: Times = field(default_factory=Times)
    tracks: Sequence[TrackReport] = ()
    sync: Sync | None = None
    """Null where the test source's flash and beep were not seen."""

    def to_json(self) -> dict[str, Any]:
        """The report as what `json.dumps` takes, its figures rounded to six places."""
        rounded = _rounded(asdict(self))
        assert isinstance(rounded, dict)
        return rounded


def percentiles(values: Sequence[float]) -> Percentiles | None:
    """The spread of `values` by the nearest rank; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return Percentiles(
        p50=nearest_rank(ordered, 50),
        p95=nearest_rank(ordered, 95),
        p99=nearest_rank(ordered, 99),
        n=len(ordered),
    )


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest of the ordered values that `percent` of them do not exceed."""
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def _rounded(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
