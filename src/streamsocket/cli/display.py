"""What `serve` shows: where to watch, and then how it goes.

On a terminal that is a live table (`cli/table.py`); anywhere else, plain lines for a log.
"""

from __future__ import annotations

import io
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol, TextIO

from streamsocket import wording
from streamsocket.cli.addresses import is_loopback, reachable_hosts
from streamsocket.settings import Settings
from streamsocket.status import Ports, ServerStatus, StreamStatus
from streamsocket.version import __version__

LINES_EVERY_S = 10.0
_NOTHING_TO_WATCH = (
    "There is nothing to watch yet: publish a stream to it, or name a source, such as "
    "`streamsocket serve movie.mp4`."
)


class Display(Protocol):
    """Somewhere to show the server's status."""

    def update(self, status: ServerStatus) -> None:
        """Show it, if it is time to. To be called often."""


def open_display(
    settings: Settings, ports: Ports, notices: Sequence[str] = (), out: TextIO | None = None
) -> AbstractContextManager[Display]:
    """Announce the server on `out` (standard output) and return what shows how it goes on.

    `notices` are what its user should know from the start, sentences.
    """
    out = out or sys.stdout
    hosts = reachable_hosts(settings.host)
    names = list(settings.streams)
    # Without users, nobody may publish from elsewhere, nor from here by another address.
    publishers_host = hosts[0] if settings.users or is_loopback(settings.host) else "localhost"
    publish_at = publish_urls(publishers_host, ports)
    if not out.isatty():
        _print(out, [*plain_announcement(hosts, ports, names, publish_at), *notices])
        return PlainDisplay(out)

    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    from streamsocket.cli.table import TableDisplay

    _print(out, announcement(hosts, ports.http, publish_at))
    if not is_loopback(settings.host):
        # White on black whatever the terminal's own colours are: not every phone reads negatives.
        code = qr_code(wording.http_url(hosts[0], ports.http))
        Console(file=out).print(Padding(Text(code, "bright_white on black"), (0, 2), expand=False))
    if not names:
        _print(out, [f"  {_NOTHING_TO_WATCH}", ""])
    if notices:
        _print(out, [*(f"  {notice}" for notice in notices), ""])
    return TableDisplay(hosts[0], ports, out)


def plain_announcement(
    hosts: list[str], ports: Ports, names: list[str], publish_at: list[str]
) -> list[str]:
    """Each address on a line of its own, for logs and scripts."""
    return [
        f"StreamSocket {__version__}",
        *(f"page: {wording.http_url(host, ports.http)}" for host in hosts),
        *(f"publish: {url}" for url in publish_at),
        *(f"{name}: {url}" for name in names for host in hosts for url in urls(host, ports, name)),
        *([] if names else [_NOTHING_TO_WATCH]),
    ]


def announcement(hosts: list[str], http_port: int, publish_at: list[str]) -> list[str]:
    """The head of what a terminal shows; the streams' addresses are in the table below it."""
    lines = [f"StreamSocket {__version__}", "", f"  {wording.http_url(hosts[0], http_port)}"]
    if len(hosts) > 1:
        lines += ["", "  This machine's other addresses:"]
        lines += [f"  {wording.http_url(host, http_port)}" for host in hosts[1:]]
    return [*lines, "", f"  Publish to {' or '.join(publish_at)}", ""]


def urls(host: str, ports: Ports, name: str) -> list[str]:
    """Where a stream can be watched."""
    watch_at = [wording.rtsp_url(host, ports.rtsp, name)]
    if ports.webrtc:
        watch_at.append(wording.whep_url(host, ports.http, name))
    return watch_at


def publish_urls(host: str, ports: Ports) -> list[str]:
    """Where others can publish streams."""
    urls = [wording.rtsp_url(host, ports.rtsp, "NAME")]
    if ports.rtmp:
        urls.append(wording.rtmp_url(host, ports.rtmp, "NAME"))
    if ports.webrtc:
        urls.append(wording.whip_url(host, ports.http, "NAME"))
    return urls


def qr_code(text: str) -> str:
    """The text as a QR code of block characters, two modules to a character's height."""
    import segno

    code = io.StringIO()
    segno.make_qr(text, error="l").terminal(code, border=2, compact=True)
    return code.getvalue()


class PlainDisplay(AbstractContextManager["PlainDisplay"]):
    """A line a stream every ten seconds, and at once when its state or its message changes."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._out = out
        self._clock = clock
        self._next = clock() + LINES_EVERY_S
        self._told: dict[str, tuple[str, str | None]] = {}

    def __exit__(self, *_: object) -> None:
        pass

    def update(self, status: ServerStatus) -> None:
        """Print what has changed and, every ten seconds, how every stream is doing."""
        regular = self._clock() >= self._next
        if regular:
            self._next += LINES_EVERY_S
        for stream in status.streams:
            news = stream.state, stream.message
            if self._told.get(stream.name) != news:
                self._told[stream.name] = news
                _print(self._out, [news_line(stream)])
            elif regular and stream.state == "live":
                _print(self._out, [figures_line(stream)])
        for name in self._told.keys() - {stream.name for stream in status.streams}:
            del self._told[name]
            _print(self._out, [f"{name}: over"])


def news_line(stream: StreamStatus) -> str:
    """`movie: live, H.264 1280x720, AAC 48 kHz stereo. VP9 is transcoded to H.264.`"""
    line = f"{stream.name}: {_listed(stream.state, wording.tracks(stream))}"
    return f"{line}. {stream.message}" if stream.message else line


def figures_line(stream: StreamStatus) -> str:
    """`movie: 0:12 / 1:30, 25.00 fps, 2.43 Mbit/s, 4 viewers`."""
    rate = wording.frame_rate(stream)
    figures = _listed(
        wording.position(stream),
        "" if rate is None else f"{rate:.2f} fps",
        wording.bitrate(stream.bitrate_bps),
        wording.counted(stream.viewers, "viewer"),
    )
    return f"{stream.name}: {figures}"


def _listed(*facts: str) -> str:
    return ", ".join(fact for fact in facts if fact)


def _print(out: TextIO, lines: list[str]) -> None:
    out.write("".join(f"{line}\n" for line in lines))
    out.flush()  # a log is read while it is written
