"""`streamsocket publish`: a movie, a test pattern or a camera, live on another server."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streamsocket import wording
from streamsocket.cli.ice_option import IceServerOption, read_ice_servers

if TYPE_CHECKING:
    from streamsocket.forward.publishing import Publishing, PublishingStatus
    from streamsocket.rtsp.push import PushTransport
    from streamsocket.sources.spec import SourceSpec
    from streamsocket.webrtc.ice_server import IceServer

_LINES_EVERY_S = 10.0
_REFRESH_S = 0.5


def publish(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            help="What to publish: movie.mp4, test, test:1920x1080@60, camera, mic, screen, "
            "camera+mic, screen:1+mic:NAME (`streamsocket devices`), rtsp://camera/…",
        ),
    ],
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", help="Where: rtsp://HOST/NAME, rtmp://HOST/NAME, http://HOST/NAME/whip."
        ),
    ],
    size: Annotated[str | None, typer.Option(help="Size of the picture, such as 1280x720.")] = None,
    fps: Annotated[str | None, typer.Option(help="Pictures a second.")] = None,
    video_bitrate: Annotated[
        str | None, typer.Option(help="Bits a second for the picture, such as 2.5M.")
    ] = None,
    audio_bitrate: Annotated[
        str | None, typer.Option(help="Bits a second for the sound, such as 128k.")
    ] = None,
    codec: Annotated[
        str | None,
        typer.Option(
            help="h264, h265, vp8, vp9, av1, mjpeg; aac, opus, pcmu, pcma, l16; or h265+opus."
        ),
    ] = None,
    transport: Annotated[
        Literal["auto", "mixed", "udp", "tcp"],
        typer.Option(help="RTSP: auto sends the picture over UDP, the sound over TCP."),
    ] = "auto",
    ice_server: IceServerOption = None,
    loop: Annotated[
        bool, typer.Option("--loop/--once", help="Begin a file again at its end, or end.")
    ] = True,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show what is sent in a window of this machine.")
    ] = False,
) -> None:
    """Publish a source on a server, this one's or another's, until Ctrl-C."""
    from streamsocket.sources.encoding import parse_encoding
    from streamsocket.sources.spec import parse_source

    encoding = parse_encoding(
        size=size,
        fps=fps,
        video_bitrate=video_bitrate,
        audio_bitrate=audio_bitrate,
        codec=codec,
    )
    _, spec = parse_source(source, loop=loop, encoding=encoding)
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        ice_servers = read_ice_servers(ice_server)
        runner.run(keep_publishing(spec, url, transport, ice_servers, preview=preview))


async def keep_publishing(
    spec: SourceSpec,
    url: str,
    transport: PushTransport,
    ice_servers: Sequence[IceServer] = (),
    *,
    preview: bool = False,
) -> None:
    """Publish, and show how it goes, until Ctrl-C or the end of the source."""
    from streamsocket.forward.publishing import Publishing
    from streamsocket.preview.window import PreviewWindow

    publishing = Publishing(spec, url, transport=transport, ice_servers=ice_servers)
    display = _Display(publishing, spec.text)
    window = PreviewWindow(publishing.preview_url(), spec.text) if preview else None
    running = asyncio.ensure_future(publishing.run())
    loop = asyncio.get_running_loop()
    before = {
        number: signal.signal(number, lambda *_: loop.call_soon_threadsafe(running.cancel))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        while not running.done():
            await asyncio.wait((running,), timeout=_REFRESH_S)
            display.update(publishing.status())
        display.finish()
        if not running.cancelled():
            running.result()
    finally:
        if window:
            window.close()
        for number, handler in before.items():
            signal.signal(number, handler)


class _Display:
    """What has changed, and how it goes: a living line on a terminal, else one now and then."""

    def __init__(self, publishing: Publishing, source: str) -> None:
        self._route = f"{source} → {publishing.target}"
        self._terminal = sys.stdout.isatty()
        self._told = ""
        self._next = 0.0
        self._began = time.monotonic()

    def update(self, status: PublishingStatus) -> None:
        """Show it, if it is time to."""
        news = self._news(status)
        if news != self._told:
            self._told = news
            self._line(f"{self._route}: {news}")
            self._next = time.monotonic() + _LINES_EVERY_S
        elif status.server.state == "live" and self._terminal:
            sys.stdout.write(f"\r\033[K{self._figures(status)}")
            sys.stdout.flush()
        elif status.server.state == "live" and time.monotonic() >= self._next:
            self._next += _LINES_EVERY_S
            self._line(self._figures(status))

    def finish(self) -> None:
        """Leave the living line."""
        if self._terminal:
            sys.stdout.write("\r\033[K")
        self._line("Stopped.")

    def _news(self, status: PublishingStatus) -> str:
        source, server = status.source, status.server
        if server.state == "live":
            tracks = ", ".join(
                f"{wording.codec_name(track.codec)} {track.description}".rstrip()
                for track in status.tracks
            )
            notes = [note for note in (source.message, server.message) if note]
            return ". ".join([f"live, {tracks}", *([" ".join(notes)] if notes else [])])
        return server.message or source.message or server.state

    def _figures(self, status: PublishingStatus) -> str:
        rate = next((track.frame_rate for track in status.tracks if track.kind == "video"), None)
        facts = [
            wording.clock(time.monotonic() - self._began),
            "" if rate is None else f"{rate:.2f} fps",
            wording.bitrate(sum(track.bitrate_bps for track in status.tracks)),
        ]
        return ", ".join(fact for fact in facts if fact)

    def _line(self, text: str) -> None:
        clear = "\r\033[K" if self._terminal else ""
        sys.stdout.write(f"{clear}{text}\n")
        sys.stdout.flush()
