"""A stream that is played from another RTSP server, or a camera, and published here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol as Interface

from streamsocket.errors import ConnectError
from streamsocket.hub.intake import REORDER_S, Intake
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Codec, Track
from streamsocket.rtsp.client import Protocol, RtspClient, TransportRefusedError
from streamsocket.rtsp.sdp import Media, choose

SILENCE_S = 10.0
"""A camera that sends nothing for so long is connected to anew."""

_REPORT_INTERVAL_S = 5.0


class Publish(Interface):
    """The hub's way in."""

    def __call__(
        self, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> Publication:
        """Publish tracks under the name that is meant."""


async def pull_rtsp(
    url: str,
    publish: Publish,
    *,
    protocols: Sequence[Protocol] = ("tcp", "udp"),
    timeout_s: float = 10.0,
) -> None:
    """Play `url` and publish what comes, until the server ends the stream.

    The first of the protocols that the server takes is used. Raises ConnectError if it can't be
    reached, refuses, vanishes, or falls silent; StreamSocketError if it can't be published.
    """
    for position, protocol in enumerate(protocols):
        pull = _Pull(url, publish, protocol, timeout_s)
        try:
            await pull.begin()
            await pull.last()
            return
        except TransportRefusedError:
            if position == len(protocols) - 1:
                raise
        finally:
            await pull.close()


class _Pull:
    """One connection that is played from."""

    def __init__(self, url: str, publish: Publish, protocol: Protocol, timeout_s: float) -> None:
        self._publish = publish
        self._protocol: Protocol = protocol
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._client = RtspClient(
            url, timeout_s=timeout_s, on_packet=self._receive, on_lost=self._lost
        )
        self._medias: list[tuple[Media, Codec]] = []
        self._intakes: list[Intake] = []
        self._publication: Publication | None = None
        self._pending: dict[int, list[bytes]] = {}
        self._flush: asyncio.Handle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._last_arrival = time.monotonic()
        self._report_due = 0.0

    async def begin(self) -> None:
        """Connect, set every track up, publish, and let the packets come."""
        client = self._client
        await client.connect()
        description = await client.describe()
        self._medias = _chosen(description.medias, client.url)
        for track, (media, _) in enumerate(self._medias):
            await client.setup(track, media, self._protocol)
        tracks = [Track(codec, media.frame_rate) for media, codec in self._medias]
        makes_keyframes = any("nack pli" in media.feedback for media, _ in self._medias)
        publication = self._publish(tracks, self._request_keyframe if makes_keyframes else None)
        self._publication = publication
        self._intakes = [
            Intake(
                publication,
                track,
                codec,
                media.fmtp,
                payload_type=media.payload_type,
                ordered=self._protocol == "tcp",
                answers_nack="nack" in media.feedback,
                send_rtcp=partial(client.send_rtcp, track),
            )
            for track, (media, codec) in enumerate(self._medias)
        ]
        await client.play(keep_timestamps=True)
        self._last_arrival = time.monotonic()
        self._tick()

    async def last(self) -> None:
        """Wait for the end of the stream. Raises ConnectError for every other end."""
        await self._over

    async def close(self) -> None:
        """Leave the server, in a second at most."""
        if self._over.done() and not self._over.cancelled():
            self._over.exception()  # it has been raised, or something else has
        if self._ticker:
            self._ticker.cancel()
        if self._flush:
            self._flush.cancel()
        if self._publication:
            self._publication.close()
        await self._client.close()

    def _receive(self, track: int, is_rtcp: bool, data: bytes, arrival: float) -> None:
        if track >= len(self._intakes):
            return  # it came before it was asked for
        self._last_arrival = time.monotonic()
        if is_rtcp:
            self._intakes[track].receive_rtcp(data, arrival)
            if all(intake.ended for intake in self._intakes) and not self._over.done():
                self._over.set_result(None)
            return
        self._pending.setdefault(track, []).append(data)
        if self._flush is None:
            # All that this wakeup brings goes on together.
            self._flush = self._loop.call_soon(self._hand_on)

    def _hand_on(self) -> None:
        self._flush = None
        pending, self._pending = self._pending, {}
        arrival = time.time()
        for track, packets in pending.items():
            self._intakes[track].receive(packets, arrival)
        if self._publication:
            self._publication.flush()

    def _tick(self) -> None:
        """Give up missing packets, report, and notice silence."""
        self._ticker = self._loop.call_later(REORDER_S / 2, self._tick)
        now, wall = time.monotonic(), time.time()
        for intake in self._intakes:
            intake.tick(wall)
        if self._publication:
            self._publication.flush()
        if now >= self._report_due:
            self._report_due = now + _REPORT_INTERVAL_S
            for intake in self._intakes:
                intake.report(wall)
        if now - self._last_arrival > SILENCE_S:
            self._lost(
                ConnectError(f"Nothing has come from {self._client.url} for {SILENCE_S:g} s.")
            )

    def _lost(self, failure: ConnectError) -> None:
        if not self._over.done():
            self._over.set_exception(failure)

    def _request_keyframe(self) -> None:
        for (media, _), intake in zip(self._medias, self._intakes, strict=True):
            if "nack pli" in media.feedback:
                intake.request_keyframe()


def _chosen(medias: Sequence[Media], url: str) -> list[tuple[Media, Codec]]:
    """What can be passed on, the picture first."""
    chosen, left = choose(medias)
    if not chosen:
        reasons = " ".join(media.unsupported for media in left if media.unsupported)
        raise ConnectError(f"Nothing of {url} can be passed on. {reasons}".rstrip())
    return sorted(chosen, key=lambda each: each[1].kind != "video")
