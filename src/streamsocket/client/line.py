"""What a session needs of a server, whatever protocol it speaks: a Line to it.

In this order: connect, describe, set_up for each track, play, close. Every step but `close` raises
ConnectError with a sentence for the user. `close` has to be called whatever happened.
"""

from __future__ import annotations

from typing import Literal, Protocol

from streamsocket.client.report import Transport
from streamsocket.rtsp.sdp import Media, SessionDescription

Wish = Literal["mixed", "udp", "tcp", "multicast"]


class Line(Protocol):
    """One connection to a server, for one stream."""

    @property
    def url(self) -> str:
        """Without user and password."""

    @property
    def server(self) -> str | None:
        """What the server calls itself."""

    @property
    def round_trip_s(self) -> float | None:
        """How soon the server has answered at its quickest: hardly more than the network takes."""

    async def connect(self) -> None:
        """Reach the server."""

    async def describe(self) -> SessionDescription:
        """Ask what the stream is made of."""

    async def set_up(self, track: int, media: Media, wish: Wish) -> Transport:
        """Ask for a track; its packets will be handed on under the number `track`.

        Raises TransportRefusedError if another wish may do.
        """

    async def play(self, *, keep_timestamps: bool = False) -> dict[int, int]:
        """Let the packets come; returns the sequence numbers they begin with, as far as known."""

    def send_rtcp(self, track: int, data: bytes) -> None:
        """Send RTCP about a track."""

    async def close(self) -> None:
        """Leave the server, in a second at most."""
