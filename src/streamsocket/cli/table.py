"""The live table of `serve` on a terminal."""

from __future__ import annotations

import textwrap
import time
from contextlib import AbstractContextManager
from typing import TextIO

from rich.console import Console
from rich.live import Live
from rich.text import Text

from streamsocket import wording
from streamsocket.status import Ports, ServerStatus, StreamStatus

_REFRESH_S = 0.5
_MIN_NAME_WIDTH, _MAX_NAME_WIDTH = 16, 36
_FIGURES_WIDTH = 64
"""All that stands beside the name, with a position of hours: together they fill 80 columns."""
_STATE_STYLES = {
    "starting": "yellow",
    "waiting": "yellow",
    "live": "green",
    "ended": "dim",
    "failed": "bold red",
}
_FOOTER = "  Ctrl-C ends"


class TableDisplay(AbstractContextManager["TableDisplay"]):
    """Redraws the table in place, twice a second; the last one stays when it is closed."""

    def __init__(self, host: str, ports: Ports, out: TextIO) -> None:
        self._host = host
        self._ports = ports
        self._console = Console(file=out, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, vertical_overflow="crop")
        self._next = 0.0

    def __enter__(self) -> TableDisplay:
        self._live.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.__exit__(None, None, None)

    def update(self, status: ServerStatus) -> None:
        """Draw the table again, unless it was drawn just now."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + _REFRESH_S
        width, height = self._console.size
        lines = table_lines(status, self._host, self._ports, width=width, height=height)
        self._live.update(Text("\n").join(lines), refresh=True)


def table_lines(
    status: ServerStatus, host: str, ports: Ports, *, width: int, height: int
) -> list[Text]:
    """Return the table, never wider or higher than the terminal.

    If there are too many streams to tell each one's address and codecs, a line each must do; if
    there are too many even for that, the last line says how many more there are.
    """
    name_width = min(max(width - _FIGURES_WIDTH, _MIN_NAME_WIDTH), _MAX_NAME_WIDTH)
    blocks = [_block(stream, host, ports, width, name_width) for stream in status.streams]
    room = height - 4  # heading, the blank line and the footer, and the cursor's own line
    lines = [line for block in blocks for line in (*block, Text())]
    if len(lines) > room:
        lines = [block[0] for block in blocks]
        if len(lines) >= room:
            hidden = len(lines) - (room - 2)
            lines = [*lines[: max(room - 2, 0)], Text(f"  … and {hidden} more", "dim")]
        lines.append(Text())
    heading = Text(
        _row(name_width, "STREAM", "STATE", "VIEWERS", "BITRATE", "FPS", "POSITION"), "dim"
    )
    lines = [*([heading] if blocks else []), *lines, Text(_FOOTER, "dim")]
    for line in lines:
        line.truncate(width, overflow="ellipsis")
    return lines


def _block(
    stream: StreamStatus, host: str, ports: Ports, width: int, name_width: int
) -> list[Text]:
    """The lines of one stream: its figures, then its address, what it is and its message."""
    details = [
        (wording.rtsp_url(host, ports.rtsp, stream.name), "cyan"),
        (wording.whep_url(host, ports.http, stream.name) if ports.webrtc else "", "cyan"),
        (wording.tracks(stream), "dim"),
        (stream.message or "", "red" if stream.state == "failed" else "yellow"),
    ]
    return [_figures(stream, name_width)] + [
        Text(f"    {line}", style)
        for text, style in details
        for line in textwrap.wrap(text, max(width - 4, 10), break_on_hyphens=False)
    ]


def _figures(stream: StreamStatus, name_width: int) -> Text:
    figures = []
    if stream.state == "live":
        rate = wording.frame_rate(stream)
        figures = [
            f"{stream.viewers:,}",
            wording.bitrate(stream.bitrate_bps),
            "–" if rate is None else f"{rate:.2f}",
            wording.position(stream),
        ]
    text = Text(_row(name_width, stream.name, stream.state, *figures))
    text.stylize("bold", 2, 2 + name_width)
    text.stylize(_STATE_STYLES[stream.state], 4 + name_width, 12 + name_width)
    return text


def _row(
    name_width: int,
    name: str,
    state: str,
    viewers: str = "",
    bitrate: str = "",
    rate: str = "",
    position: str = "",
) -> str:
    if len(name) > name_width:
        name = name[: name_width - 1] + "…"
    figures = f"{viewers:>7}  {bitrate:>11}  {rate:>6}  {position}"
    return f"  {name:{name_width}}  {state:8}  {figures}".rstrip()
