"""`open_url`: from a URL to the access units of its tracks."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic, time
from typing import Literal, Self

from streamsocket.client.backlog import Backlog
from streamsocket.client.receiver import Received, Receiver
from streamsocket.client.report import NAMES
from streamsocket.errors import ConnectError
from streamsocket.media.codec import Codec, Kind
from streamsocket.rtsp.client import Protocol, RtspClient, TransportRefusedError
from streamsocket.rtsp.sdp import Media

Wish = Literal["mixed", "udp", "tcp", "multicast"]
TransportWish = Literal["auto"] | Wish

_MIXED: dict[Kind, Protocol] = {"video": "udp", "audio": "tcp"}

UDP_PATIENCE_S = 2.0
"""If nothing has come over UDP that long after PLAY, nothing will."""
REPORT_INTERVAL_S = 5.0
_TICK_S = 0.05
_CNAME = f"streamsocket@{socket.gethostname()}"


@dataclass(slots=True)
class SessionTrack:
    """One track that is played."""

    kind: Kind
    frame_rate: Fraction | None
    """Pictures a second as the server declares them."""
    transport: Protocol
    """How it really comes."""
    receiver: Receiver

    @property
    def codec(self) -> Codec:
        """As announced, or as its parameter sets say by now."""
        return self.receiver.codec


@dataclass(frozen=True, slots=True)
class LeftAlone:
    """A track of the stream that is not played."""

    kind: Kind
    encoding: str
    """Its name in the SDP."""
    reason: str
    """Why, one sentence."""


@dataclass(slots=True)
class Milestones:
    """When each step was done, in seconds from the call of `open_url`."""

    connected_s: float | None = None
    described_s: float | None = None
    playing_s: float | None = None
    first_packet_s: float | None = None


@asynccontextmanager
async def open_url(
    url: str,
    *,
    transport: TransportWish = "auto",
    timeout_s: float = 10.0,
    keep_timestamps: bool = False,
) -> AsyncIterator[Session]:
    """Play a stream, for as long as the context lasts.

    `transport="auto"` asks for the picture over UDP and the sound over TCP (`"mixed"`). Where the
    server refuses that, or nothing comes over UDP within 2 s, it asks for both over TCP, and where
    that is refused for both over UDP. Over `rtsps://` it is TCP. The others insist.

    `timeout_s` is how many seconds a server may take until it plays, and how long it may then be
    silent. `keep_timestamps` is for those who record: a server like ours then sends the first
    pictures as they were, with their sound, not squeezed to be seen at once.

    Raises ConnectError, a sentence that says what is wrong and what to do.
    """
    began = monotonic()
    wishes: list[Wish] = ["mixed", "tcp", "udp"] if transport == "auto" else [transport]
    if transport == "auto" and url.lower().startswith("rtsps:"):
        wishes = ["tcp"]
    session = Session(url, began=began, timeout_s=timeout_s, keep_timestamps=keep_timestamps)
    try:
        while True:
            wish = wishes.pop(0)
            try:
                await session.play(wish)
                if not wishes or await session.udp_arrives():
                    break
                obstacle = (
                    f"Nothing came over UDP within {UDP_PATIENCE_S:.0f} s: is a firewall in the "
                    "way?"
                )
            except TransportRefusedError as refusal:
                if not wishes:
                    raise
                obstacle = str(refusal)
                if refusal.unsupported == wishes[0]:
                    wishes.reverse()
            await session.close()
            session = Session(
                url, began=began, timeout_s=timeout_s, keep_timestamps=keep_timestamps
            )
            session.fallback = f"{obstacle} Everything was asked for over {wishes[0].upper()}."
        yield session
    finally:
        await session.close()


class Session:
    """A stream that is being played: iterate over it to get what arrives.

    The iteration ends when the stream does, and raises ConnectError if the server vanishes.
    Opened by `open_url`.
    """

    def __init__(
        self, url: str, *, began: float, timeout_s: float, keep_timestamps: bool = False
    ) -> None:
        self.tracks: list[SessionTrack] = []
        """What is played: one picture, one sound, or one of them."""
        self.left_alone: list[LeftAlone] = []
        self.fallback: str | None = None
        """Why another transport is used than the one tried first, in words; None if it isn't."""
        self.milestones = Milestones()
        self._began = began
        self._timeout_s = timeout_s
        self._keep_timestamps = keep_timestamps
        self._client = RtspClient(
            url, timeout_s=timeout_s, on_packet=self._receive, on_lost=self._lost
        )
        self._backlog = Backlog(())
        self._udp_arrived = asyncio.Event()
        self._failure: ConnectError | None = None
        self._ended = False
        self._last_arrival = 0.0
        self._ticker: asyncio.TimerHandle | None = None
        self._next_report = 0.0

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._client.url

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        return self._client.server

    @property
    def dropped(self) -> Counter[int]:
        """Access units the reader was too slow for, by track."""
        return self._backlog.dropped

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Received:
        received = await self._backlog.get()
        if received is not None:
            return received
        if self._failure:
            raise self._failure
        raise StopAsyncIteration

    async def close(self) -> None:
        """Leave: takes a second at most, also where the server does not answer any more."""
        self._ended = True
        self._stop()
        await self._client.close()

    async def play(self, wish: Wish) -> None:
        """Connect, set every track up and let them play."""
        client = self._client
        await client.connect()
        self.milestones.connected_s = self._elapsed()
        description = await client.describe()
        self.milestones.described_s = self._elapsed()
        for media, codec in self._chosen(description.medias):
            track = len(self.tracks)
            protocol: Protocol = wish if wish != "mixed" else _MIXED[codec.kind]
            await client.setup(track, media, protocol)
            receiver = Receiver(
                track, codec, media.fmtp, media.payload_type, ordered=protocol == "tcp"
            )
            self.tracks.append(SessionTrack(codec.kind, media.frame_rate, protocol, receiver))
        self._backlog = Backlog([track.kind for track in self.tracks])
        await client.play(keep_timestamps=self._keep_timestamps)
        self.milestones.playing_s = self._elapsed()
        self._last_arrival = monotonic()
        self._next_report = self._last_arrival + REPORT_INTERVAL_S
        self._tick()

    def _chosen(self, medias: list[Media]) -> list[tuple[Media, Codec]]:
        """The first picture and the first sound that can be played; the rest is left alone."""
        chosen: dict[Kind, tuple[Media, Codec]] = {}
        # To a camera, what is marked sendonly is the viewer's own voice: it comes last.
        for media in sorted(medias, key=lambda media: media.direction == "sendonly"):
            if media.kind not in ("video", "audio"):
                continue
            kind: Kind = "video" if media.kind == "video" else "audio"
            name = NAMES[kind]
            if media.codec is None:
                reason = f"The {name} cannot be played. {media.unsupported}"
            elif kind in chosen:
                reason = f"There is more than one {name}; the first is played."
            else:
                chosen[kind] = media, media.codec
                continue
            self.left_alone.append(LeftAlone(kind, media.encoding, reason))
        if not chosen:
            reasons = " ".join(track.reason for track in self.left_alone)
            raise ConnectError(f"Nothing of {self.url} can be played. {reasons}".rstrip())
        return list(chosen.values())

    async def udp_arrives(self) -> bool:
        """Wait for the first datagram, where one is to come at all."""
        if all(track.transport == "tcp" for track in self.tracks):
            return True
        try:
            async with asyncio.timeout(UDP_PATIENCE_S):
                await self._udp_arrived.wait()
        except TimeoutError:
            return False
        return True

    def _receive(self, track: int, is_rtcp: bool, data: bytes, arrival: float) -> None:
        if track >= len(self.tracks):
            return  # it came before SETUP was answered
        self._last_arrival = monotonic()
        if self.tracks[track].transport != "tcp":
            self._udp_arrived.set()
        receiver = self.tracks[track].receiver
        if is_rtcp:
            receiver.receive_rtcp(data, arrival)
            if receiver.ended and all(track.receiver.ended for track in self.tracks):
                self._ended = True
                self._stop()
            return
        if self.milestones.first_packet_s is None:
            self.milestones.first_packet_s = self._elapsed()
        self._backlog.put(receiver.receive_rtp(data, arrival))

    def _lost(self, failure: ConnectError) -> None:
        """The connection is no more: the end of the stream, or of the server."""
        if not self._ended and not any(track.receiver.ended for track in self.tracks):
            self._failure = failure
        self._udp_arrived.set()
        self._stop()

    def _stop(self) -> None:
        """Nothing more is to come; what is here can still be read."""
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None
        for track in self.tracks:
            self._backlog.put(track.receiver.flush())
        self._backlog.close()

    def _tick(self) -> None:
        """Give up missing packets, report, and notice silence."""
        self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now, wall = monotonic(), time()
        for track in self.tracks:
            self._backlog.put(track.receiver.expire(wall))
        if now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL_S
            for index, track in enumerate(self.tracks):
                report = track.receiver.receiver_report(wall, _CNAME)
                if report:
                    self._client.send_rtcp(index, report)
        if now - self._last_arrival > self._timeout_s:
            self._lost(
                ConnectError(
                    f"Nothing has come from {self.url} for {self._timeout_s:g} s any more."
                )
            )

    def _elapsed(self) -> float:
        return monotonic() - self._began
