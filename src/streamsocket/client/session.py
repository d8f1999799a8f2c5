"""`open_url`: from a URL to the access units of its tracks."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from fractions import Fraction
from time import monotonic, time
from typing import TYPE_CHECKING, Literal, Self

from streamsocket.client.backlog import Backlog
from streamsocket.client.line import Wish
from streamsocket.client.opening import open_line
from streamsocket.client.receiver import REPAIR_S, Received, Receiver
from streamsocket.client.report import NAMES, Transport
from streamsocket.errors import ConnectError, ServerLeftError
from streamsocket.media.codec import Codec, Kind
from streamsocket.rtsp.client import TransportRefusedError
from streamsocket.rtsp.sdp import Media, choose
from streamsocket.webrtc.endpoint import is_http

if TYPE_CHECKING:
    from streamsocket.webrtc.ice_server import IceServer

TransportWish = Literal["auto"] | Wish

BOTH: tuple[Kind, ...] = ("video", "audio")

UDP_PATIENCE_S = 2.0
"""If nothing has come over UDP that long after PLAY, nothing will."""
REPORT_INTERVAL_S = 5.0
KEEPING_PATIENCE_S = 1.0
"""How long who keeps what comes, and shows it to nobody yet, waits for what was asked for again."""
_TICK_S = 0.05
_MAX_EARLY = 1024
"""Packets that are held until PLAY is answered, and it is known what should have come first."""


@dataclass(slots=True)
class SessionTrack:
    """One track that is played."""

    kind: Kind
    frame_rate: Fraction | None
    """Pictures a second as the server declares them."""
    transport: Transport
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
    kinds: Collection[Kind] = BOTH,
    ice_servers: Sequence[IceServer] = (),
) -> AsyncIterator[Session]:
    """Play a stream, or the `kinds` that are wanted of it, for as long as the context lasts.

    `transport="auto"` asks for the picture over UDP and the sound over TCP (`"mixed"`). Where the
    server refuses that, or nothing comes over UDP within 2 s, it asks for both over TCP, and where
    that is refused for both over UDP. Over `rtsps://` it is TCP. The others insist. A WHEP URL
    (`http://HOST/NAME/whep`, or https) is played by WebRTC: encrypted, over UDP, found by ICE with
    these STUN and TURN servers or, without any, those that the server tells of.

    `timeout_s` is how many seconds a server may take until it plays, and how long it may then be
    silent. `keep_timestamps` is for those who record: a server like ours then sends the first
    pictures as they were, with their sound, not squeezed to be seen at once. WebRTC has no word
    for that.

    Raises ConnectError, a sentence that says what is wrong and what to do.
    """
    began = monotonic()
    wishes = _wishes(url, transport)

    def new_session() -> Session:
        return Session(
            url,
            began=began,
            timeout_s=timeout_s,
            keep_timestamps=keep_timestamps,
            kinds=kinds,
            ice_servers=ice_servers,
        )

    session = new_session()
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
            session = new_session()
            session.fallback = f"{obstacle} Everything was asked for over {wishes[0].upper()}."
        yield session
    finally:
        await session.close()


def _wishes(url: str, transport: TransportWish) -> list[Wish]:
    """What to ask for, one after the other."""
    if is_http(url):
        if transport not in ("auto", "udp"):
            raise ConnectError(
                f"WebRTC comes over UDP: leave --transport {transport} out for a WHEP URL, or play "
                "the stream by RTSP."
            )
        return ["udp"]
    if transport != "auto":
        return [transport]
    return ["tcp"] if url.lower().startswith("rtsps:") else ["mixed", "tcp", "udp"]


class Session:
    """A stream that is being played: iterate over it to get what arrives.

    The iteration ends when the stream does, and raises ConnectError if the server vanishes.
    Opened by `open_url`.
    """

    def __init__(
        self,
        url: str,
        *,
        began: float,
        timeout_s: float,
        keep_timestamps: bool = False,
        kinds: Collection[Kind] = BOTH,
        ice_servers: Sequence[IceServer] = (),
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
        self._kinds = kinds
        self._line = open_line(
            url,
            timeout_s=timeout_s,
            kinds=kinds,
            ice_servers=ice_servers,
            on_packet=self._receive,
            on_lost=self._lost,
        )
        self._backlog = Backlog(())
        self._udp_arrived = asyncio.Event()
        self._failure: ConnectError | None = None
        self._ended = False
        self._last_arrival = 0.0
        self._ticker: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._alarm_at = 0.0  # in seconds since the epoch
        self._next_report = 0.0
        self._patience_s = KEEPING_PATIENCE_S if keep_timestamps else REPAIR_S
        self._plays = False
        self._early: list[tuple[int, bool, bytes, float]] = []

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._line.url

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        return self._line.server

    @property
    def dropped(self) -> Counter[int]:
        """Access units the reader was too slow for, by track."""
        return self._backlog.dropped

    @property
    def patience_s(self) -> float:
        """How long a packet that is missing on UDP is waited for, in seconds.

        It can be set at any time. Where the server doesn't send again what is asked for, it is
        waited for 0.1 s at most.
        """
        return self._patience_s

    @patience_s.setter
    def patience_s(self, seconds: float) -> None:
        self._patience_s = seconds
        for track in self.tracks:
            track.receiver.patience_s = seconds
        self._set_alarm()

    def request_keyframe(self, track_index: int) -> None:
        """Ask for a keyframe of a track, until one comes, but not more than twice a second.

        Does nothing where the server doesn't understand that (RFC 4585, 6.3.1). A keyframe that is
        needed because something was lost is asked for without this.
        """
        self.tracks[track_index].receiver.request_keyframe()
        self._give_feedback(track_index, time())

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
        await self._line.close()

    async def play(self, wish: Wish) -> None:
        """Connect, set every track up and let them play."""
        line = self._line
        await line.connect()
        self.milestones.connected_s = self._elapsed()
        description = await line.describe()
        self.milestones.described_s = self._elapsed()
        for media, codec in self._chosen(description.medias):
            track = len(self.tracks)
            way = await line.set_up(track, media, wish)
            receiver = Receiver(
                track,
                codec,
                media.fmtp,
                media.payload_type,
                ordered=way == "tcp",
                feedback=media.feedback if way != "multicast" else (),
                round_trip_s=line.round_trip_s,
                begins_with_keyframe=way == "webrtc" and codec.kind == "video",
            )
            receiver.patience_s = self._patience_s
            self.tracks.append(SessionTrack(codec.kind, media.frame_rate, way, receiver))
        self._backlog = Backlog([track.kind for track in self.tracks])
        beginnings = await line.play(keep_timestamps=self._keep_timestamps)
        self.milestones.playing_s = self._elapsed()
        for track, sequence in beginnings.items():
            self.tracks[track].receiver.begin_at(sequence)
        self._last_arrival = monotonic()
        self._next_report = self._last_arrival + REPORT_INTERVAL_S
        self._plays = True
        early, self._early = self._early, []
        for packet in early:
            self._receive(*packet)
        self._tick()

    def _chosen(self, medias: list[Media]) -> list[tuple[Media, Codec]]:
        """What can be played of the kinds that are wanted; the rest is left alone."""
        chosen, left = choose(media for media in medias if media.kind in self._kinds)
        for media in left:
            kind: Kind = "video" if media.kind == "video" else "audio"
            if media.codec is None:
                reason = f"The {NAMES[kind]} cannot be played. {media.unsupported}"
            else:
                reason = f"There is more than one {NAMES[kind]}; the first is played."
            self.left_alone.append(LeftAlone(kind, media.encoding, reason))
        if not chosen:
            reasons = " ".join(track.reason for track in self.left_alone)
            if not reasons and len(self._kinds) == 1:
                reasons = f"It has no {NAMES[next(iter(self._kinds))]}."
            raise ConnectError(f"Nothing of {self.url} can be played. {reasons}".rstrip())
        return chosen

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
        if not is_rtcp and self.milestones.first_packet_s is None:
            self.milestones.first_packet_s = self._elapsed()
        if not self._plays and len(self._early) < _MAX_EARLY:
            self._early.append((track, is_rtcp, data, arrival))
            return
        receiver = self.tracks[track].receiver
        if is_rtcp:
            receiver.receive_rtcp(data, arrival)
            if receiver.ended and all(track.receiver.ended for track in self.tracks):
                self._ended = True
                self._stop()
            return
        self._backlog.put(receiver.receive_rtp(data, arrival))
        self._give_feedback(track, arrival)
        self._set_alarm()

    def _give_feedback(self, track: int, now: float) -> None:
        """Ask for what is missing, where that is of any use."""
        if feedback := self.tracks[track].receiver.feedback(now):
            self._line.send_rtcp(track, feedback)

    def _set_alarm(self) -> None:
        """Be woken when a missing packet is to be asked for, or given up."""
        deadlines = [track.receiver.deadline for track in self.tracks]
        moment = min((each for each in deadlines if each is not None), default=None)
        if moment is None or self._ended:
            return
        if self._alarm:
            if self._alarm_at <= moment:
                return  # it is set anew then
            self._alarm.cancel()
        self._alarm_at = moment
        self._alarm = asyncio.get_running_loop().call_later(max(0.0, moment - time()), self._wake)

    def _wake(self) -> None:
        self._alarm = None
        now = time()
        for index, track in enumerate(self.tracks):
            self._backlog.put(track.receiver.expire(now))
            self._give_feedback(index, now)
        self._set_alarm()

    def _lost(self, failure: ConnectError) -> None:
        """The connection is no more: the end of the stream, or of the server."""
        is_end = isinstance(failure, ServerLeftError)
        if not (is_end or self._ended or any(track.receiver.ended for track in self.tracks)):
            self._failure = failure
        self._udp_arrived.set()
        self._stop()

    def _stop(self) -> None:
        """Nothing more is to come; what is here can still be read."""
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        for track in self.tracks:
            self._backlog.put(track.receiver.flush())
        self._backlog.close()

    def _tick(self) -> None:
        """Report, and notice silence."""
        self._ticker = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
        now, wall = monotonic(), time()
        if now >= self._next_report:
            self._next_report = now + REPORT_INTERVAL_S
            for index, track in enumerate(self.tracks):
                report = track.receiver.receiver_report(wall)
                if report:
                    self._line.send_rtcp(index, report)
        if now - self._last_arrival > self._timeout_s:
            self._lost(
                ConnectError(
                    f"Nothing has come from {self.url} for {self._timeout_s:g} s any more."
                )
            )

    def _elapsed(self) -> float:
        return monotonic() - self._began
