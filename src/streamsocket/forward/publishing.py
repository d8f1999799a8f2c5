"""A source that is published on another server, without a server of one's own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from streamsocket.errors import ConnectError, SettingsError, SourceError
from streamsocket.forward.forward import Forward
from streamsocket.hub.hub import Hub
from streamsocket.hub.snapshot import track_statuses
from streamsocket.matching.matcher import Matcher
from streamsocket.preview.door import LocalDoor
from streamsocket.rtsp.push import PushTransport
from streamsocket.sources.process import SourceProcess
from streamsocket.sources.pulled import PulledSource
from streamsocket.sources.spec import PulledSpec, SourceSpec, UdpSpec
from streamsocket.sources.state import SourceStatus
from streamsocket.status import ForwardStatus, TrackStatus
from streamsocket.transcode.renditions import Renditions
from streamsocket.webrtc.endpoint import is_http
from streamsocket.webrtc.ice_server import IceServer
from streamsocket.wording import codec_name

_NAME = "published"
_FAREWELL_S = 0.5


@dataclass(frozen=True, slots=True)
class PublishingStatus:
    """How it is going."""

    source: SourceStatus
    server: ForwardStatus
    tracks: tuple[TrackStatus, ...]


class Publishing:
    """Runs a source and pushes it to a URL. Belongs to a selector event loop, the running one."""

    def __init__(
        self,
        spec: SourceSpec,
        url: str,
        *,
        transport: PushTransport = "auto",
        ice_servers: Sequence[IceServer] = (),
        on_status: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_status` is called when something has changed.

        Raises SettingsError for a codec that the URL's protocol doesn't carry.
        """
        loop = asyncio.get_running_loop()
        self._loop = loop
        self._hub = Hub(loop)
        self._door: LocalDoor | None = None
        self._on_status = on_status
        self._over: asyncio.Future[None] = loop.create_future()
        self._has_been_live = False
        if is_http(url):
            spec = _for_webrtc(spec)
        self._source: SourceProcess | PulledSource
        if isinstance(spec, PulledSpec):
            self._source = PulledSource(_NAME, spec, loop, self._hub, self._source_changed)
        else:
            self._source = SourceProcess(_NAME, spec, loop, self._hub.publish, self._source_changed)
        self._hub.provide(_NAME)
        self._renditions = Renditions(loop, self._hub)
        self._forward = Forward(
            self._hub,
            loop,
            _NAME,
            url,
            transport=transport,
            on_status=self._server_changed,
            matcher=Matcher(self._renditions),
            ice_servers=ice_servers,
        )

    @property
    def target(self) -> str:
        """Where it is published, without user and password."""
        return self._forward.target

    def preview_url(self) -> str:
        """Where a window on this machine can watch what is sent."""
        if self._door is None:
            self._door = LocalDoor(self._hub, self._loop)
            self._door.open()
        return self._door.url(_NAME)

    def status(self) -> PublishingStatus:
        """How it is going at this moment."""
        stream = self._hub.find(_NAME)
        tracks = track_statuses(stream, time.monotonic()) if stream else ()
        return PublishingStatus(self._source.status, self._forward.status, tracks)

    async def run(self) -> None:
        """Publish until the source ends.

        Raises `SourceError` for a source that can't be had, and `ConnectError` where the server
        can't be reached or refuses at the first try; later it is tried again for ever.
        """
        self._source.start()
        self._forward.start()
        try:
            await self._over
        finally:
            await self._source.stop()
            self._hub.remove(_NAME)
            await self._forward.stop()
            await self._renditions.stop()
            if self._door:
                self._door.close()
            self._hub.close()

    def _source_changed(self, status: SourceStatus) -> None:
        self._on_status()
        if self._source.over and not self._over.done():
            if status.state == "failed":
                self._over.set_exception(SourceError(status.message or "The source has failed."))
            else:
                # What the source has sent last is still on its way to the server.
                loop = self._over.get_loop()
                loop.call_later(_FAREWELL_S, self._end)

    def _server_changed(self, status: ForwardStatus) -> None:
        self._on_status()
        self._has_been_live |= status.state == "live"
        if status.state == "retrying" and not self._has_been_live and not self._over.done():
            self._over.set_exception(ConnectError(status.message or "The server is not there."))

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)


def _for_webrtc(spec: SourceSpec) -> SourceSpec:
    """The source with sound that WebRTC carries, where it is encoded anyway.

    Raises SettingsError where another codec is asked for.
    """
    from streamsocket.webrtc.client_offer import CARRIED

    if isinstance(spec, PulledSpec | UdpSpec):
        return spec
    encoding = spec.encoding
    for carried, codec in (
        (CARRIED["video"], encoding.video_codec),
        (CARRIED["audio"], encoding.audio_codec),
    ):
        if codec and codec not in carried:
            raise SettingsError(
                f"--codec: WebRTC doesn't carry {codec_name(codec)}: choose {', '.join(carried)}."
            )
    return replace(spec, encoding=replace(encoding, audio_codec=encoding.audio_codec or "opus"))
