"""What the figures of a probe mean, in words: one sentence a finding, the worst first."""

from __future__ import annotations

from collections.abc import Iterator

from streamsocket.client.report import NAMES, Report, TrackReport

LATE_S = 1.0
UNEVEN_MS = 50.0
LONG_GOP_S = 5.0
PACE_TOLERANCE = 0.02
REORDERED_SHARE = 0.01
REPAIRED_SHARE = 0.01
# ITU-R BT.1359: what viewers begin to notice, the sound early or late.
SOUND_EARLY_MS, SOUND_LATE_MS = -45.0, 125.0


def findings(report: Report) -> list[str]:
    """Everything worth knowing about what was measured. Good news alone is one sentence."""
    played = [track for track in report.tracks if track.played]
    found = [
        *_end(report),
        *_missing(report, played),
        *_transport(report, played),
        *(sentence for track in played for sentence in _damage(track)),
        *(sentence for track in played for sentence in _pace(track, report.seconds)),
        *_timing(report, played),
        *_left_alone(report),
    ]
    return found or [_all_well(played)]


def _end(report: Report) -> Iterator[str]:
    if report.ended:
        yield f"The stream ended after {report.seconds:.1f} s."
    elif report.error and report.tracks and any(track.units for track in report.tracks):
        yield f"The server vanished after {report.seconds:.1f} s."


def _missing(report: Report, played: list[TrackReport]) -> Iterator[str]:
    for track in played:
        name = NAMES[track.kind]
        if track.packets == 0:
            advice = {
                "udp": " over UDP: is a firewall in the way? Try --transport tcp.",
                "multicast": " by multicast: does the network carry it? Try --transport tcp.",
            }.get(track.transport or "", ".")
            yield f"No packet of the {name} arrived within {report.seconds:.1f} s{advice}"
        elif track.units == 0:
            yield (
                f"Packets of the {name} arrive, but no whole access unit: "
                f"is it really {track.codec.upper()}?"
            )
        elif track.keyframes == 0:
            yield (
                f"No keyframe arrived within {report.seconds:.1f} s, so no picture can be shown: "
                "let the encoder send one more often, or watch for longer with --seconds."
            )
        elif report.decoder and track.decoded == 0:
            yield f"The {name} arrives, but none of it can be decoded."


def _transport(report: Report, played: list[TrackReport]) -> Iterator[str]:
    if report.fallback:
        yield report.fallback
    for track in played:
        if track.lost:
            share = track.lost / (track.packets + track.lost)
            advice = {
                "tcp": "; it came over TCP, so the server itself left them out",
                "webrtc": "",
            }.get(track.transport or "", "; with --transport tcp nothing would be")
            yield (
                f"{_percent(share)} of the {NAMES[track.kind]}'s packets are lost "
                f"({track.lost:,} of {track.packets + track.lost:,}){advice}."
            )
        if track.repaired > track.packets * REPAIRED_SHARE:
            yield (
                f"{_percent(track.repaired / track.packets)} of the {NAMES[track.kind]}'s packets "
                "were lost on the way, and came when they were asked for again."
            )
        if track.reordered > track.packets * REORDERED_SHARE:
            yield (
                f"{_percent(track.reordered / track.packets)} of the {NAMES[track.kind]}'s packets "
                "come out of order; they were put right."
            )


def _damage(track: TrackReport) -> Iterator[str]:
    name = NAMES[track.kind]
    if track.malformed:
        yield (
            f"{track.malformed:,} packets of the {name} break the rules of RTP "
            "or of their payload format and were left out."
        )
    if track.decode_errors:
        yield f"The decoder refused {track.decode_errors:,} of {track.units:,} frames of {name}."
    if track.damaged_frames:
        yield f"{track.damaged_frames:,} of {track.decoded:,} decoded frames of {name} are damaged."
    if track.not_decoded:
        yield (
            f"{track.not_decoded:,} frames of {name} were not decoded: this machine is too slow "
            "for it, which says nothing about the server."
        )


def _pace(track: TrackReport, seconds: float) -> Iterator[str]:
    name = NAMES[track.kind]
    rate, media_rate = track.frame_rate, track.media_frame_rate
    # Frames that come in bursts come at a pace that is only known the better the longer it lasts.
    bursts = 2 * (track.jitter_ms or 0.0) / 1000 / seconds if seconds else 0.0
    if rate and media_rate and _differ(rate, media_rate, PACE_TOLERANCE + bursts):
        yield (
            f"The {name} comes at the wrong pace: {rate:.2f} frames a second arrive, "
            f"their timestamps are those of {media_rate:.2f}."
        )
    if rate and track.declared_frame_rate and _differ(rate, track.declared_frame_rate):
        yield (
            f"{rate:.2f} pictures a second arrive where {track.declared_frame_rate:.2f} "
            "are declared."
        )
    if track.keyframe_interval_s and track.keyframe_interval_s > LONG_GOP_S:
        yield (
            f"A keyframe comes only every {track.keyframe_interval_s:.1f} s: "
            "a new viewer may wait as long for the first picture."
        )
    # With B-frames the timestamps themselves jump to and fro, which RFC 3550 takes for jitter.
    if track.jitter_ms is not None and track.jitter_ms > UNEVEN_MS and not track.b_frames:
        yield f"Packets of the {name} come unevenly: their jitter is {track.jitter_ms:.0f} ms."


def _timing(report: Report, played: list[TrackReport]) -> Iterator[str]:
    arrived = [track for track in played if track.units]
    for track in arrived:
        if track.latency is None:
            continue
        median = track.latency.arrival_ms.p50
        if median > LATE_S * 1000:
            yield (
                f"The {NAMES[track.kind]} is {median / 1000:.1f} s old when it arrives: "
                "the server holds it back, or its clock is not this machine's."
            )
        elif median < -1:
            yield (
                f"The {NAMES[track.kind]} seems to arrive {-median:.0f} ms before it is captured: "
                "the clocks of server and viewer differ, so latency cannot be told."
            )
    if arrived and all(track.latency is None for track in arrived):
        yield (
            "The server's sender reports tell no believable time of capture, "
            "so latency cannot be told."
            if report.sender_reports
            else "No sender report arrived, so latency cannot be told: watch longer with --seconds."
        )
    if report.sync and not SOUND_EARLY_MS <= report.sync.p50_ms <= SOUND_LATE_MS:
        side = "late" if report.sync.p50_ms > 0 else "early"
        yield f"The sound is {abs(report.sync.p50_ms):.0f} ms {side}."


def _left_alone(report: Report) -> Iterator[str]:
    for track in report.tracks:
        if not track.played and track.reason:
            yield track.reason


def _all_well(played: list[TrackReport]) -> str:
    names = " and ".join(NAMES[track.kind] for track in played)
    return f"All is well: {names} arrive whole and on time."


def _differ(rate: float, other: float, tolerance: float = PACE_TOLERANCE) -> bool:
    return abs(rate - other) > tolerance * other


def _percent(share: float) -> str:
    return f"{share:.1%}" if share >= 0.001 else "Less than 0.1%"
