"""The server's status as Prometheus metrics."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from streamsocket.status import ServerStatus


def create_registry(status: Callable[[], ServerStatus]) -> CollectorRegistry:
    """Return a registry of its own that reads the status whenever it is scraped."""
    registry = CollectorRegistry()
    registry.register(_StatusCollector(status))
    ProcessCollector(registry=registry)
    return registry


class _StatusCollector(Collector):
    def __init__(self, status: Callable[[], ServerStatus]) -> None:
        self._status = status

    def describe(self) -> list[Metric]:
        # Without this, registering would collect, before there is a status.
        return []

    def collect(self) -> Iterator[Metric]:
        status = self._status()
        yield InfoMetricFamily(
            "streamsocket", "Which version runs.", value={"version": status.version}
        )
        yield GaugeMetricFamily(
            "streamsocket_start_time_seconds", "When it started.", value=status.started
        )
        yield GaugeMetricFamily(
            "streamsocket_connections", "RTSP and RTMP connections.", value=status.connections
        )
        yield GaugeMetricFamily("streamsocket_sessions", "RTSP sessions.", value=status.sessions)
        yield GaugeMetricFamily(
            "streamsocket_loop_lag_seconds",
            "By how much the media thread was late lately, at worst.",
            value=status.loop_lag_s,
        )
        refused = CounterMetricFamily(
            "streamsocket_refused", "What was refused, by reason.", labels=["reason"]
        )
        for reason, count in status.refused.items():
            refused.add_metric([reason], count)
        yield refused
        yield from _stream_metrics(status)


def _stream_metrics(status: ServerStatus) -> Iterator[Metric]:
    up = GaugeMetricFamily(
        "streamsocket_stream_up", "Whether the stream is live.", labels=["stream"]
    )
    viewers = GaugeMetricFamily("streamsocket_stream_viewers", "Who watches it.", labels=["stream"])
    skipped = CounterMetricFamily(
        "streamsocket_stream_skipped_packets",
        "Packets that slow viewers were too late for, all viewers together.",
        labels=["stream"],
    )
    resent = CounterMetricFamily(
        "streamsocket_stream_resent_packets",
        "Packets that viewers missed and were sent once more, all viewers together.",
        labels=["stream"],
    )
    unsent = CounterMetricFamily(
        "streamsocket_stream_unsent_packets",
        "Packets that the system would not send over UDP, all viewers together.",
        labels=["stream"],
    )
    jumps = CounterMetricFamily(
        "streamsocket_stream_timestamp_jumps",
        "How often its publishers' timestamps jumped, which viewers are spared.",
        labels=["stream"],
    )
    estimated = GaugeMetricFamily(
        "streamsocket_stream_estimated_bits_per_second",
        "What gets through to the viewer who gets least, as its browser believes (REMB).",
        labels=["stream"],
    )
    added = HistogramMetricFamily(
        "streamsocket_added_latency_seconds",
        "From a batch's arrival to its last copy's departure.",
        labels=["stream"],
    )
    bitrate = GaugeMetricFamily(
        "streamsocket_track_bits_per_second", "The bitrate lately.", labels=["stream", "kind"]
    )
    packets = CounterMetricFamily(
        "streamsocket_track_packets", "RTP packets taken in.", labels=["stream", "kind"]
    )
    size = CounterMetricFamily(
        "streamsocket_track_bytes", "Bytes of RTP packets taken in.", labels=["stream", "kind"]
    )
    for stream in status.streams:
        up.add_metric([stream.name], stream.state == "live")
        viewers.add_metric([stream.name], stream.viewers)
        skipped.add_metric([stream.name], stream.skipped_packets)
        resent.add_metric([stream.name], stream.resent_packets)
        unsent.add_metric([stream.name], stream.unsent_packets)
        jumps.add_metric([stream.name], stream.timestamp_jumps)
        if stream.estimated_bps is not None:
            estimated.add_metric([stream.name], stream.estimated_bps)
        if latency := stream.added_latency:
            buckets = [(f"{bound:g}", float(count)) for bound, count in latency.buckets]
            buckets.append(("+Inf", float(latency.count)))
            added.add_metric([stream.name], buckets, sum_value=latency.sum_s)
        for track in stream.tracks:
            labels = [stream.name, track.kind]
            bitrate.add_metric(labels, track.bitrate_bps)
            packets.add_metric(labels, track.packets)
            size.add_metric(labels, track.bytes)
    yield from (
        up,
        viewers,
        skipped,
        resent,
        unsent,
        jumps,
        estimated,
        added,
        bitrate,
        packets,
        size,
    )
