"""What a server tells of its streams: those it makes itself, and those that are published on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from streamsocket.hub.hub import Hub
from streamsocket.hub.snapshot import added_latency, track_statuses
from streamsocket.hub.stream import Stream
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import FileSpec, SourceSpec
from streamsocket.sources.state import SourceStatus
from streamsocket.status import StreamStatus


def stream_statuses(
    hub: Hub, sources: Iterable[SourceProcess | PulledSource]
) -> tuple[StreamStatus, ...]:
    """Every stream that there is, or is to be: first the server's own, in order."""
    now = time.monotonic()
    own = {source.name: source for source in sources}
    statuses = [
        _status(name, _label(source.spec), source.status, hub.find(name), now)
        for name, source in own.items()
    ]
    for stream in hub:
        if stream.name not in own:
            waiting = SourceStatus("waiting", message="Its publisher has left and may return.")
            state = SourceStatus("live") if stream.publication else waiting
            statuses.append(_status(stream.name, stream.origin, state, stream, now))
    return tuple(statuses)


def _status(
    name: str, label: str, source: SourceStatus, stream: Stream | None, now: float
) -> StreamStatus:
    tracks = track_statuses(stream, now) if stream else ()
    return StreamStatus(
        name=name,
        source=label,
        state=source.state,
        tracks=tracks,
        viewers=stream.viewers if stream else 0,
        bitrate_bps=sum(track.bitrate_bps for track in tracks),
        up_since=stream.up_since if stream else None,
        position_s=source.position_s,
        duration_s=source.duration_s,
        loops=source.loops,
        skipped_packets=stream.skipped_packets if stream else 0,
        message=source.message,
        resent_packets=stream.resent_packets if stream else 0,
        unsent_packets=stream.unsent_packets if stream else 0,
        timestamp_jumps=stream.timestamp_jumps if stream else 0,
        added_latency=added_latency(stream) if stream else None,
    )


def _label(spec: SourceSpec) -> str:
    """What to call a source before everybody: where its file is, is the server's own affair."""
    return Path(spec.path).name if isinstance(spec, FileSpec) else spec.text
