"""What another server sends, on its way into the hub, whatever protocol it is played by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from streamsocket.errors import ConnectError, ServerLeftError
from streamsocket.hub.intake import REORDER_S, Intake
from streamsocket.hub.stream import Publication
from streamsocket.media.codec import Track

SILENCE_S = 10.0
"""A server that sends nothing for so long is connected to anew."""

_REPORT_INTERVAL_S = 5.0


class Publish(Protocol):
    """The hub's way in."""

    def __call__(
        self, tracks: Sequence[Track], request_keyframe: Callable[[], None] | None
    ) -> Publication:
        """Publish tracks under the name that is meant."""


class Pulling:
    """Takes packets from a client of another server, from `begin` to `close`.

    Belongs to the running loop. `receive` and `lost` are for the client to call.
    """

    def __init__(self, shown_url: str) -> None:
        """`shown_url` is for messages."""
        self._url = shown_url
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._intakes: Sequence[Intake] = ()
        self._publication: Publication | None = None
        self._pending: dict[int, list[bytes]] = {}
        self._flush: asyncio.Handle | None = None
        self._ticker: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self._report_due = 0.0

    def begin(self, publication: Publication, intakes: Sequence[Intake]) -> None:
        """What comes from now on is published; there is an intake for each track."""
        self._publication = publication
        self._intakes = intakes
        self._last_arrival = time.monotonic()
        self._tick()

    async def last(self) -> None:
        """Wait for the end of the stream. Raises ConnectError for every other end."""
        await self._over

    def close(self) -> None:
        """End the publication; its viewers wait for the next."""
        if self._over.done() and not self._over.cancelled():
            self._over.exception()  # it has been raised, or something else has
        if self._ticker:
            self._ticker.cancel()
        if self._flush:
            self._flush.cancel()
        if self._publication:
            self._publication.close()

    def receive(self, track: int, is_rtcp: bool, data: bytes, arrival: float) -> None:
        """Take a packet; `arrival` in seconds since the epoch."""
        if track >= len(self._intakes):
            return  # it came before it was asked for
        self._last_arrival = time.monotonic()
        if is_rtcp:
            self._intakes[track].receive_rtcp(data, arrival)
            if all(intake.ended for intake in self._intakes):
                self._end()
            return
        self._pending.setdefault(track, []).append(data)
        if self._flush is None:
            # All that this wakeup brings goes on together.
            self._flush = self._loop.call_soon(self._hand_on)

    def lost(self, failure: ConnectError) -> None:
        """There is no connection any more."""
        if isinstance(failure, ServerLeftError):
            self._end()
        elif not self._over.done():
            self._over.set_exception(failure)

    def _end(self) -> None:
        if not self._over.done():
            self._over.set_result(None)

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
            self.lost(ConnectError(f"Nothing has come from {self._url} for {SILENCE_S:g} s."))
