"""`streamsocket probe URL`: what arrives from an RTSP server, or why nothing does."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from rich.console import Console, Group
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from streamsocket import wording
from streamsocket.cli.ice_option import IceServerOption, read_ice_servers
from streamsocket.client.report import TRANSPORTS, Percentiles, Report, TrackReport
from streamsocket.errors import ConnectError


class Transport(StrEnum):
    """How the packets should come."""

    auto = "auto"
    mixed = "mixed"
    udp = "udp"
    tcp = "tcp"
    multicast = "multicast"


def probe(
    url: Annotated[
        str,
        typer.Argument(
            help="rtsp://HOST:PORT/NAME, http://HOST:PORT/NAME/whep", show_default=False
        ),
    ],
    seconds: Annotated[
        float, typer.Option(min=0.1, max=86_400, help="For how long to watch.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    transport: Annotated[
        Transport,
        typer.Option(help="auto: picture over UDP, sound over TCP, all over TCP if that fails."),
    ] = Transport.auto,
    ice_server: IceServerOption = None,
    timeout: Annotated[
        float, typer.Option(min=0.1, max=600, help="Seconds until a silent server is given up.")
    ] = 10.0,
    decode: Annotated[
        bool, typer.Option("--decode/--no-decode", help="Decode what arrives, too.")
    ] = True,
) -> None:
    """Watch a stream for some seconds and tell what arrives, or why nothing does.

    Measures any server for RTSP or WebRTC (WHEP). --json prints the fields of
    `streamsocket.client.report.Report`.
    """
    # Here, because they bring numpy along, which `streamsocket --help` has no use for.
    from streamsocket.client.probe import probe as measure

    # A decoding thread must not keep the loop, which takes the times, waiting for the usual 5 ms.
    sys.setswitchinterval(0.0005)
    report = asyncio.run(
        measure(
            url,
            seconds=seconds,
            transport=transport.value,
            timeout_s=timeout,
            decode=decode,
            ice_servers=read_ice_servers(ice_server),
        )
    )
    if as_json:
        print(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    elif report.tracks:
        Console().print(render(report))
    if report.error:
        raise ConnectError(report.error)


def render(report: Report) -> Group:
    """The report as it is shown on a terminal."""
    return Group(
        Text(),
        _headline(report),
        Padding(_tracks(report), (1, 0, 1, 1), expand=False),
        Padding(_steps(report), (0, 0, 1, 2), expand=False),
        *(Padding(_finding(sentence), (0, 0, 0, 2), expand=False) for sentence in report.findings),
        Text(),
    )


def _headline(report: Report) -> Text:
    server = f" · {report.server}" if report.server else ""
    return Text.assemble("  ", (report.url, "bold"), (f" · {report.seconds:.1f} s{server}", "dim"))


def _tracks(report: Report) -> Table:
    """One column a track, one row a figure; rows that no track has a figure for are left out."""
    tracks = [track for track in report.tracks if track.played]
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 1))
    table.add_column("")
    for track in tracks:
        table.add_column({"video": "Picture", "audio": "Sound"}[track.kind], style="none")
    rows = [(name, [figure(track) for track in tracks]) for name, figure in _ROWS.items()]
    for name, cells in rows:
        if any(cells):
            table.add_row(Text(name, "dim"), *(cell or "–" for cell in cells))
    return table


def _codec(track: TrackReport) -> str:
    name = wording.codec_name(track.codec)
    return f"{name} {track.profile}" if track.profile else name


def _form(track: TrackReport) -> str:
    if track.size:
        return f"{track.size[0]}×{track.size[1]}"
    if track.sample_rate:
        return f"{track.sample_rate / 1000:g} kHz, {wording.channels(track.channels or 1)}"
    return ""


def _frame_rate(track: TrackReport) -> str:
    if track.frame_rate is None:
        return ""
    declared = f" (declared: {track.declared_frame_rate:g})" if track.declared_frame_rate else ""
    return f"{track.frame_rate:.2f} a second{declared}"


def _bitrate(track: TrackReport) -> str:
    return "" if track.bitrate_bps is None else wording.bitrate(track.bitrate_bps)


def _packets(track: TrackReport) -> str:
    troubles = [
        f"{count:,} {name}"
        for name, count in (
            ("repaired", track.repaired),
            ("out of order", track.reordered),
            ("twice", track.duplicates),
            ("malformed", track.malformed),
        )
        if count
    ]
    lost = f"{track.lost:,} lost" if track.lost else "none lost"
    return ", ".join([f"{track.packets:,}", lost, *troubles])


def _keyframes(track: TrackReport) -> str:
    if track.kind == "audio":
        return ""
    if track.keyframe_interval_s is None:
        return f"{track.keyframes:,}"
    return f"{track.keyframes:,}, every {track.keyframe_interval_s:.2f} s"


def _decoded(track: TrackReport) -> str:
    if not track.decoded:
        return ""
    damaged = f"{track.damaged_frames:,} damaged" if track.damaged_frames else "all whole"
    return f"{track.decoded:,}, {damaged}"


def _jitter(track: TrackReport) -> str:
    return "" if track.jitter_ms is None else f"{track.jitter_ms:.1f} ms"


def _age_at_arrival(track: TrackReport) -> str:
    return _spread(track.latency.arrival_ms) if track.latency else ""


def _age_when_decoded(track: TrackReport) -> str:
    return _spread(track.latency.decoded_ms) if track.latency else ""


def _spread(values: Percentiles | None) -> str:
    if values is None:
        return ""
    return f"{values.p50:.1f} / {values.p95:.1f} / {values.p99:.1f} ms"


_ROWS: dict[str, Callable[[TrackReport], str]] = {
    "codec": _codec,
    "form": _form,
    "came over": lambda track: TRANSPORTS[track.transport] if track.transport else "",
    "frame rate": _frame_rate,
    "bitrate": _bitrate,
    "packets": _packets,
    "jitter": _jitter,
    "keyframes": _keyframes,
    "decoded": _decoded,
    "age at arrival": _age_at_arrival,
    "age when decoded": _age_when_decoded,
}


def _steps(report: Report) -> Text:
    """What took how long, and how far sound and picture are apart."""
    times = report.times
    lines = [
        _milestones(
            "",
            {
                "connected": times.connected_s,
                "described": times.described_s,
                "playing": times.playing_s,
            },
        ),
        _milestones(
            "first ",
            {
                "packet": times.first_packet_s,
                "keyframe": times.first_keyframe_s,
                "picture": times.first_picture_s,
            },
        ),
    ]
    if report.sync:
        sync = report.sync
        lines.append(
            f"sound − picture {round(sync.p50_ms, 1) + 0.0:+.1f} ms; p95 {sync.p95_ms:.1f} ms "
            f"from {sync.n} flashes and beeps"
        )
    if any(track.latency for track in report.tracks):
        lines.append("ages: p50 / p95 / p99 since capture, by the server's sender reports")
    return Text("\n".join(filter(None, lines)), "dim")


def _milestones(prefix: str, steps: dict[str, float | None]) -> str:
    return ", ".join(
        f"{prefix}{step} after {seconds * 1000:.0f} ms"
        for step, seconds in steps.items()
        if seconds is not None
    )


def _finding(sentence: str) -> Text:
    return Text(sentence, "green" if sentence.startswith("All is well") else "yellow")
