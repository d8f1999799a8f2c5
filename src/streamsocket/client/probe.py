"""Watching a stream for some seconds to learn what arrives, or why nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from statistics import median
from time import monotonic, time
from typing import TYPE_CHECKING

from streamsocket.client.codec_form import codec_form
from streamsocket.client.findings import findings
from streamsocket.client.inspector import Inspector
from streamsocket.client.measure import TrackMeasure
from streamsocket.client.receiver import Received
from streamsocket.client.report import (
    Latency,
    Report,
    Sync,
    Times,
    TrackReport,
    nearest_rank,
    percentiles,
)
from streamsocket.client.session import Session, SessionTrack, TransportWish, open_url
from streamsocket.errors import ConnectError
from streamsocket.rtsp.url import without_credentials

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

MAX_SETTLING_S = 1.6  # our own server takes up to 1.5 s to bring a new viewer to live
MAX_SYNC_S = 0.4
"""A flash and a beep further apart than this do not belong together: one of them was lost."""


async def probe(
    url: str,
    *,
    seconds: float = 5.0,
    transport: TransportWish = "auto",
    timeout_s: float = 10.0,
    decode: bool = True,
    ice_servers: Sequence[IceServer] = (),
) -> Report:
    """Watch a stream for so many seconds from its first packet on, and report.

    Raises nothing for a server that cannot be reached, refuses or vanishes: the report's `error`
    says so.
    """
    began = monotonic()
    try:
        async with open_url(
            url, transport=transport, timeout_s=timeout_s, ice_servers=ice_servers
        ) as session:
            observation = _Observation(session, began=began, decode=decode)
            report = await observation.run(seconds, transport)
    except ConnectError as error:
        return Report(url=without_credentials(url), error=str(error), transport=transport)
    return replace(report, findings=findings(report))


class _Observation:
    """One session, watched."""

    def __init__(self, session: Session, *, began: float, decode: bool) -> None:
        self._session = session
        self._decode = decode
        self._began = time() - (monotonic() - began)  # in seconds since the epoch, like arrivals

    async def run(self, seconds: float, transport: TransportWish) -> Report:
        settling_s = min(MAX_SETTLING_S, seconds / 2)
        watches = [
            _Watch(track, settling_s=settling_s, decode=self._decode)
            for track in self._session.tracks
        ]
        watched_from = monotonic()
        error, ended = None, False
        try:
            async with asyncio.timeout(seconds):
                async for received in self._session:
                    watches[received.track].add(received)
                ended = True
        except TimeoutError:
            pass
        except ConnectError as failure:
            error = str(failure)
        watched_s = monotonic() - watched_from
        for watch in watches:
            await asyncio.to_thread(watch.finish)
        if error is None and not any(watch.measure.units for watch in watches):
            error = f"{self._session.url} plays, but nothing arrived within {watched_s:.1f} s."
        return Report(
            url=self._session.url,
            error=error,
            ended=ended,
            seconds=watched_s,
            server=self._session.server,
            transport=transport,
            fallback=self._session.fallback,
            decoder=self._decode,
            sender_reports=sum(watch.track.receiver.sender_reports for watch in watches),
            times=self._times(watches),
            tracks=[
                *(watch.report() for watch in watches),
                *(
                    TrackReport(
                        kind=left.kind, codec=left.encoding, played=False, reason=left.reason
                    )
                    for left in self._session.left_alone
                ),
            ],
            sync=_sync(watches),
        )

    def _times(self, watches: list[_Watch]) -> Times:
        pictures = [watch for watch in watches if watch.track.kind == "video"]
        keyframe = pictures[0].measure.first_keyframe if pictures else None
        picture = pictures[0].first_frame if pictures else None
        reached = self._session.milestones
        return Times(
            connected_s=reached.connected_s,
            described_s=reached.described_s,
            playing_s=reached.playing_s,
            first_packet_s=reached.first_packet_s,
            first_keyframe_s=None if keyframe is None else keyframe - self._began,
            first_picture_s=None if picture is None else picture - self._began,
        )


class _Watch:
    """One track, watched."""

    def __init__(self, track: SessionTrack, *, settling_s: float, decode: bool) -> None:
        self.track = track
        self.measure = TrackMeasure(track.codec.clock_rate)
        self.inspector = Inspector(track.codec) if decode else None
        self._settling_s = settling_s
        self._settles: float | None = None
        self._settled_at: tuple[int, float] | None = None  # bytes by then, and when
        self._last_arrival = 0.0

    @property
    def first_frame(self) -> float | None:
        """When the first frame was decoded."""
        return self.inspector.first_frame if self.inspector else None

    def add(self, received: Received) -> None:
        self._last_arrival = received.arrival
        if self._settles is None:
            self._settles = received.arrival + self._settling_s
        settled = received.arrival >= self._settles
        if settled and self._settled_at is None:
            self._settled_at = self.track.receiver.bytes, received.arrival
        self.measure.add(received, settled=settled)
        if self.inspector:
            self.inspector.put(received, settled=settled)

    def finish(self) -> None:
        if self.inspector:
            self.inspector.finish()

    def report(self) -> TrackReport:
        receiver, measure = self.track.receiver, self.measure
        statistics, inspector = receiver.statistics, self.inspector
        return TrackReport(
            kind=self.track.kind,
            codec=self.track.codec.name,
            played=True,
            transport=self.track.transport,
            declared_frame_rate=float(self.track.frame_rate) if self.track.frame_rate else None,
            frame_rate=measure.frame_rate,
            media_frame_rate=measure.media_frame_rate,
            bitrate_bps=self._bitrate_bps(),
            packets=statistics.received,
            lost=receiver.lost,
            repaired=receiver.repaired,
            reordered=statistics.reordered,
            duplicates=statistics.duplicates,
            malformed=receiver.malformed,
            jitter_ms=statistics.jitter_s * 1000 if statistics.received > 1 else None,
            units=measure.units,
            damaged_units=measure.damaged,
            intact_units=measure.intact,
            b_frames=measure.has_b_frames,
            keyframes=measure.keyframes,
            keyframe_interval_s=measure.keyframe_interval_s if self.track.kind == "video" else None,
            decoded=inspector.decoded if inspector else 0,
            damaged_frames=inspector.damaged if inspector else 0,
            decode_errors=inspector.errors if inspector else 0,
            not_decoded=inspector.not_decoded if inspector else 0,
            latency=self._latency(),
            **codec_form(self.track.codec),
        )

    def capture_seconds(self, timestamp: float) -> float:
        """When something was captured, by the sender reports, seconds since the epoch."""
        return self.track.receiver.clock.capture_time(0) + timestamp / self.track.codec.clock_rate

    @property
    def clock_is_known(self) -> bool:
        """Whether sender reports tell the time of capture."""
        return self.track.receiver.clock.source == "sender_report"

    def _latency(self) -> Latency | None:
        if not self.clock_is_known:
            return None
        arrival = percentiles(self.measure.arrivals.ages_ms(self.capture_seconds))
        if arrival is None:
            return None
        decoded = self.inspector.ready.ages_ms(self.capture_seconds) if self.inspector else []
        return Latency(clock="sender_report", arrival_ms=arrival, decoded_ms=percentiles(decoded))

    def _bitrate_bps(self) -> int | None:
        if self._settled_at is None:
            return None
        already, since = self._settled_at
        seconds = self._last_arrival - since
        return round(8 * (self.track.receiver.bytes - already) / seconds) if seconds > 0 else None


def _sync(watches: list[_Watch]) -> Sync | None:
    """Pair each flash with the beep nearest to it."""
    seen: dict[str, list[float]] = {"video": [], "audio": []}
    for watch in watches:
        if watch.inspector and watch.clock_is_known:
            marks = (
                watch.inspector.flashes if watch.track.kind == "video" else watch.inspector.beeps
            )
            seen[watch.track.kind] = [watch.capture_seconds(mark) for mark in marks]
    if not seen["audio"]:
        return None
    nearest = (min((beep - flash for beep in seen["audio"]), key=abs) for flash in seen["video"])
    offsets_ms = [offset * 1000 for offset in nearest if abs(offset) <= MAX_SYNC_S]
    # One alone may be a white picture and a bang in any film.
    if len(offsets_ms) < 2:
        return None
    return Sync(
        p50_ms=median(offsets_ms),
        p95_ms=nearest_rank(sorted(map(abs, offsets_ms)), 95),
        n=len(offsets_ms),
    )
