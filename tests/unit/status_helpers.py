"""Statuses to show, without a server."""

from __future__ import annotations

from streamsocket.status import AddedLatency, ServerStatus, StreamStatus, TrackStatus

VIDEO = TrackStatus("video", "h264", "1280x720", 25.0, 2_400_000, 1000, 1_000_000)
AUDIO = TrackStatus("audio", "aac", "48 kHz stereo", None, 128_000, 500, 90_000)


def live_stream(
    name: str = "movie",
    *,
    tracks: tuple[TrackStatus, ...] = (VIDEO, AUDIO),
    position_s: float | None = 12.5,
    loops: int = 0,
    message: str | None = None,
) -> StreamStatus:
    """A stream with four viewers."""
    return StreamStatus(
        name=name,
        source=f"{name}.mp4",
        state="live",
        tracks=tracks,
        viewers=4,
        bitrate_bps=2_528_000,
        up_since=1_700_000_000.0,
        position_s=position_s,
        duration_s=None if position_s is None else 90.0,
        loops=loops,
        skipped_packets=7,
        message=message,
        added_latency=AddedLatency(((0.001, 70), (0.002, 98)), 100, 0.05),
        resent_packets=3,
        unsent_packets=2,
        timestamp_jumps=6,
        estimated_bps=1_500_000,
    )


def failed_stream(name: str, message: str) -> StreamStatus:
    """A stream that there is nothing of."""
    return StreamStatus(name, f"{name}.mp4", "failed", (), 0, 0, None, None, None, 0, 0, message)


def server_status(*streams: StreamStatus) -> ServerStatus:
    """A server with these streams."""
    return ServerStatus("1.2.3", 1_700_000_000.0, streams, 5, 4, {"malformed": 2}, 0.003)
