"""What a server tells of its streams: those it makes itself, and those that are published on it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from streamsocket.hub.hub import Hub
from streamsocket.hub.snapshot import added_latency, track_status, track_statuses
from streamsocket.hub.stream import Stream
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import FileSpec, SourceSpec
from streamsocket.sources.state import SourceStatus
from streamsocket.status import RenditionStatus, StreamStatus
from streamsocket.transcode.renditions import Rendition, Renditions
from streamsocket.wording import codec_name


def stream_statuses(
    hub: Hub, sources: Iterable[SourceProcess | PulledSource], renditions: Renditions | None
) -> tuple[StreamStatus, ...]:
    """Every stream that there is, or is to be: first the server's own, in order."""
    now = time.monotonic()

    def made_of(stream: Stream | None) -> list[Rendition]:
        return renditions.of(stream) if stream and renditions else []

    own = {source.name: source for source in sources}
    statuses = [
        _status(
            name,
            _label(source.spec),
            source.status,
            hub.find(name),
            made_of(hub.find(name)),
            now,
        )
        for name, source in own.items()
    ]
    for stream in hub:
        if stream.name not in own:
            waiting = SourceStatus("waiting", message="Its publisher has left and may return.")
            state = SourceStatus("live") if stream.publication else waiting
            made = made_of(stream)
            statuses.append(_status(stream.name, stream.origin, state, stream, made, now))
    return tuple(statuses)


def _status(
    name: str,
    label: str,
    source: SourceStatus,
    stream: Stream | None,
    renditions: Iterable[Rendition],
    now: float,
) -> StreamStatus:
    tracks = track_statuses(stream, now) if stream else ()
    messages = [source.message, *map(_conversion, renditions)]
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
        message=" ".join(filter(None, messages)) or None,
        resent_packets=stream.resent_packets if stream else 0,
        unsent_packets=stream.unsent_packets if stream else 0,
        timestamp_jumps=stream.timestamp_jumps if stream else 0,
        estimated_bps=stream.estimated_bps if stream else None,
        added_latency=added_latency(stream) if stream else None,
        renditions=tuple(_rendition_status(each, now) for each in renditions),
    )


def _rendition_status(rendition: Rendition, now: float) -> RenditionStatus:
    track = rendition.track
    return RenditionStatus(
        made_of=rendition.source.track.codec.name,
        track=track_status(track, now) if track else None,
        viewers=len(track.outputs) if track else 0,
        message=rendition.message,
    )


def _conversion(rendition: Rendition) -> str:
    """What is done for viewers, and what is wrong with it: sentences for people."""
    before, after = (
        codec_name(rendition.source.track.codec.name),
        codec_name(rendition.target.codec),
    )
    what = f"{before} is transcoded to {after} for those who can't play it."
    if before == after:
        what = f"{before} is transcoded for those who can't play its form."
    return f"{what} {rendition.message}" if rendition.message else what


def _label(spec: SourceSpec) -> str:
    """What to call a source before everybody: where its file is, is the server's own affair."""
    return Path(spec.path).name if isinstance(spec, FileSpec) else spec.text
