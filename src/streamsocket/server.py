"""The server: the one place that knows all protocols and puts them together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from streamsocket.errors import StreamSocketError
from streamsocket.hub.hub import Hub
from streamsocket.hub.limits import Limits
from streamsocket.hub.snapshot import added_latency, track_statuses
from streamsocket.rtsp.server import RtspOptions, RtspServer
from streamsocket.settings import Settings
from streamsocket.sources.process import SourceProcess, SourceStatus
from streamsocket.sources.spec import FileSpec, SourceSpec, parse_source
from streamsocket.status import ServerStatus, StreamStatus
from streamsocket.version import __version__
from streamsocket.web.app import create_app
from streamsocket.web.runner import HttpServer

_STATUS_INTERVAL_S = 0.5

# A source on a slow disk or a slow machine may take longer; it is then simply not there yet.
_SOURCES_SECONDS = 10.0

# Sources are asked, made, and killed in turn, which takes eight seconds at the very most.
_STOP_SECONDS = 10.0

_T = TypeVar("_T")


class Server:
    """A whole server: sources, hub, RTSP and HTTP, in threads of its own.

    The thread "media" drains, routes and sends, nothing else; "http" serves the page, the API and
    the metrics from a snapshot that the media thread makes twice a second.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="media", daemon=True)
        self._http: HttpServer | None = None
        self._sources: dict[str, SourceProcess] = {}
        self._status: ServerStatus | None = None
        self._started = time.time()
        self._settled = threading.Event()
        self.ended = threading.Event()
        """Set when every source has ended or failed for good, and when the server stops."""

    def start(self) -> None:
        """Listen, and start the sources; returns when the server and they are ready.

        Raises `StreamSocketError` if a port is taken or a source cannot be understood. A source
        that cannot be opened shows in `failure`; one that takes long is not waited for.
        """
        self._thread.start()
        try:
            self._call(self._open)
            self._http = HttpServer(
                create_app(self.status, rtsp_port=self.rtsp_port),
                self.settings.host,
                self.settings.http.port,
            )
            # Who asks for a stream as soon as the server says it is ready shall get it.
            self._settled.wait(_SOURCES_SECONDS)
            self._http.start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End everything in order: HTTP, sources, viewers. Safe to call twice."""
        if self._http:
            self._http.stop()
            self._http = None
        if self._thread.is_alive():
            closing = asyncio.run_coroutine_threadsafe(self._close(), self._loop)
            with suppress(TimeoutError):
                closing.result(_STOP_SECONDS)
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self.ended.set()

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stop()

    def status(self) -> ServerStatus:
        """What the server is doing, at most half a second old. Any thread may ask."""
        assert self._status is not None, "the server has not been started"
        return self._status

    @property
    def rtsp_port(self) -> int:
        """The port that RTSP listens on, also where 0 was asked for."""
        return self._rtsp.port

    @property
    def http_port(self) -> int:
        """The port that HTTP listens on, also where 0 was asked for."""
        assert self._http is not None
        return self._http.port

    @property
    def failure(self) -> StreamSocketError | None:
        """Why a source can't be had, where one said so itself; None while none did."""
        for source in self._sources.values():
            if source.over and source.status.state == "failed":
                return StreamSocketError(source.status.message or f"'{source.name}' failed.")
        return None

    # The media thread.

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            self._loop.close()

    def _call(self, function: Callable[[], _T]) -> _T:
        """Run a function on the media thread and return what it returns."""
        result: Future[_T] = Future()

        def run() -> None:
            try:
                result.set_result(function())
            except BaseException as error:
                result.set_exception(error)

        self._loop.call_soon_threadsafe(run)
        return result.result()

    def _open(self) -> None:
        settings = self.settings
        self._hub = Hub(self._loop, _limits(settings))
        self._rtsp = RtspServer(
            self._hub,
            self._loop,
            RtspOptions(
                host=settings.host,
                port=settings.rtsp.port,
                udp_port=settings.rtsp.udp_port,
                session_timeout_s=settings.rtsp.session_timeout_s,
                max_connections=settings.rtsp.max_connections,
                max_connections_per_address=settings.rtsp.max_connections_per_address,
            ),
        )
        self._rtsp.open()
        for name, stream in settings.streams.items():
            _, spec = parse_source(stream.source, loop=stream.loop)
            self._sources[name] = SourceProcess(
                name,
                spec,
                self._loop,
                self._hub.publish,
                on_status=partial(self._source_changed, name),
            )
        for source in self._sources.values():
            source.start()
        if not self._sources:
            self._settled.set()
        self._refresh_status()

    async def _close(self) -> None:
        if not hasattr(self, "_hub"):
            return
        await asyncio.gather(*(source.stop() for source in self._sources.values()))
        self._hub.close()
        self._rtsp.close()

    def _source_changed(self, name: str, status: SourceStatus) -> None:
        if status.state == "ended":
            self._hub.remove(name)
        if all(source.status.state != "starting" for source in self._sources.values()):
            self._settled.set()
        if all(source.over for source in self._sources.values()):
            self.ended.set()

    def _refresh_status(self) -> None:
        self._status = ServerStatus(
            version=__version__,
            started=self._started,
            streams=tuple(self._stream_statuses()),
            connections=self._rtsp.connections,
            sessions=self._rtsp.sessions,
            refused=dict(self._rtsp.refused),
            loop_lag_s=self._hub.loop_lag_s,
        )
        self._loop.call_later(_STATUS_INTERVAL_S, self._refresh_status)

    def _stream_statuses(self) -> list[StreamStatus]:
        now = time.monotonic()
        statuses = []
        for name, process in self._sources.items():
            source = process.status
            stream = self._hub.find(name)
            tracks = track_statuses(stream, now) if stream else ()
            statuses.append(
                StreamStatus(
                    name=name,
                    source=_label(process.spec),
                    state=source.state,
                    tracks=tracks,
                    viewers=len(stream.readers) if stream else 0,
                    bitrate_bps=sum(track.bitrate_bps for track in tracks),
                    up_since=stream.up_since if stream else None,
                    position_s=source.position_s,
                    duration_s=source.duration_s,
                    loops=source.loops,
                    skipped_packets=stream.skipped_packets if stream else 0,
                    message=source.message,
                    added_latency=added_latency(stream) if stream else None,
                )
            )
        return statuses


def _label(spec: SourceSpec) -> str:
    """What to call a source before everybody: where its file is, is the server's own affair."""
    return Path(spec.path).name if isinstance(spec, FileSpec) else spec.text


def _limits(settings: Settings) -> Limits:
    hub = settings.hub
    return Limits(
        reader_max_age_s=hub.reader_max_age_s,
        keyframe_cache_bytes=round(hub.keyframe_cache_mb * 1_000_000),
        history_s=hub.history_s,
        history_bytes=round(hub.history_mb * 1_000_000),
        join_seconds=hub.join_seconds,
    )
