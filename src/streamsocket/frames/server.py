"""The server inside one's own program."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NoReturn, Self
from urllib.parse import quote

from streamsocket.errors import ArgumentError, ClosedError
from streamsocket.names import bad_name_reason, is_stream_name
from streamsocket.server import Server as WholeServer
from streamsocket.settings import Value, load_settings
from streamsocket.status import Ports, StreamStatus

Sources = Mapping[str, str | Path] | Iterable[str | Path] | str


class Server:
    """A whole server, in threads of its own: sources, publishers, viewers, the page and the API.

        with ss.Server({"lobby": "movie.mp4"}) as server:
            server.url("lobby")                  # rtsp://127.0.0.1:8554/lobby

    It takes no signals, prints nothing, and leaves the calling thread, and any event loop in it,
    alone. Nothing of FFmpeg or numpy is loaded by it: sources are processes of their own.
    """

    def __init__(
        self,
        sources: Sources = (),
        *,
        host: str | None = None,
        rtsp_port: int | None = None,
        http_port: int | None = None,
        config: str | Path | None = None,
        **settings: Any,
    ) -> None:
        """Nothing is listened to before `open`, or the context, begins.

        `sources`: by name, or a list as on the command line, `"movie.mp4"`, `"lobby=movie.mp4"`,
        `"test"`. `host`: the address to listen on, `127.0.0.1` by default. `rtsp_port`,
        `http_port`: 8554 and 8080 by default; 0: any free one. RTMP is off, unless
        `rtmp={"port": 1935}`.

        `settings`: the groups of `docs/settings.md` by name, each a dict, such as
        `publish={"replace": True}`. `config`: a settings file; what is given here goes over it.
        No file is read by itself, and no environment variable.

        Raises SettingsError for a setting that is none, ArgumentError for sources that are none.
        """
        given: dict[tuple[str, ...], Value] = {("rtmp", "port"): Value(None, "rtmp_port")}
        for group, value in settings.items():
            _flatten((group,), value, given)
        named = {
            ("host",): Value(host, "host"),
            ("rtsp", "port"): Value(rtsp_port, "rtsp_port"),
            ("http", "port"): Value(http_port, "http_port"),
        }
        given.update({path: value for path, value in named.items() if value.value is not None})
        for name, source in _named(sources).items():
            given["streams", name, "source"] = Value(source, f"sources: {name}")
        self._settings = load_settings(given, file=Path(os.devnull if config is None else config))
        self._server: WholeServer | None = None
        self._closed = False
        self._pid = os.getpid()

    def __reduce__(self) -> NoReturn:
        raise TypeError("A Server cannot be pickled: it is one of the process that started it.")

    def __repr__(self) -> str:
        return f"<Server {self.url('')}>" if self._server else "<Server, not open>"

    def open(self) -> Self:
        """Listen, and start the sources; returns when they are ready, or after 10 s.

        Raises StreamSocketError if a port is taken, SourceError for a source that cannot be had.
        """
        if self._server or self._closed:
            raise ClosedError("A Server can be opened once: make a new one.")
        server = WholeServer(self._settings)
        self._closed = True  # unless all goes well
        server.start()
        if failure := server.failure:
            server.stop()
            raise failure
        self._server, self._closed = server, False
        return self

    def close(self) -> None:
        """End everything in order. Safe to call twice; in a forked child it does nothing."""
        if self._pid != os.getpid():
            return
        self._closed = True
        server, self._server = self._server, None
        if server:
            server.stop()

    def __enter__(self) -> Self:
        return self.open()

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return self._running.ports

    @property
    def http_url(self) -> str:
        """The page: `http://127.0.0.1:8080/`."""
        return f"http://{self._host}:{self.ports.http}/"

    def url(self, name: str) -> str:
        """Where the stream of that name is watched, and published: `rtsp://127.0.0.1:8554/lobby`.

        On this machine; from others, put its address in the place of the host.
        """
        if name:
            _check_name(name)
        return f"rtsp://{self._host}:{self.ports.rtsp}/{quote(name)}"

    def add(
        self, name: str, source: str | Path, *, loop: bool = True, on_demand: bool = False
    ) -> str:
        """Serve one more source under this name; returns its URL when it can be watched.

        `source` is as in a list of sources: a file, `test`, a camera, an `rtsp://` URL. `loop`: a
        file begins again when it ends. `on_demand`: a stream from elsewhere is connected to only
        while somebody watches. One that takes longer than 10 s is not waited for, nor is a stream
        from elsewhere: its viewers wait. Any thread.

        Raises ArgumentError, SettingsError for a source that is none, and StreamSocketError where
        the name is taken or the source cannot be had: then it is not served.
        """
        server = self._running
        _check_name(name)
        given = {"source": str(source), "loop": loop, "on_demand": on_demand}
        layer: dict[tuple[str, ...], Value] = {
            ("streams", name, key): Value(value, key) for key, value in given.items()
        }
        settings = load_settings(layer, file=Path(os.devnull))
        server.add_source(name, settings.streams[name])
        return self.url(name)

    def remove(self, name: str) -> None:
        """Serve a source no more: its stream ends for all who watch it. Any thread.

        Raises StreamSocketError if there is no source of that name; what others publish is theirs.
        """
        self._running.remove_source(name)

    def streams(self) -> tuple[StreamStatus, ...]:
        """All streams as they are, at most half a second old; the same as `/api/streams`."""
        return self._running.status().streams

    @property
    def _host(self) -> str:
        host = self._settings.host
        # Where it listens for everybody, it can be reached by itself, too.
        host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
        return f"[{host}]" if ":" in host else host

    @property
    def _running(self) -> WholeServer:
        if self._server is None or self._pid != os.getpid():
            raise ClosedError("The Server is not open: use 'with', or call open().")
        return self._server


class AsyncServer:
    """A `Server` whose starting and ending are awaited; see there."""

    def __init__(self, sources: Sources = (), **options: Any) -> None:
        """The parameters are those of `streamsocket.Server`."""
        self._server = Server(sources, **options)

    def __reduce__(self) -> NoReturn:
        self._server.__reduce__()

    def __repr__(self) -> str:
        return repr(self._server)

    async def open(self) -> Self:
        """Listen, and start the sources; returns when they are ready."""
        await asyncio.to_thread(self._server.open)
        return self

    async def close(self) -> None:
        """End everything in order."""
        await asyncio.shield(asyncio.to_thread(self._server.close))

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    @property
    def ports(self) -> Ports:
        """Where it listens."""
        return self._server.ports

    @property
    def http_url(self) -> str:
        """The page: `http://127.0.0.1:8080/`."""
        return self._server.http_url

    def url(self, name: str) -> str:
        """Where the stream of that name is watched, and published."""
        return self._server.url(name)

    async def add(
        self, name: str, source: str | Path, *, loop: bool = True, on_demand: bool = False
    ) -> str:
        """Serve one more source under this name; returns its URL when it can be watched."""
        return await asyncio.to_thread(
            self._server.add, name, source, loop=loop, on_demand=on_demand
        )

    async def remove(self, name: str) -> None:
        """Serve a source no more: its stream ends for all who watch it."""
        await asyncio.to_thread(self._server.remove, name)

    def streams(self) -> tuple[StreamStatus, ...]:
        """All streams as they are, at most half a second old."""
        return self._server.streams()


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not is_stream_name(name):
        raise ArgumentError(f"name: {bad_name_reason(str(name))}")


def _named(sources: Sources) -> dict[str, str]:
    from streamsocket.sources.spec import parse_source

    if isinstance(sources, Mapping):
        return {str(name): str(source) for name, source in sources.items()}
    named: dict[str, str] = {}
    for source in [sources] if isinstance(sources, str | Path) else sources:
        if not isinstance(source, str | Path):
            raise ArgumentError(f"sources: {source!r} is no source such as 'lobby=movie.mp4'.")
        name, spec = parse_source(str(source))
        if name in named:
            raise ArgumentError(f"sources: two of them are called '{name}'.")
        named[name] = spec.text
    return named


def _flatten(path: tuple[str, ...], value: object, into: dict[tuple[str, ...], Value]) -> None:
    """Groups of settings as paths with their values."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            _flatten((*path, str(key)), inner, into)
    elif isinstance(value, list | tuple) and value and all(isinstance(v, Mapping) for v in value):
        for number, inner in enumerate(value):
            _flatten((*path, str(number)), inner, into)
    else:
        into[path] = Value(value, ".".join(path))
