"""What one RTSP connection asks of the server."""

from __future__ import annotations

from dataclasses import dataclass

from streamsocket.rtsp.headers import TransportSpec
from streamsocket.rtsp.message import Request
from streamsocket.rtsp.sdp import SessionDescription
from streamsocket.rtsp.url import StreamUrl


@dataclass(frozen=True, slots=True)
class Reply:
    """The protocol has answered by itself: send `data`."""

    data: bytes
    refused: str | None = None
    """What was refused, as a word to count under; None for a success."""
    close: bool = False
    """Nothing more can be understood of this connection: send, then close."""


@dataclass(frozen=True, slots=True)
class DescribeRequested:
    """Answer with `described`, or refuse."""

    request: Request
    url: StreamUrl


@dataclass(frozen=True, slots=True)
class SetupRequested:
    """Prepare a track to be sent, or received, over `transport`.

    Answer with `setup_done`, or refuse.
    """

    request: Request
    url: StreamUrl
    """Its `track` is None where the URL names none, as may be if the stream has only one."""
    transport: TransportSpec
    """What was agreed: the client's UDP ports, the channels in this connection, or multicast."""
    records: bool = False
    """The track is one that a publisher announced, its index that in the announcement."""


@dataclass(frozen=True, slots=True)
class PlayRequested:
    """Start to send `tracks`; answer with `playing`, or refuse."""

    request: Request
    url: StreamUrl
    tracks: tuple[int, ...]
    """Those that are playing already go on as they are."""
    keep_timestamps: bool = False
    """The client records: it wants the current group of pictures as it was."""


@dataclass(frozen=True, slots=True)
class AnnounceRequested:
    """A publisher says what it is going to send; answer with `announced`, or refuse."""

    request: Request
    url: StreamUrl
    description: SessionDescription


@dataclass(frozen=True, slots=True)
class RecordRequested:
    """Take what the publisher sends on `tracks`; answer with `recording`, or refuse."""

    request: Request
    url: StreamUrl
    tracks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Stop sending `tracks`, until PLAY; answer with `paused`, or refuse."""

    request: Request
    url: StreamUrl
    tracks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TeardownRequested:
    """Give up `tracks` for good; answer with `torn_down`."""

    request: Request
    url: StreamUrl
    tracks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InterleavedReceived:
    """RTP or RTCP packets on one of the tracks' channels."""

    track: int
    is_rtcp: bool
    packets: list[bytes]


Requested = (
    DescribeRequested
    | SetupRequested
    | PlayRequested
    | AnnounceRequested
    | RecordRequested
    | PauseRequested
    | TeardownRequested
)
Event = Reply | Requested | InterleavedReceived
