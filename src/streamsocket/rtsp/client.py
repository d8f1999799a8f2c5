"""The RTSP client's sockets: one connection to a server, and UDP ports where they are wanted.

The rules are in `client_protocol.py`; this half connects, writes, waits, and hands packets on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Literal

from streamsocket.errors import ConnectError
from streamsocket.rtsp.client_multicast import agreed_group
from streamsocket.rtsp.client_udp import UdpPair
from streamsocket.rtsp.dialogue import Dialogue, ElsewhereError, NonsenseError, RefusedError
from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.sdp import Media, SessionDescription

Protocol = Literal["udp", "tcp", "multicast"]

PacketHandler = Callable[[int, bool, bytes, float], None]
"""`(track, is_rtcp, data, arrival)`; `arrival` in seconds since the epoch."""

TEARDOWN_S = 1.0
_NAMES = {"video": "picture", "audio": "sound"}
_WAYS: dict[Protocol, str] = {"udp": "over UDP", "tcp": "over TCP", "multicast": "by multicast"}
_SERVICE_UNAVAILABLE = 503
_BUSY_PAUSES_S = (0.2, 0.8)
"""How long a server that is busy is left alone: gst-rtsp-server is, after its last viewer left."""


class TransportRefusedError(ConnectError):
    """The server does not send over this transport; over another one it may."""

    def __init__(self, sentence: str, unsupported: Protocol | None = None) -> None:
        super().__init__(sentence)
        self.unsupported = unsupported
        """What it does not send over in any case (461); None if it may just not like a mix."""


class RtspClient:
    """Plays one stream: connect, describe, setup for each track, play, close, in this order.

    Every step but `close` raises ConnectError with a sentence for the user, at the latest
    `timeout_s` seconds after `connect` began. `close` has to be called whatever happened.
    """

    def __init__(
        self,
        url: str,
        *,
        timeout_s: float,
        on_packet: PacketHandler,
        on_lost: Callable[[ConnectError], None],
    ) -> None:
        """`on_lost` is called if the connection ends after `play` and before `close`."""
        self._dialogue = Dialogue(url, self, timeout_s=timeout_s)
        self._on_packet = on_packet
        self._on_lost = on_lost
        self._channels: dict[int, tuple[int, bool]] = {}
        self._ports: dict[int, UdpPair] = {}
        self._protocols: set[Protocol] = set()
        self._urls: dict[str, int] = {}  # tracks by what they were asked for under
        self._playing = False

    @property
    def url(self) -> str:
        """Without user and password."""
        return self._dialogue.url

    @property
    def server(self) -> str | None:
        """What the server calls itself."""
        return self._dialogue.server

    @property
    def round_trip_s(self) -> float | None:
        """How soon the server has answered at its quickest: hardly more than the network takes."""
        return self._dialogue.round_trip_s

    async def connect(self) -> None:
        """Open the connection."""
        await self._dialogue.connect()

    async def describe(self) -> SessionDescription:
        """Ask what the stream is made of, at another address if the server says so."""
        pauses = list(_BUSY_PAUSES_S)
        while True:
            try:
                return await self._describe()
            except RefusedError as refusal:
                if refusal.status != _SERVICE_UNAVAILABLE or not pauses:
                    raise
                await asyncio.sleep(pauses.pop(0))

    async def setup(self, track: int, media: Media, protocol: Protocol) -> None:
        """Ask for a track; its packets will be handed on under the number `track`.

        Raises TransportRefusedError if another protocol, or the same for all tracks, may do.
        """
        dialogue = self._dialogue
        assert dialogue.transport is not None
        if protocol == "udp" and dialogue.protocol.server.tls:
            # What is encrypted here must not come in the clear beside it.
            raise TransportRefusedError(
                f"All of {dialogue.url} comes over TCP, as rtsps:// wants it.", unsupported="udp"
            )
        if protocol == "udp":
            ports = UdpPair(
                dialogue.transport.get_extra_info("sockname"), partial(self._on_packet, track)
            )
            self._ports[track] = ports
            wish = TransportSpec("udp", client_ports=(ports.port, ports.port + 1))
        elif protocol == "multicast":
            wish = TransportSpec("udp", multicast=True)
        else:
            wish = TransportSpec("tcp", interleaved=(2 * track, 2 * track + 1))
        if media.profile == "AVPF":
            wish = replace(wish, profile="AVPF")
        try:
            answer = await dialogue.request("SETUP", dialogue.protocol.request_setup(media, wish))
        except NonsenseError as error:
            raise TransportRefusedError(str(error)) from error
        except RefusedError as refusal:
            # Servers that take one transport a session say so in many ways.
            unsupported = refusal.status == 461
            name = _NAMES.get(media.kind, media.kind)
            if unsupported or self._protocols - {protocol}:
                raise TransportRefusedError(
                    f"{dialogue.address} refuses to send the {name} {_WAYS[protocol]} "
                    f"({refusal.status} {refusal.reason}).",
                    unsupported=protocol if unsupported else None,
                ) from refusal
            raise
        self._protocols.add(protocol)
        self._urls[dialogue.protocol.track_url(media)] = track
        agreed = answer.transport or wish
        if protocol == "udp":
            server = dialogue.transport.get_extra_info("peername")
            await ports.open({server[0], agreed.source or server[0]})
            if agreed.server_ports:
                ports.aim(server, agreed.server_ports)
        elif protocol == "multicast":
            ports = self._ports[track] = UdpPair(
                dialogue.transport.get_extra_info("sockname"),
                partial(self._on_packet, track),
                agreed_group(agreed),
            )
            # What a group's packets come from need not be the address that RTSP is spoken with.
            await ports.open(None)
        else:
            for is_rtcp, channel in enumerate(agreed.interleaved or wish.interleaved or ()):
                self._channels[channel] = track, bool(is_rtcp)

    async def play(self, *, keep_timestamps: bool = False) -> dict[int, int]:
        """Let the packets come; see `ClientProtocol.request_play`.

        Returns the sequence numbers that tracks begin with, as far as the server says.
        """
        self._punch()
        answer = await self._dialogue.request(
            "PLAY", self._dialogue.protocol.request_play(keep_timestamps=keep_timestamps)
        )
        self._playing = True
        self._dialogue.stay_alive(self._punch)
        return {
            self._urls[info.url]: info.sequence
            for info in answer.rtp_info
            if info.url in self._urls and info.sequence is not None
        }

    def send_rtcp(self, track: int, data: bytes) -> None:
        """Send RTCP about a track the way its packets come."""
        if track in self._ports:
            self._ports[track].send_rtcp(data)
            return
        for channel, place in self._channels.items():
            if place == (track, True):
                self._dialogue.write(b"$" + bytes((channel,)) + len(data).to_bytes(2, "big") + data)

    async def close(self) -> None:
        """Leave the server, in a second at most, and give every socket back."""
        self._playing = False
        dialogue = self._dialogue
        dialogue.stop_staying_alive()
        try:
            if self._protocols and dialogue.is_open:
                await dialogue.teardown(TEARDOWN_S)
        finally:
            for ports in self._ports.values():
                ports.close()
            await dialogue.hang_up()

    async def _describe(self) -> SessionDescription:
        dialogue = self._dialogue
        while True:
            try:
                await dialogue.options()
                answer = await dialogue.request("DESCRIBE", dialogue.protocol.request_describe())
            except ElsewhereError as elsewhere:
                await dialogue.move(elsewhere.protocol)
                continue
            assert answer.description is not None
            return answer.description

    def _punch(self) -> None:
        for ports in self._ports.values():
            ports.punch()

    # What the dialogue calls.

    def frames(self, frames: list[tuple[int, bytes]], arrival: float) -> None:
        """Packets have come on the connection's channels."""
        for channel, packet in frames:
            if place := self._channels.get(channel):
                self._on_packet(*place, packet, arrival)

    def lost(self, failure: ConnectError) -> None:
        """The connection is of no more use."""
        if self._playing:
            self._playing = False
            self._on_lost(failure)

    def writable(self, is_writable: bool) -> None:
        """What a player sends is little: it never has to wait."""
