"""All that a server pushes on: which streams, and where to."""

from __future__ import annotations

import asyncio
from asyncio import AbstractEventLoop
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from streamsocket.forward.forward import Forward
from streamsocket.hub.hub import Hub
from streamsocket.hub.stream import Stream
from streamsocket.matching.matcher import Matcher
from streamsocket.names import matches
from streamsocket.rtsp.push import PushTransport
from streamsocket.status import ForwardStatus
from streamsocket.webrtc.ice_server import IceServer

MAX_FORWARDS = 1000


@dataclass(frozen=True, slots=True)
class ForwardRule:
    """One `[[forward]]` of the settings."""

    streams: str
    """Which streams: a pattern of their names."""
    url: str
    """Where to, with `{name}` for the stream's name."""
    transport: PushTransport = "auto"
    ice_servers: tuple[IceServer, ...] = ()


class Forwards:
    """Pushes streams on as the rules say, each for as long as it is there."""

    def __init__(
        self,
        hub: Hub,
        loop: AbstractEventLoop,
        rules: Sequence[ForwardRule],
        matcher: Matcher | None = None,
    ) -> None:
        """Without a `matcher`, streams are pushed on as they are."""
        self._hub = hub
        self._matcher = matcher
        self._loop = loop
        self._rules = tuple(rules)
        self._forwards: dict[str, list[Forward]] = {}
        self._stopping: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Push what is there and what will come."""
        self._hub.subscribe(self._stream_changed)
        for stream in self._hub:
            self._stream_changed(stream)

    async def stop(self) -> None:
        """Leave all servers."""
        self._hub.unsubscribe(self._stream_changed)
        for name in list(self._forwards):
            self._end(name)
        await asyncio.gather(*self._stopping)

    def status(self) -> list[ForwardStatus]:
        """How all are doing."""
        return [forward.status for forwards in self._forwards.values() for forward in forwards]

    def _stream_changed(self, stream: Stream) -> None:
        name = stream.name
        if self._hub.find(name) is None:
            self._end(name)
        elif name not in self._forwards and len(self._forwards) < MAX_FORWARDS:
            rules = [rule for rule in self._rules if matches(rule.streams, name)]
            if rules:
                self._forwards[name] = [self._begin(name, rule) for rule in rules]

    def _begin(self, name: str, rule: ForwardRule) -> Forward:
        url = rule.url.replace("{name}", quote(name))
        forward = Forward(
            self._hub,
            self._loop,
            name,
            url,
            transport=rule.transport,
            matcher=self._matcher,
            ice_servers=rule.ice_servers,
        )
        forward.start()
        return forward

    def _end(self, name: str) -> None:
        for forward in self._forwards.pop(name, ()):
            task = self._loop.create_task(forward.stop())
            self._stopping.add(task)
            task.add_done_callback(self._stopping.discard)
