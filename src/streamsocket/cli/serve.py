"""`streamsocket serve`: a server in the foreground, until Ctrl-C or the end of its sources."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from streamsocket.errors import SettingsError

# What is large is imported once it is known that it is needed: `--help` answers at once.
if TYPE_CHECKING:
    from streamsocket.settings import Settings

_LOOK_AROUND_S = 0.1
"""How long Ctrl-C may go unnoticed."""


def serve(
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME=]SOURCE",
            help="What to serve: movie.mp4, lobby=movie.mp4, test, test:1920x1080@60, "
            "camera, mic, screen, camera+mic, screen:1+mic:NAME (`streamsocket devices`), "
            "door=rtsp://USER:PASSWORD@CAMERA/…, hall=https://HOST/NAME/whep, "
            "cam=udp://0.0.0.0:5000.",
        ),
    ] = None,
    host: Annotated[
        str | None,
        typer.Option(help="Address to listen on; 0.0.0.0 for everybody.  [127.0.0.1]"),
    ] = None,
    rtsp_port: Annotated[int | None, typer.Option(help="TCP port for RTSP.  [8554]")] = None,
    rtmp_port: Annotated[int | None, typer.Option(help="TCP port for RTMP.  [1935]")] = None,
    http_port: Annotated[
        int | None, typer.Option(help="TCP port for the page and the API.  [8080]")
    ] = None,
    webrtc_port: Annotated[int | None, typer.Option(help="UDP port for WebRTC.  [8189]")] = None,
    udp_port: Annotated[
        int | None, typer.Option(help="Even UDP port for RTP, RTCP above it.  [any free pair]")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(help="Settings file.  [streamsocket.toml, where there is one]"),
    ] = None,
    loop: Annotated[
        bool | None,
        typer.Option("--loop/--once", help="Begin files again at their end, or end.  [--loop]"),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Show each source in a window of this machine.")
    ] = False,
) -> None:
    """Serve what is named here and what others publish, live, to any RTSP player."""
    from streamsocket.settings import Value, load_settings

    given = {
        ("host",): Value(host, "--host"),
        ("rtsp", "port"): Value(rtsp_port, "--rtsp-port"),
        ("rtsp", "udp_port"): Value(udp_port, "--udp-port"),
        ("rtmp", "port"): Value(rtmp_port, "--rtmp-port"),
        ("http", "port"): Value(http_port, "--http-port"),
        ("webrtc", "port"): Value(webrtc_port, "--webrtc-port"),
    }
    options = {path: option for path, option in given.items() if option.value is not None}
    for name, (source, argument) in _named(sources or []).items():
        options["streams", name, "source"] = Value(source, argument)
    settings = load_settings(options, file=config, environ=os.environ)
    if loop is not None:
        streams = {
            name: stream.model_copy(update={"loop": loop})
            for name, stream in settings.streams.items()
        }
        settings = settings.model_copy(update={"streams": streams})
    run(settings, preview=preview)


def _named(arguments: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Stream names with their source and the argument that it was given by."""
    from streamsocket.sources.spec import PulledSpec, parse_source

    named: dict[str, tuple[str, str]] = {}
    for argument in arguments:
        name, spec = parse_source(argument)
        if name in named:
            raise SettingsError(
                f"Two sources are called '{name}', {named[name][1]} and {argument}: "
                f"give one another name, such as {name}-2={spec.text}."
            )
        named[name] = spec.url if isinstance(spec, PulledSpec) else spec.text, argument
    return named


def run(settings: Settings, *, preview: bool = False) -> None:
    """Serve until Ctrl-C, SIGTERM or the end of all sources.

    Raises `StreamSocketError` if the server cannot start, or has ended because of a source that
    cannot be had.
    """
    from streamsocket.cli.display import open_display
    from streamsocket.preview.window import PreviewWindow
    from streamsocket.server import Server

    # A thread that wants the interpreter's lock waits this long before it asks for it. Python's
    # 5 ms, while a page is made in another thread, would be 5 ms of jitter for every viewer.
    sys.setswitchinterval(0.001)
    _allow_many_files()
    windows: list[PreviewWindow] = []
    with _stop_signals() as stop:
        server = Server(settings)
        server.start()
        # What has been imported stays: without this, Python's garbage collector goes through all of
        # it again and again, and the media thread waits for tens of milliseconds each time.
        gc.collect()
        gc.freeze()
        try:
            if server.failure is not None:
                raise server.failure
            if preview:
                windows += [
                    PreviewWindow(server.preview_url(name), name) for name in settings.streams
                ]
            with open_display(settings, server.ports, server.notices) as display:
                while not stop.requested and not server.ended.wait(_LOOK_AROUND_S):
                    display.update(server.status())
            if stop.requested:
                typer.echo("Stopping…")
            elif server.failure is not None:
                raise server.failure
        finally:
            for window in windows:
                window.close()
            server.stop()


def _allow_many_files() -> None:
    """Every viewer is a file descriptor: take as many as the system lets this user have."""
    if sys.platform == "win32":
        return  # sockets are not counted there
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    except (ValueError, OSError):
        pass  # macOS refuses its own "unlimited"; what is allowed already has to do


class _Stop:
    """Whether somebody wants an end. No `Event`: setting one inside a signal handler can deadlock
    with the very `wait` that the signal interrupted."""

    requested = False

    def request(self, *_: object) -> None:
        if self.requested:
            os._exit(130)  # the second time it is meant; sources end when their socket closes
        self.requested = True


@contextmanager
def _stop_signals() -> Iterator[_Stop]:
    stop = _Stop()
    before = {
        number: signal.signal(number, stop.request) for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
