"""The server: the one place that knows all protocols and puts them together."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from starlette.applications import Starlette
from starlette.routing import Route

from streamsocket.auth.access import Access
from streamsocket.auth.authorization import Credentials
from streamsocket.errors import StreamSocketError
from streamsocket.forward.forwards import Forwards
from streamsocket.hub.hub import Hub
from streamsocket.matching.matcher import Matcher
from streamsocket.preview.door import LocalDoor
from streamsocket.record.recorder import Recorder
from streamsocket.rtmp.server import RtmpServer
from streamsocket.rtsp.server import RtspServer
from streamsocket.server_options import (
    forward_rules,
    hub_limits,
    ice_servers,
    record_rules,
    rtmp_options,
    rtsp_options,
    tls_context,
    users,
    webrtc_options,
)
from streamsocket.server_status import stream_statuses
from streamsocket.settings import Settings
from streamsocket.settings.model import StreamSettings
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import PulledSpec, SourceSpec, parse_source
from streamsocket.sources.state import SourceStatus
from streamsocket.status import Ports, ServerStatus
from streamsocket.transcode.renditions import Renditions
from streamsocket.version import __version__
from streamsocket.web.app import create_app
from streamsocket.web.hosts import KnownHosts, machine_names
from streamsocket.web.runner import HttpServer
from streamsocket.web.webrtc import WebRtcRoutes
from streamsocket.webrtc.server import WebRtcServer

_STATUS_INTERVAL_S = 0.5

# A source on a slow disk or a slow machine may take longer; it is then simply not there yet.
_SOURCES_SECONDS = 10.0

# Sources are asked, made, and killed in turn, which takes eight seconds at the very most.
_STOP_SECONDS = 10.0

Source = SourceProcess | PulledSource

_T = TypeVar("_T")


class Server:
    """A whole server: sources, hub, RTSP and HTTP, in threads of its own.

    The thread "media" drains, routes and sends, nothing else; "http" serves the page, the API and
    the metrics from a snapshot that the media thread makes twice a second.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        http: bool = True,
        sealed_by: Credentials | None = None,
    ) -> None:
        """Without `http` there is no page, no API, no metrics and no WebRTC.

        With `sealed_by`, one of the users, HTTP is for WebRTC alone, sealed with that user's
        password (`webrtc/seal.py`).
        """
        self.settings = settings or Settings()
        self._serves_http = http
        self._sealed_by = sealed_by
        self._loop = asyncio.SelectorEventLoop()
        self._thread = threading.Thread(target=self._run, name="media", daemon=True)
        self._http: HttpServer | None = None
        self._sources: dict[str, Source] = {}
        self._door: LocalDoor | None = None
        self._rtmp: RtmpServer | None = None
        self._webrtc: WebRtcServer | None = None
        self._http_refused: Counter[str] = Counter()
        self._renditions: Renditions | None = None
        self._recorder: Recorder | None = None
        self._forwards: Forwards | None = None
        self._status: ServerStatus | None = None
        self._started = time.time()
        self._changed = threading.Condition()
        self.notices: list[str] = []
        """What whoever started it should know, sentences."""
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
            if self._serves_http:
                self._http = HttpServer(
                    self._application(), self.settings.host, self.settings.http.port
                )
            # Who asks for a stream as soon as the server says it is ready shall get it.
            self._settle(self._sources.values())
            if self._http:
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
    def ports(self) -> Ports:
        """Where it listens."""
        rtmp = self._rtmp.port if self._rtmp else None
        webrtc = self._webrtc.port if self._webrtc else None
        return Ports(self.rtsp_port, self.http_port, self._rtsp.tls_port, rtmp, webrtc)

    @property
    def http_port(self) -> int:
        """The port that HTTP listens on, also where 0 was asked for."""
        assert self._http is not None
        return self._http.port

    def add_source(self, name: str, stream: StreamSettings) -> None:
        """Serve one more source; returns when its stream can be watched. For any thread.

        A source that takes longer than 10 s is not waited for, nor is a stream from elsewhere: its
        viewers wait. Raises `StreamSocketError` if the name is taken, or the source can't be
        understood or opened: then it isn't served.
        """
        _, spec = parse_source(f"{name}={stream.source}", loop=stream.loop)
        source = self._call(partial(self._add, name, spec, on_demand=stream.on_demand))
        self._settle([source])
        if source.over and source.status.state == "failed":
            self.remove_source(name)
            raise StreamSocketError(source.status.message or f"'{name}' failed.")

    def remove_source(self, name: str) -> None:
        """Serve a source no more: its stream ends for all who watch it. For any thread.

        Returns when its process has ended. Raises `StreamSocketError` if there is none.
        """
        removing = asyncio.run_coroutine_threadsafe(self._remove(name), self._loop)
        removing.result(_STOP_SECONDS)

    def preview_url(self, name: str) -> str:
        """Where a window on this machine can watch a stream, whatever the users may."""
        if self._door is None:
            self._door = LocalDoor(self._hub, self._loop)
            self._call(self._door.open)
        return self._door.url(name)

    def mute(self, name: str, muted: bool) -> None:
        """Let a microphone of ours be silent, or not; other sources have no such switch."""
        self._switch(name, lambda source: source.mute(muted))

    def hide_picture(self, name: str, hidden: bool) -> None:
        """Switch a camera or a screen of ours off, or on."""
        self._switch(name, lambda source: source.hide_picture(hidden))

    def _switch(self, name: str, switch: Callable[[SourceProcess], None]) -> None:
        source = self._sources.get(name)
        if isinstance(source, SourceProcess):
            self._loop.call_soon_threadsafe(switch, source)

    @property
    def failure(self) -> StreamSocketError | None:
        """Why a source can't be had, where one said so itself; None while none did."""
        for source in self._sources.values():
            if source.over and source.status.state == "failed":
                return StreamSocketError(source.status.message or f"'{source.name}' failed.")
        return None

    def _application(self) -> Starlette:
        """What HTTP serves."""
        if self._sealed_by:
            return Starlette(routes=self._media_routes())
        known = KnownHosts(self.settings.http.allowed_hosts, (*machine_names(), self.settings.host))
        return create_app(
            self.status,
            rtsp_port=self.rtsp_port,
            routes=self._media_routes(),
            hosts=known,
            refused=self._http_refused,
        )

    def _media_routes(self) -> list[Route]:
        """What HTTP has beside the API."""
        if self._webrtc is None:
            return []
        servers = self.settings.webrtc.ice_servers
        return WebRtcRoutes(
            self._webrtc, self._loop, servers, self._http_refused, self._sealed_by
        ).routes()

    def _settle(self, sources: Collection[Source]) -> None:
        """Wait until these sources have begun, or have failed to."""
        with self._changed:
            self._changed.wait_for(
                lambda: all(source.status.state != "starting" for source in sources),
                _SOURCES_SECONDS,
            )

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
        self._hub = Hub(self._loop, hub_limits(settings))
        self._access = Access(users(settings))
        if settings.transcoding.enabled:
            self._renditions = Renditions(self._loop, self._hub, most=settings.transcoding.max)
        self._matcher = Matcher(self._renditions)
        self._rtsp = RtspServer(
            self._hub,
            self._loop,
            rtsp_options(settings),
            self._access,
            tls_context(settings),
            self._matcher,
        )
        self._rtsp.open()
        self._rtmp = self._open_rtmp()
        self._webrtc = self._open_webrtc()
        if settings.record:
            self._recorder = Recorder(self._loop, self._hub, record_rules(settings))
            self._recorder.start()
        self._forwards = Forwards(self._hub, self._loop, forward_rules(settings), self._matcher)
        self._forwards.start()
        for name, stream in settings.streams.items():
            _, spec = parse_source(stream.source, loop=stream.loop)
            self._sources[name] = self._make_source(name, spec, on_demand=stream.on_demand)
        for source in self._sources.values():
            source.start()
        self._refresh_regularly()

    def _add(self, name: str, spec: SourceSpec, *, on_demand: bool) -> Source:
        self._hub.check_free(name)
        source = self._make_source(name, spec, on_demand=on_demand)
        try:
            source.start()
        except StreamSocketError:
            self._hub.unprovide(name)
            raise
        self._sources[name] = source
        self._refresh_status()
        return source

    async def _remove(self, name: str) -> None:
        unknown = StreamSocketError(f"There is no source '{name}' to be removed.")
        source = self._sources.get(name)
        if source is None:
            raise unknown
        await source.stop()
        if self._sources.get(name) is not source:
            raise unknown  # somebody else was quicker
        del self._sources[name]
        self._hub.unprovide(name)
        self._refresh_status()

    def _make_source(self, name: str, spec: SourceSpec, *, on_demand: bool) -> Source:
        on_status = partial(self._source_changed, name)
        if isinstance(spec, PulledSpec):
            spec = replace(spec, on_demand=on_demand)
            servers = ice_servers(self.settings)
            pulled = PulledSource(name, spec, self._loop, self._hub, on_status, servers)
            self._hub.provide(name, pulled.want)
            return pulled
        self._hub.provide(name)
        return SourceProcess(name, spec, self._loop, self._hub.publish, on_status)

    def _open_rtmp(self) -> RtmpServer | None:
        settings = self.settings
        port = settings.rtmp.port
        if port is None:
            return None
        rtmp = RtmpServer(
            self._loop,
            rtmp_options(settings.host, port, settings),
            partial(self._hub.publish, guest=True, replace=settings.publish.replace, origin="RTMP"),
            self._access,
            partial(self._hub.check_free, replace=settings.publish.replace),
        )
        try:
            rtmp.open()
        except StreamSocketError as error:
            if "port" in settings.rtmp.model_fields_set:
                raise
            # Nobody has asked for it: another server on this machine may well have the port.
            self.notices.append(f"RTMP is off: {error}")
            return None
        return rtmp

    def _open_webrtc(self) -> WebRtcServer | None:
        settings = self.settings
        port = settings.webrtc.port
        if port is None or not self._serves_http:  # offers come over HTTP
            return None
        webrtc = WebRtcServer(
            self._hub,
            self._loop,
            webrtc_options(settings.host, port, settings),
            self._access,
            self._matcher,
        )
        try:
            webrtc.open()
        except StreamSocketError as error:
            if "port" in settings.webrtc.model_fields_set:
                raise
            self.notices.append(f"WebRTC is off: {error}")
            return None
        return webrtc

    async def _close(self) -> None:
        if not hasattr(self, "_hub"):
            return
        if self._rtmp:
            self._rtmp.close()
        if self._forwards:
            await self._forwards.stop()
        await asyncio.gather(*(source.stop() for source in self._sources.values()))
        if self._recorder:
            await self._recorder.stop()
        if self._renditions:
            await self._renditions.stop()
        self._hub.close()
        if self._webrtc:
            self._webrtc.close()
        self._rtsp.close()
        if self._door:
            self._door.close()
        self._access.close()

    def _source_changed(self, name: str, status: SourceStatus) -> None:
        if status.state == "ended":
            self._hub.remove(name)
        with self._changed:
            self._changed.notify_all()
        if all(source.over for source in self._sources.values()):
            self.ended.set()

    def _refresh_status(self) -> None:
        servers = [each for each in (self._rtsp, self._rtmp, self._webrtc) if each]
        self._status = ServerStatus(
            version=__version__,
            started=self._started,
            streams=stream_statuses(self._hub, self._sources.values(), self._renditions),
            connections=self._rtsp.connections + (self._rtmp.connections if self._rtmp else 0),
            sessions=self._rtsp.sessions + (self._webrtc.sessions if self._webrtc else 0),
            refused=dict(sum((each.refused for each in servers), self._http_refused.copy())),
            loop_lag_s=self._hub.loop_lag_s,
            recordings=tuple(self._recorder.status()) if self._recorder else (),
            forwards=tuple(self._forwards.status()) if self._forwards else (),
        )

    def _refresh_regularly(self) -> None:
        self._refresh_status()
        self._loop.call_later(_STATUS_INTERVAL_S, self._refresh_regularly)
